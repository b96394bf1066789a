"""Loss, order and jitter against worked examples and against what tshark's fields give for real captures."""

import math
import random
from typing import Any

import numpy as np
import pytest

from captured_rtp import rtp_chunks, truth_of
from chunks import T0_US, Rtp, make_chunk, make_chunks, make_key, talk
from sipflow.media.codec import Codec, Payloads
from sipflow.media.jitter import smooth
from sipflow.media.statistics import StreamStatistics, statistics

EVENTS = {101: Codec("telephone-event", 8000)}


def stats(packets: list[Rtp], payloads: Payloads | None = None, size: int = 7) -> StreamStatistics:
    """Measure one stream of these packets."""
    (one,) = statistics(make_chunks(make_key(), packets, size), payloads)
    return one


def numbered(*numbers: int, step_ms: int = 20) -> list[Rtp]:
    """Packets with these sequence numbers at a steady pace, timestamps following the numbers."""
    return [
        Rtp(T0_US + i * step_ms * 1000, number, 160 * ((number + 32768) % 65536)) for i, number in enumerate(numbers)
    ]


def balanced(one: StreamStatistics) -> bool:
    """Every packet is accounted for."""
    return one.packet_count == one.expected - one.lost + one.duplicates + one.strays


# --- quality.md 4.1 ---


def test_l1_passive_count_apart() -> None:
    one = stats(numbered(65532, 65533, 65534, 65535, 0, 1, 3, 2, 3, 5))
    assert (one.expected, one.packet_count, one.duplicates, one.reordered, one.lost) == (10, 10, 1, 1, 1)
    assert one.loss_percent == 10.0
    assert balanced(one)


def test_l2_restart_readmits_the_packet_that_announced_it() -> None:
    one = stats(numbered(100, 101, 102, 20000, 20001, 20002))
    assert (one.segments, one.resets, one.expected, one.lost, one.strays) == (2, 1, 6, 0, 0)


def test_l3_too_late_is_left_out() -> None:
    one = stats(numbered(1000, 1001, 1002, 850, 1003))
    assert (one.expected, one.lost, one.strays, one.resets) == (4, 0, 1, 0)
    assert balanced(one)


def test_a_lone_jump_is_a_stray_not_19897_lost() -> None:
    one = stats(numbered(100, 101, 102, 20000, 103, 104))
    assert (one.expected, one.lost, one.strays, one.resets) == (5, 0, 1, 0)


def test_restart_with_every_second_packet_lost_is_still_found() -> None:
    one = stats(numbered(100, 101, 102, *range(20000, 20100, 2)))
    assert (one.resets, one.expected, one.lost) == (1, 3 + 99, 49)


def test_restart_a_few_numbers_back_is_no_flood_of_duplicates() -> None:
    packets = talk(b"\xff" * 1600, sequence=1) + talk(
        b"\xff" * 1600, time_us=T0_US + 200_000, sequence=1, timestamp=10**6
    )
    one = stats(packets)
    assert (one.resets, one.duplicates, one.lost, one.expected) == (1, 0, 0, 20)


