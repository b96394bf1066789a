"""Telephone events: the worked examples of RFC 4733, real captures, and whatever a network does to packets."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured_rtp import rtp_chunks, truth_of
from chunks import T0_US, Rtp, make_chunks, make_key, talk
from sipflow.media.codec import Codec
from sipflow.media.digit import KEYS, Digit
from sipflow.media.dtmf import events, events_within
from sipflow.media.stream import Stream, streams

EVENTS = {101: Codec("telephone-event", 8000)}


def stream_of(packets: list[Rtp], size: int = 7) -> Stream:
    (one,) = streams(make_chunks(make_key(), packets, size))
    return one


def report(event: int, duration: int, *, end: bool = False, volume: int = 10) -> bytes:
    return struct.pack(">BBH", event, volume | (0x80 if end else 0), duration)


def press(
    key: str, *, timestamp: int, sequence: int = 0, updates: int = 5, step: int = 160, clock: int = 8000, pt: int = 101
) -> list[Rtp]:
    """Write a key as senders do: updates every 20 ms, then the end three times."""
    event = KEYS.index(key)
    begun = T0_US + timestamp * 1_000_000 // clock
    spacing = step * 1_000_000 // clock
    sent = [report(event, step * (i + 1)) for i in range(updates)] + [report(event, step * (updates + 1), end=True)] * 3
    return [Rtp(begun + i * spacing, sequence + i, timestamp, octets, pt) for i, octets in enumerate(sent)]


def keyed(text: str) -> list[Rtp]:
    packets: list[Rtp] = []
    for i, key in enumerate(text):
        packets += press(key, timestamp=10_000 + 1600 * i, sequence=8 * i)
    return packets


def symbols(found: list[Digit]) -> str:
    return "".join(digit.symbol for digit in found)


@pytest.mark.parametrize(("clock", "lasted"), [(8000, 100.0), (16000, 50.0), (48000, 16.67)])
def test_golden_five(clock: int, lasted: float) -> None:
    payloads = ["050A00A0", "050A0140", "058A0320", "058A0320", "058A0320"]
    packets = [Rtp(T0_US + i * 20_000, 8000 + i, 76800, bytes.fromhex(p), 101) for i, p in enumerate(payloads)]
    (digit,) = events(stream_of(packets), {101: Codec("telephone-event", clock)})
    assert (digit.symbol, digit.volume_dbm0, digit.complete, digit.assumed) == ("5", -10, True, False)
    assert (digit.time_us, digit.leg, digit.ssrc) == (T0_US, 0, 0x1234ABCD)
    assert digit.duration_ms == pytest.approx(lasted, abs=0.01)


@pytest.mark.parametrize(("clock", "lasted"), [(8000, 200.0), (16000, 100.0), (48000, 33.33)])
def test_golden_hash_of_which_only_the_end_came(clock: int, lasted: float) -> None:
    (digit,) = events(
        stream_of([Rtp(T0_US, 1, 5, bytes.fromhex("0B8A0640"), 101)]), {101: Codec("Telephone-Event", clock)}
    )
    assert (digit.symbol, digit.complete) == ("#", True)
    assert digit.duration_ms == pytest.approx(lasted, abs=0.01)
    assert digit.time_us == T0_US - 1600 * 1_000_000 // clock


def test_lost_ends_leave_the_last_update() -> None:
    (digit,) = events(stream_of(press("5", timestamp=0)[:4]), EVENTS)
    assert (digit.symbol, digit.duration_ms, digit.complete) == ("5", 80.0, False)


def test_a_lost_beginning_is_reckoned_back() -> None:
    (digit,) = events(stream_of(press("5", timestamp=800)[3:]), EVENTS)
    assert (digit.time_us, digit.duration_ms) == (T0_US + 100_000, 120.0)


def test_the_same_key_twice_is_two() -> None:
    assert symbols(events(stream_of(keyed("55")), EVENTS)) == "55"


def test_every_event_has_a_name() -> None:
    for code, name in [(0, "0"), (10, "*"), (15, "D"), (16, "flash"), (36, "CNG"), (238, "event 238")]:
        (digit,) = events(stream_of([Rtp(T0_US, 1, 5, report(code, 160), 101)]), EVENTS)
        assert digit.symbol == name
        assert (digit.volume_dbm0 is None) == (name == "flash")


@pytest.mark.parametrize("segment", [0xFFFF, 0xFFA0])
def test_a_long_event_is_joined(segment: int) -> None:
    packets = [
        Rtp(T0_US + at * 125, at // 160, at // segment * segment, report(7, at % segment), 101)
        for at in range(160, 200_000, 160)
    ]
    packets += [Rtp(T0_US + 25_000_000, 1300, 3 * segment, report(7, 200_000 - 3 * segment, end=True), 101)]
    if segment != 0xFFFF:  # the last update before the next segment says how long this one was
        packets += [
            Rtp(T0_US + k * segment * 125 - 1, 2000 + k, (k - 1) * segment, report(7, segment), 101) for k in (1, 2, 3)
        ]
    (digit,) = events(stream_of(packets), EVENTS)
    assert (digit.symbol, digit.duration_ms, digit.complete) == ("7", 25_000.0, True)
    assert digit.time_us == T0_US + 20_000


def test_an_event_that_ended_is_not_joined() -> None:
    packets = [
        Rtp(T0_US, 1, 0, report(7, 0xFFFF, end=True), 101),
        Rtp(T0_US + 8_300_000, 2, 0xFFFF, report(7, 160), 101),
    ]
    assert symbols(events(stream_of(packets), EVENTS)) == "77"


def test_redundant_events_stand_in_for_lost_ones() -> None:
    """Of three keys only the packets of the last came, and they repeat the two before (RFC 4733, section 2.5.1.4)."""
    payloads = {101: Codec("telephone-event", 8000), 97: Codec("RED", 8000)}
    back = [(2400, report(1, 800, end=True)), (1200, report(2, 640, end=True))]
    heads = b"".join(struct.pack(">BBH", 0x80 | 101, ago >> 6, (ago & 63) << 10 | 4) for ago, _ in back)
    packets = [
        Rtp(T0_US + i * 20_000, i, 50_000, heads + b"\x65" + b"".join(r for _, r in back) + report(3, 160 * i), 97)
        for i in range(4)
    ]
    found = events(stream_of(packets), payloads)
    assert [(one.symbol, one.duration_ms, one.complete) for one in found] == [
        ("1", 100.0, True),
        ("2", 80.0, True),
        ("3", 60.0, False),
    ]
    # Exact but for one update: whether the first is sent at once or after its 20 ms, nobody saw.
    assert [one.time_us - T0_US for one in found] == pytest.approx([-300_000, -150_000, 0], abs=20_000)


def test_payload_types_change_over_time() -> None:
    packets = press("1", timestamp=0) + press("2", timestamp=16_000, sequence=50, pt=96)
    spans = ((0, EVENTS), (T0_US + 1_000_000, {96: Codec("telephone-event", 8000)}))
    assert symbols(events_within(stream_of(packets), spans)) == "12"
    assert symbols(events_within(stream_of(packets), spans[:1])) == "1"


def test_unannounced_events_are_assumed_only_when_nothing_was_announced() -> None:
    packets = talk(b"\xff" * 1600) + [p._replace(sequence=2000 + p.sequence) for p in press("1", timestamp=200_000)]
    (digit,) = events(stream_of(packets))
    assert digit.assumed
    assert events(stream_of(packets), {100: Codec("telephone-event", 8000)}) == []
    assert events(stream_of(packets), {101: Codec("speex", 8000)}) == []


@pytest.mark.parametrize(
    "spoiled", [b"\x01\x0a\x00\xa0\x00", b"\x20\x0a\x00\xa0", b"\x01\x4a\x00\xa0", b"\x02\x0a\x00\xa0"]
)
def test_what_does_not_behave_like_events_is_not_taken_for_them(spoiled: bytes) -> None:
    packets = press("1", timestamp=200_000)
    assert symbols(events(stream_of(packets))) == "1"
    packets.insert(2, packets[1]._replace(payload=spoiled, sequence=99))
    assert events(stream_of(packets)) == []


@given(st.data())
def test_order_duplication_and_loss_change_no_key(data: st.DataObject) -> None:
    text = data.draw(st.text(KEYS, min_size=1, max_size=10))
    dice = random.Random(data.draw(st.integers(0, 2**32)))
    kept: list[Rtp] = []
    for i in range(len(text)):
        own = press(text[i], timestamp=10_000 + 1600 * i, sequence=8 * i)
        kept += dice.choices(own, k=dice.randrange(1, 12))
    dice.shuffle(kept)
    packets = [packet._replace(time_us=T0_US + 100_000 * i // 4) for i, packet in enumerate(kept)]
    assert symbols(events(stream_of(packets), EVENTS)) == text


@given(
    st.lists(st.tuples(st.binary(max_size=12), st.integers(0, 2**32 - 1), st.sampled_from([0, 97, 101])), min_size=1)
)
def test_any_octets_are_read_without_harm(sent: list[tuple[bytes, int, int]]) -> None:
    packets = [Rtp(T0_US + i * 20_000, i, ts, payload, pt) for i, (payload, ts, pt) in enumerate(sent)]
    payloads = {101: Codec("telephone-event", 8000), 97: Codec("red", 8000)}
    found = events(stream_of(packets), payloads)
    whole = {(ts, payload[0]) for payload, ts, pt in sent if pt == 101 and len(payload) == 4}
    if not any(pt == 97 for _, _, pt in sent):
        assert len(found) <= len(whole)
        assert bool(found) == bool(whole)
    for digit in found:
        assert digit.duration_ms is not None
        assert digit.duration_ms >= 0
    events(stream_of(packets))


@pytest.mark.parametrize("name", ["dtmf-2833-call", "rtp-dtmf-only", "sipp-dtmf-star"])
def test_real_captures(name: str) -> None:
    truth = truth_of(name)
    # Only this capture holds its SDP.
    payloads = {96: Codec("telephone-event", 8000)} if name == "dtmf-2833-call" else None
    found = {}
    for stream in streams(rtp_chunks(name, truth["rtp_rfc3550"])):
        assert stream.key.ssrc is not None
        found[str(stream.key.src), stream.key.ssrc] = [
            [one.symbol, one.time_us, one.duration_ms, one.complete] for one in events(stream, payloads)
        ]
    for sender in truth["dtmf"]:
        expected = [[key, time_us, units / 8, ended] for key, _, time_us, _, units, ended in sender["events"]]
        assert found.pop((sender["src"], int(sender["ssrc"], 16))) == expected
    assert not any(found.values())


@pytest.mark.parametrize("name", ["fax-t38-megaco", "rtp-vlan-mixed-ng", "srtp-g722", "amr-nb-dup-sll"])
def test_captures_without_keys_have_none(name: str) -> None:
    found = streams(rtp_chunks(name, truth_of(name)["rtp_rfc3550"]))
    assert [events(stream) for stream in found] == [[] for _ in found]
