"""What the C core stamps is what Python says of a call, octet by octet, and no two calls are alike."""

import itertools

import msgspec
import numpy as np
import pytest

from sipflow._fast import Mould
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.course import VARIANTS, mould_of
from sipflow.load.draw import call_key, call_keys, draw, draw_below, draws, draws_below
from sipflow.load.hole import Field, Form, Holes, Stamp, octets_in, template
from sipflow.load.mould import FIELD, LINE, PATCH, ROLE, SAYING
from sipflow.load.scenario import SCENARIOS, Scenario
from sipflow.load.style import PLAIN, Style
from sipflow.wire.datagram import encode_packet

START = 1_780_000_000_000_000
SPANS = (100_000, 2_345_678, 30_000_000, 4_680_000_000)  # the last one is 1.3 times an hour
CLIENT = 77


@pytest.fixture(scope="module")
def bank() -> VoiceBank:
    return VoiceBank.make(5)


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("scenario", Scenario)
def test_the_core_and_python_write_the_same_octets(scenario: Scenario, ipv6: bool, bank: VoiceBank) -> None:
    variants = set()
    for number in range(2 * VARIANTS):
        call = Call(5, number, scenario, START + number * 7919, SPANS[number % len(SPANS)], Style(ipv6=ipv6))
        frames = call.mould.frames(bank, CLIENT).frames(call.key, call.start_us, call.span_us)
        expected = [encode_packet(msgspec.structs.replace(p, client_id=CLIENT)) for p in call.messages()]
        assert frames == expected
        variants.add(call.variant)
    assert len(variants) > 0.8 * VARIANTS


@pytest.mark.parametrize("scenario", [s for s in Scenario if s.talks])
def test_the_core_and_python_speak_the_same_packets(scenario: Scenario, bank: VoiceBank) -> None:
    for number in range(40):
        call = Call(5, number, scenario, START, SPANS[number % 2] + number * 1000)
        streams = call.streams()
        spoken = call.mould.frames(bank, CLIENT).streams(call.key, call.start_us, call.span_us)
        assert [packets for packets in spoken if packets] == [
            [(packet.time_us, packet.payload) for packet in stream.packets(bank)] for stream in streams
        ]
        for stream in call.streams():
            assert stream.sent(bank) == len(stream.packets(bank))


def test_draws_are_the_same_one_by_one_and_many_at_once() -> None:
    numbers = np.array([0, 1, 2, 1000, 2**40], np.int64)
    keys = call_keys(9, numbers)
    assert keys.tolist() == [call_key(9, int(number)) for number in numbers]
    for k in (0, 1, 200):
        assert draws(keys, k).tolist() == [draw(int(key), k) for key in keys]
        for count in (1, 10, 1 << 32):
            assert draws_below(keys, k, count).tolist() == [draw_below(int(key), k, count) for key in keys]


def test_draws_of_splitmix64() -> None:
    """The generator's first outputs for a seed of 0."""
    assert [f"{draw(0, k):016x}" for k in range(3)] == ["e220a8397b1dcdaf", "6e789e6aa1b965f4", "06c45d188009454f"]


def test_calls_have_their_own_identifiers() -> None:
    calls = [Call(1, number, Scenario.ANSWERED, START, 12_000_000) for number in range(3000)]
    assert len({call.call_id for call in calls}) == len(calls)
    assert len({call.messages()[0].src for call in calls}) > 2500
    texts = [call.messages()[0].payload for call in calls]
    for pattern in (b"tag=", b"branch="):
        assert len({text.partition(pattern)[2][:18] for text in texts}) == len(calls)


def test_moments_stay_in_order_in_calls_of_any_length() -> None:
    for scenario, variant in itertools.product(SCENARIOS, range(8)):
        mould = mould_of(1, scenario, variant, PLAIN, 503)
        for key, span_us in itertools.product(range(20), SPANS):
            times = [saying.when.time(key, START, span_us) for saying in mould.sayings]
            assert times[0] == START
            assert times[-1] <= START + span_us
            assert all(a < b for a, b in itertools.pairwise(times))


def test_holes_have_the_length_of_what_stands_in_them() -> None:
    holes = Holes()
    port = holes.decimal(10_000, 5_000, step=2)
    text = f"Dvořák {holes.hex(12)}{holes.hex(16)}:{port}/{holes.plus(port, 1)} {holes.decimal(0, 100, width=2)}"
    octets, patches = template(text, holes.fields)
    assert octets.decode() == f"Dvořák {'0' * 28}:10000/10001 00"
    assert [at for at, _ in patches] == [9, 21, 38, 44, 50]
    for key in range(50):
        filled = Stamp(holes.fields, key).fill(text)
        assert len(filled.encode()) == octets_in(text) == len(octets)
        own, next_one = (int(number) for number in filled.split()[1].partition(":")[2].split("/"))
        assert next_one == own + 1
        assert own % 2 == 0


def test_a_field_is_written_as_wide_as_it_is() -> None:
    assert Field(Form.DECIMAL, 4, 0, 7, 1).write(7) == b"0007"
    assert Field(Form.HEX, 4, 0, 0xAB, 1).write(0xAB) == b"00ab"
    assert Field(Form.BINARY, 2, 0, 0xAB, 1).write(0xAB) == b"\0\xab"


def test_a_mould_that_leaves_its_arrays_is_refused(bank: VoiceBank) -> None:
    def made(**changes: object) -> Mould:
        parts: dict[str, object] = {
            "octets": bytes(100),
            "fields": np.zeros(0, FIELD).view("u1"),
            "patches": np.zeros(0, PATCH).view("u1"),
            "sayings": np.array([(0, 100, 0, 0, 0, 0, 0, 0, 0)], SAYING).view("u1"),
            "lines": np.array([(0, 1, 0, 0)], LINE).view("u1"),
            "roles": np.zeros(0, ROLE).view("u1"),
        }
        return Mould(bank.voices, 32, 17, **{**parts, **changes})  # type: ignore[arg-type]

    assert len(made().frames(1, START, 1000)) == 1
    with pytest.raises(ValueError, match="mould: a frame outside the octets"):
        made(octets=bytes(99))
    with pytest.raises(ValueError, match="mould: no message"):
        made(sayings=np.zeros(0, SAYING).view("u1"))
    with pytest.raises(ValueError, match="found 5 octets of records of 4"):
        made(patches=bytes(5))
