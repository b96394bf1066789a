"""Losses, delays, overtaking and duplicates: as asked for, the same every time, and exactly known afterwards."""

import itertools

import pytest

from sipflow.errors import ConfigError
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.impairment import PERFECT, POOR, Impairment
from sipflow.load.scenario import Scenario
from sipflow.load.stream import Stream
from sipflow.load.style import Style
from sipflow.wire.endpoint import Endpoint

START = 1_780_000_000_000_000
COUNT = 20_000


def stream(impairment: Impairment, *, count: int = COUNT, chance: int = 5, digits: str = "") -> Stream:
    return Stream(
        call_id="net@test", leg=0, src=Endpoint("10.0.0.1", 4000), dst=Endpoint("10.0.0.2", 4002), start_us=START,
        count=count, samples=160, payload_type=0, ssrc=9, sequence=65_000, timestamp=0, voice=1, position=0,
        chance=chance, digits=digits, impairment=impairment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bank() -> VoiceBank:
    return VoiceBank.make(1, voices=4)


def numbers(of: Stream, bank: VoiceBank) -> list[tuple[int, int]]:
    """Give capture time after the stream's start and number of every packet, unwrapped by its place."""
    found = []
    for time_us, octets in of.talker(bank).packets():
        after = time_us - START
        low = (int.from_bytes(octets[2:4]) - 65_000) % 65536
        found.append((after, low))
    return found


def test_shares_are_those_asked_for(bank: VoiceBank) -> None:
    one = stream(Impairment.parse("loss=4%,reorder=2%,duplicate=1%"))
    came = [number for _, number in numbers(one, bank)]
    missing = COUNT - len(set(came))
    assert missing == one.lost(bank) == pytest.approx(0.04 * COUNT, rel=0.1)
    assert len(came) == one.sent(bank)
    assert len(came) - len(set(came)) == pytest.approx(0.01 * COUNT, rel=0.2)
    overtaken = sum(b < a for a, b in itertools.pairwise(dict.fromkeys(came)))
    assert overtaken == pytest.approx(0.02 * COUNT, rel=0.2)


def test_bursts_have_the_length_asked_for(bank: VoiceBank) -> None:
    for text, length in (("loss=5%", 1 / 0.95), ("loss=5%,burst=4", 4), ("loss=5%,burst=1", 1)):
        one = stream(Impairment.parse(text))
        came = sorted({number for _, number in numbers(one, bank)})
        gaps = [b - a - 1 for a, b in itertools.pairwise(came) if b - a > 1]
        assert sum(gaps) == one.lost(bank) == pytest.approx(0.05 * COUNT, rel=0.15)
        assert sum(gaps) / len(gaps) == pytest.approx(length, rel=0.15)


def test_jitter_delays_and_keeps_the_order(bank: VoiceBank) -> None:
    came = numbers(stream(Impairment.parse("jitter=45ms")), bank)
    assert [number for _, number in came] == list(range(COUNT))
    late = [after - 20_000 * number for after, number in came]
    assert min(late) >= 0
    assert max(late) < 45_500
    assert sum(late) / COUNT == pytest.approx(24_000, rel=0.2)  # a queue: later than the mean of 22.5 ms


def test_the_same_stream_is_the_same_and_another_is_not(bank: VoiceBank) -> None:
    one = stream(POOR)
    assert one.packets(bank) == stream(POOR).packets(bank)
    assert one.packets(bank) != stream(POOR, chance=6).packets(bank)
    assert stream(PERFECT).lost(bank) == 0


def test_the_ends_of_a_stream_always_arrive(bank: VoiceBank) -> None:
    for chance in range(200):
        came = [number for _, number in numbers(stream(Impairment(loss=0.5), count=12, chance=chance), bank)]
        assert {0, 11} <= set(came)


def test_digits_go_through_the_network_too(bank: VoiceBank) -> None:
    one = stream(Impairment(loss=0.3), count=400, digits="1#")
    packets = [octets for _, octets in one.talker(bank).packets()]
    events = [octets for octets in packets if octets[1] & 0x7F == 101]
    assert 0 < len(events) < 20
    assert {octets[12] for octets in events} == {1, 11}


def test_each_leg_has_its_own(bank: VoiceBank) -> None:
    style = Style(impairments=(Impairment(loss=0.1), Impairment(jitter_us=30_000)))
    call = Call(1, 2, Scenario.ANSWERED, START, 60_000_000, style)
    full = VoiceBank.make(1)
    (a, b) = call.streams()
    assert (a.leg, b.leg) == (0, 1)
    assert a.lost(full) > 50
    assert b.lost(full) == 0
    # A lossy call is lossy on both legs, whatever the style says.
    assert all(s.impairment == POOR for s in Call(1, 2, Scenario.LOSSY, START, 60_000_000, style).streams())


def test_everything_arrives_before_the_call_is_over() -> None:
    style = Style(impairments=(Impairment(jitter_us=500_000, reorder=0.5), Impairment(duplicate=0.5)))
    full = VoiceBank.make(1)
    for number in range(20):
        call = Call(1, number, Scenario.ANSWERED, START, 8_000_000, style)
        bye = next(m for m in call.messages() if m.payload.startswith(b"BYE"))
        for each in call.streams():
            assert max(packet.time_us for packet in each.packets(full)) < bye.time_us


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("loss", "'loss'"),
        ("loss=51%", "'loss=51%'"),
        ("loss=-1", "'loss=-1'"),
        ("loss=1%,loss=2%", "'loss=2%'"),
        ("jitter=501ms", "'jitter=501ms'"),
        ("burst=3", "'burst=3'"),
        ("loss=2%,burst=0", "'burst=0'"),
        ("lost=2", "'lost=2'"),
        ("loss=nan", "'loss=nan'"),
    ],
)
def test_what_is_no_impairment_is_named(text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=r"--leg-a: found .*allowed: .*jitter=TIMEms") as refused:
        Impairment.parse(text, "--leg-a")
    assert found in str(refused.value)


def test_an_impairment_is_written_as_it_is_read() -> None:
    one = Impairment.parse("loss=2.5%,reorder=1,duplicate=0.5%,burst=3,jitter=30ms")
    assert one == Impairment(0.025, 3, 30_000, 0.01, 0.005)
    assert Impairment.parse(one.text()) == one
    assert Impairment.parse("") == PERFECT