def test_late_burst_returns_to_its_place() -> None:
    kept = [number for number in range(1000) if not 500 <= number < 520]
    one = stats(numbered(*kept[:700], *range(500, 520), *kept[700:]))
    assert (one.late, one.lost, one.resets, one.duplicates) == (20, 0, 0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_random_trouble_is_counted_exactly(seed: int) -> None:
    chance = random.Random(seed)
    first = chance.randrange(65536)
    numbers = list(range(70_000 if seed < 2 else 3000))
    lost = {number for number in numbers[1:-1] if chance.random() < 0.1}
    sent = [number for number in numbers if number not in lost]
    doubled = chance.sample(sent, 50)
    arrivals = sorted(
        [(number + chance.uniform(0, 6), number) for number in sent]
        + [(number + 7 + chance.uniform(0, 20), number) for number in doubled]
    )
    order = [number for _, number in arrivals]
    seen: set[int] = set()
    highest = reordered = -1
    reordered = 0
    for number in order:
        if number not in seen and number < highest:
            reordered += 1
        seen.add(number)
        highest = max(highest, number)
    packets = [
        Rtp(T0_US + i * 20_000, (first + number) % 65536, 160 * number, b"\xff") for i, number in enumerate(order)
    ]
    one = stats(packets, size=100)
    assert (one.lost, one.duplicates, one.reordered) == (len(lost), 50, reordered)
    assert (one.expected, one.segments, one.strays) == (len(numbers), 1, 0)
    assert balanced(one)


# --- quality.md 4.2 ---

J1_MS = [0.0, 20.0, 45.0, 60.0, 90.0, 100.0]


def at_times(times_ms: list[float], step: int = 160, payload_type: int = 0) -> list[Rtp]:
    """Packets at these times, timestamps at a steady step."""
    return [Rtp(T0_US + round(ms * 1000), i, step * i, payload_type=payload_type) for i, ms in enumerate(times_ms)]


def test_j1() -> None:
    expected = [0, 0.3125, 0.6055, 1.1926, 1.7431]
    for count, jitter in enumerate(expected, 2):
        assert stats(at_times(J1_MS[:count])).jitter_ms == pytest.approx(jitter, abs=5e-5)
    one = stats(at_times(J1_MS))
    assert one.jitter_max_ms == pytest.approx(1.743, abs=5e-4)
    # tshark's mean 0.771 is over the five later packets
    assert one.jitter_mean_ms == pytest.approx(0.771, abs=5e-4)


def test_j2() -> None:
    times = [20.0 * i + 5 * (i % 2) for i in range(201)]
    for index, jitter in ((1, 0.3125), (10, 2.3777), (50, 4.8016), (100, 4.9921)):
        assert stats(at_times(times[: index + 1])).jitter_ms == pytest.approx(jitter, abs=5e-5)
    assert stats(at_times(times)).jitter_mean_ms == pytest.approx(4.625, abs=5e-4)


def test_j3_another_clock_same_milliseconds() -> None:
    one = stats(at_times(J1_MS, step=960, payload_type=111), {111: Codec("opus", 48000)})
    assert one.jitter_ms == pytest.approx(1.7431, abs=5e-5)
    assert (one.codec, one.clock_rate) == ("opus", 48000)


def test_j4_duplicates_are_left_out() -> None:
    one = stats(numbered(65532, 65533, 65534, 65535, 0, 1, 3, 2, 3, 5))
    assert one.jitter_ms == pytest.approx(4.6924, abs=5e-5)


def test_the_filter_equals_the_recurrence() -> None:
    differences = np.random.default_rng(5).exponential(20.0, 10_000)
    jitter, expected = 0.0, []
    for difference in differences.tolist():
        jitter += (difference - jitter) / 16
        expected.append(jitter)
    assert np.allclose(smooth(differences), expected, rtol=1e-12)
    assert len(smooth(np.zeros(0))) == 0


# --- interop.md 11.4; where the figure is not the reference's, the test says why ---


def test_ten_exact() -> None:
    one = stats(at_times([20.0 * i for i in range(10)]))
    assert (one.packet_count, one.lost, one.expected, one.jitter_ms) == (10, 0, 10, 0.0)


def test_one_lost_then_found() -> None:
    packets = [Rtp(10_000, 10, 1600), Rtp(30_000, 12, 1920)]
    one = stats(packets)
    assert (one.packet_count, one.lost, one.expected, one.jitter_ms) == (2, 1, 3, 1.25)
    one = stats([*packets, Rtp(40_000, 11, 1760)])
    assert (one.packet_count, one.lost, one.expected, one.jitter_ms) == (3, 0, 3, 3.046875)
    assert one.reordered == 1


def test_jump_below_the_dropout_limit_is_loss() -> None:
    one = stats([Rtp(0, 100, 0), Rtp(20_000, 1100, 160)])
    assert (one.packet_count, one.lost, one.expected, one.jitter_ms) == (2, 999, 1001, 0.0)


def test_wrap() -> None:
    one = stats(numbered(65534, 65535, 0, 1, 2, 3))
    assert (one.packet_count, one.lost, one.expected, one.jitter_ms) == (6, 0, 6, 0.0)


def test_79_behind_is_received_not_lost() -> None:
    # reference: 1 lost of 82, as what comes more than 64 late stays lost there although it counts as received
    one = stats(numbered(0, *range(2, 81), 1))
    assert (one.packet_count, one.lost, one.expected, one.reordered) == (81, 0, 81, 1)


def test_sender_restart_is_no_loss() -> None:
    # reference: 25535 lost of 25538
    packets = [Rtp(0, 40000, 0), Rtp(20_000, 0, 160), Rtp(40_000, 1, 320)]
    one = stats(packets)
    assert (one.packet_count, one.lost, one.expected, one.resets, one.jitter_ms) == (3, 0, 3, 1, 0.0)


def test_duplicates_count_apart_and_leave_jitter_alone() -> None:
    # reference: expected 20, jitter 0.0706603957452446
    once = at_times([20.0 * i for i in range(10)])
    one = stats([copy for packet in once for copy in (packet, packet._replace(time_us=packet.time_us + 100))])
    assert (one.packet_count, one.lost, one.expected, one.duplicates, one.jitter_ms) == (20, 0, 10, 10, 0.0)


def test_every_second_one_ten_ms_late() -> None:
    one = stats(at_times([20.0 * i + 10 * (i % 2) for i in range(200)]))
    assert (one.packet_count, one.lost, one.expected) == (200, 0, 200)
    assert one.jitter_ms == pytest.approx(9.999973558626944, rel=1e-12)


def test_dynamic_type_has_no_jitter_of_a_guessed_clock() -> None:
    # reference: 16.67 ms, as it takes every dynamic type for 48 kHz
    one = stats(at_times([20.0 * i for i in range(200)], payload_type=96))
    assert (one.packet_count, one.lost, one.jitter_ms, one.clock_rate) == (200, 0, 0.0, 8000)
    assert one.codec == "payload type 96"


@pytest.mark.parametrize("payloads", [None, EVENTS])
def test_a_leading_event_does_not_rename_the_stream(payloads: Payloads | None) -> None:
    # reference: payload_type 101, clock 48000, 16.64 ms
    packets = at_times([20.0 * i for i in range(100)])
    packets[0] = packets[0]._replace(payload_type=101)
    one = stats(packets, payloads)
    assert (one.packet_count, one.lost, one.expected, one.jitter_ms) == (100, 0, 100, 0.0)
    assert (one.payload_type, one.codec, one.clock_rate) == (0, "PCMU", 8000)


# --- ordinary events that inflated the reference's figures (reference-defects A11, A12) ---


@pytest.mark.parametrize("payloads", [None, EVENTS])
def test_a_digit_is_no_jitter_and_no_loss(payloads: Payloads | None) -> None:
    packets = at_times([20.0 * i for i in range(60)])
    for index in range(20, 33):
        packets[index] = packets[index]._replace(payload_type=101, timestamp=160 * 20, payload=b"\5\n\0\0")
    one = stats(packets, payloads)
    assert (one.lost, one.duplicates, one.jitter_ms) == (0, 0, 0.0)


def test_a_hold_without_advancing_timestamps_is_no_jitter() -> None:
    packets = [Rtp(T0_US + 20_000 * i + (5_000_000 if i >= 50 else 0), i, 160 * i) for i in range(100)]
    assert stats(packets).jitter_max_ms == 0.0


def test_comfort_noise_only_and_what_is_not_rtp() -> None:
    one = stats([packet._replace(payload_type=13, payload=b"\x40") for packet in at_times([0, 20, 40])])
    assert (one.payload_type, one.codec, one.expected) == (13, "CN", 3)
    key = make_key(ssrc=None)
    (one,) = statistics([make_chunk(key, [Rtp(T0_US + i, 0, 0, b"junk", valid=False) for i in range(3)])])
    assert (one.ssrc, one.packet_count, one.expected, one.lost) == (None, 3, 0, 0)
    assert (one.jitter_ms, one.payload_type, one.clock_rate) == (None, None, None)
    assert (one.first_us, one.last_us) == (T0_US, T0_US + 2)


def test_rtcp_on_the_media_port_is_not_media() -> None:
    packets = at_times([20.0 * i for i in range(10)])
    packets.insert(5, Rtp(T0_US + 85_000, 6, 1, b"report", 72))
    one = stats(packets)
    assert (one.packet_count, one.expected, one.lost, one.payload_types) == (11, 10, 0, {0: 10})


def test_streams_are_told_apart_and_sorted() -> None:
    chunks = make_chunks(make_key(leg=1, ssrc=2), talk(b"\xff" * 1600, time_us=T0_US + 5))
    chunks += make_chunks(make_key(leg=0, ssrc=1), talk(b"\xff" * 3200))
    chunks += make_chunks(make_key(leg=0, ssrc=3), talk(b"\xff" * 160, time_us=T0_US + 9))
    found = statistics(reversed(chunks))
    assert [(one.leg, one.ssrc, one.packet_count) for one in found] == [(0, 1, 20), (1, 2, 10), (0, 3, 1)]
    assert found[2].jitter_ms is None
    assert found[0].payload_octets == 3200


def test_chunks_out_of_order_are_put_in_order() -> None:
    chunks = make_chunks(make_key(), at_times([20.0 * i for i in range(100)]), 10)
    random.Random(4).shuffle(chunks)
    (one,) = statistics(chunks)
    assert (one.lost, one.reordered, one.late, one.duplicates, one.resets, one.jitter_ms) == (0, 0, 0, 0, 0, 0.0)


def test_hostile_numbers_are_survived_and_counted() -> None:
    chance = random.Random(9)
    packets = [
        Rtp(T0_US + chance.randrange(10**9), chance.randrange(65536), chance.randrange(2**32)) for _ in range(5000)
    ]
    one = stats(packets)
    assert balanced(one)
    assert one.lost >= 0
    assert one.jitter_ms is None or math.isfinite(one.jitter_ms)


# --- real captures ---


@pytest.mark.parametrize(
    "name",
    [
        "sipp-g711a",
        "ssrc-change",
        "subscribe-notify-call",
        "rtp-loss-g729",
        "amr-nb-dup-sll",
        "magicjack",
        "milliwatt-pcmu",
        "opus-dropped-ng",
        "codec-g711",
        "codec-g729a",
        "srtp-g722",
        "reinvite-codec-change",
        "dtmf-2833-call",
        "prack-cn-rtcp",
        "b2bua-asterisk-ng",
    ],
)
def test_real_captures(name: str) -> None:
    truth: list[dict[str, Any]] = truth_of(name)["rtp_rfc3550"]
    found = {
        (str(one.src), str(one.dst), f"0x{one.ssrc:08x}"): one for one in statistics(rtp_chunks(name, truth), EVENTS)
    }
    assert len(found) == len(truth)
    for known in truth:
        one = found[known["src"], known["dst"], known["ssrc"]]
        assert one.packet_count == known["packets"]
        assert (one.lost, one.duplicates, one.expected) == (known["lost"], known["duplicates"], known["expected"])
        assert one.packet_count - one.duplicates == known["unique"]
        assert one.reordered + one.late == known["out_of_order"]
        assert one.payload_types == {int(number): count for number, count in known["payload_types"].items()}
        assert (one.first_us, one.last_us) == (known["first_us"], known["last_us"])
        assert balanced(one)
        if known["clock"] is not None:
            if one.packet_count == 1:
                assert one.jitter_ms is None
                continue
            assert one.jitter_ms == pytest.approx(known["jitter_ms_last"], abs=1e-3)
            assert one.jitter_max_ms == pytest.approx(known["jitter_ms_max"], abs=1e-3)
