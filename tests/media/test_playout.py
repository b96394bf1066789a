"""Replays of jitter buffers, and the delays they are given."""

import numpy as np
import pytest
from numpy.typing import NDArray

from chunks import T0_US, Rtp, make_chunks, make_key
from sipflow.media.pace import delays_ms, pace
from sipflow.media.playout import LEAST_MS, MOST_MS, START_MS, adaptive, fixed, replay
from sipflow.media.stream import streams

RELATIVE = np.array([0.0, 10, 60, 20, 45, 55, 0])


def test_a_fixed_buffer_discards_what_is_later_than_its_size() -> None:
    one = fixed(RELATIVE, 50)
    assert (one.discarded, np.flatnonzero(one.late).tolist(), one.name, one.mean_ms) == (2, [2, 5], "50 ms", 50)
    assert fixed(RELATIVE, 60).discarded == 0


def test_its_anchor_is_the_first_packet() -> None:
    assert fixed(RELATIVE + 500, 50).discarded == 2
    assert fixed(RELATIVE[2:], 1).discarded == 0  # 60, then less


def steady(seconds: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    time_us = np.arange(seconds * 50) * 20_000
    return time_us, np.zeros(len(time_us))


def test_the_adaptive_buffer_shrinks_on_a_quiet_network() -> None:
    one = adaptive(*steady(60))
    assert (one.discarded, one.name) == (0, "adaptive")
    assert one.mean_ms == pytest.approx((START_MS + 59 * LEAST_MS) / 60)


def test_it_loses_the_first_second_of_a_rise_and_learns() -> None:
    time_us, delay = steady(60)
    delay[20 * 50 : 40 * 50 : 2] = 90.0
    one = adaptive(time_us, delay)
    assert np.flatnonzero(one.late).tolist() == list(range(1000, 1050, 2))


def test_it_forgets_after_a_while() -> None:
    time_us, delay = steady(60)
    delay[20 * 50 : 21 * 50] = 90.0
    delay[40 * 50] = 90.0
    one = adaptive(time_us, delay)
    assert one.late[2000]  # twenty seconds later it is small again


def test_a_few_stragglers_do_not_stretch_it() -> None:
    time_us, delay = steady(60)
    delay[25::50] = 150.0
    one = adaptive(time_us, delay)
    assert one.discarded == 60
    assert one.mean_ms < START_MS


def test_it_has_a_largest_size() -> None:
    time_us, delay = steady(60)
    delay[1::2] = 1000.0
    assert adaptive(time_us, delay).discarded == 1500
    delay[1::2] = MOST_MS - 21
    assert adaptive(time_us, delay).discarded == 25


def test_it_follows_a_lasting_change_of_the_path() -> None:
    time_us, delay = steady(60)
    delay[1500:] = 300.0
    one = adaptive(time_us, delay)
    # For the window the least delay is still the old one, then the buffer stands on the new one.
    assert set(np.flatnonzero(one.late).tolist()) == set(range(1500, 1900))


def test_nothing_to_play() -> None:
    assert [one.discarded for one in replay(np.zeros(0, np.int64), np.zeros(0))] == [0, 0, 0, 0]


def delays_of(packets: list[Rtp]) -> NDArray[np.float64]:
    (stream,) = streams(make_chunks(make_key(), packets))
    return delays_ms(pace(stream.unique, 0))


def test_delays_are_against_the_senders_clock() -> None:
    packets = [Rtp(T0_US + 20_000 * i + int(1000 * d), i, 160 * i) for i, d in enumerate(RELATIVE.tolist())]
    arrived = sorted(packets, key=lambda packet: packet.time_us)
    found = delays_of(packets)
    assert sorted(found.tolist()) == sorted(RELATIVE.tolist())
    assert found.tolist() == [RELATIVE[packet.sequence] for packet in arrived]


def test_a_clock_that_drifts_is_no_delay() -> None:
    # 100 ppm over ten minutes: 60 ms, more than the smallest buffer
    packets = [Rtp(T0_US + round(20_000 * i * 1.0001), i, 160 * i) for i in range(30_000)]
    assert np.abs(delays_of(packets)).max() < 0.1


def test_a_network_that_slows_down_for_good_is_delay() -> None:
    packets = [Rtp(T0_US + 20_000 * i + (150_000 if i >= 4000 else 0), i, 160 * i) for i in range(6000)]
    # Over 120 s this cannot be a clock: more than 1000 ppm.
    assert delays_of(packets)[-1] == pytest.approx(150)


def test_a_new_talkspurt_after_a_pause_starts_anew() -> None:
    packets = [Rtp(T0_US + 20_000 * i + (5_000_000 if i >= 50 else 0), i, 160 * i) for i in range(100)]
    assert np.abs(delays_of(packets)).max() == 0.0
