"""Clocks that are fast or slow: measured, and the legs of a long call stay together."""

import numpy as np
import pytest

from chunks import T0_US, Rtp, make_chunks, make_key
from sipflow.media.drift import drift_ppm
from sipflow.media.recording import Recording

FRAME = bytes(np.random.default_rng(3).integers(0, 128, 160, dtype=np.uint8))


def sent(seconds: int, ppm: float, jitter_us: int = 0) -> list[Rtp]:
    """Packets of 20 ms by a clock that is `ppm` fast, as captured by one that is right."""
    chance = np.random.default_rng(1)
    late = chance.integers(0, jitter_us + 1, seconds * 50)
    late[0] = 0
    return [
        Rtp(T0_US + round(at * 20_000 / (1 + ppm / 1e6)) + int(late[at]), at, at * 160, FRAME)
        for at in range(seconds * 50)
    ]


def test_the_golden_clock_is_100_ppm_fast() -> None:
    # quality.md 4.9: 480 048 samples in 60 s
    media_us = np.arange(0, 480_049, 48) * 125
    time_us = T0_US + np.rint(media_us * (60 / 60.006)).astype(np.int64)
    assert media_us[-1] == 60_006_000
    assert time_us[-1] - T0_US == 60_000_000
    assert drift_ppm(time_us, media_us) == pytest.approx(100, abs=0.05)


@pytest.mark.parametrize("ppm", [-250.0, -100.0, 0.0, 35.0, 400.0])
def test_jitter_and_a_stall_do_not_hide_the_clock(ppm: float) -> None:
    packets = sent(600, ppm, jitter_us=80_000)
    time_us = np.array([packet.time_us for packet in packets])
    # 100 s of it held up by 0.3 s
    time_us[10_000:15_000] += 300_000
    media_us = np.arange(len(packets)) * 20_000
    assert drift_ppm(time_us, media_us) == pytest.approx(ppm, abs=10)


def test_what_is_too_short_or_a_filling_queue_is_no_drift() -> None:
    media_us = np.arange(1400) * 20_000
    assert drift_ppm(T0_US + media_us, media_us) is None
    media_us = np.arange(5000) * 20_000
    assert drift_ppm(T0_US + media_us + media_us // 100, media_us) is None


@pytest.mark.parametrize("ppm", [100.0, -100.0, 300.0, -300.0])
def test_legs_of_a_long_call_stay_together(ppm: float) -> None:
    seconds = 1200
    chunks = make_chunks(make_key(leg=0, ssrc=1), sent(seconds, ppm))
    chunks += make_chunks(make_key(leg=1, ssrc=2), sent(seconds, 0))
    recording = Recording.open("c", chunks)
    left, right = (track.placed for track in recording.timeline.tracks)
    drifts = {drift.key.leg: drift for drift in recording.timeline.drifts}
    assert drifts[0].ppm == pytest.approx(ppm, abs=1)
    assert drifts[1].ppm == pytest.approx(0, abs=1)
    # Every packet is where it was captured, to a sample or two.
    starts = left["start"][left["length"] > 1]
    due = np.array([(packet.time_us - T0_US) * 8000 // 1_000_000 for packet in sent(seconds, ppm)])
    assert np.abs(starts - due).max() <= 2
    # No hole, no overlap, and nothing but single samples was taken out or put in.
    ends = left["start"] + left["length"]
    assert np.array_equal(left["start"][1:], ends[:-1])
    assert drifts[0].corrected == pytest.approx(abs(ppm) * 1e-6 * seconds * 8000, abs=2)
    assert np.array_equal(right["length"], np.full(seconds * 50, 160))


def test_a_sample_put_in_is_the_one_before_it() -> None:
    recording = Recording.open("c", make_chunks(make_key(), sent(600, -300)))
    placed = recording.timeline.tracks[0].placed
    put_in = placed["start"][placed["length"] == 1]
    assert len(put_in) == recording.timeline.drifts[0].corrected > 1000
    for at in put_in[:50].tolist():
        before, again = recording.pcm(at - 1, at + 1)[:, 0].tolist()
        assert before == again != 0


def test_drift_that_nobody_hears_changes_no_sample() -> None:
    # 30 ms in five minutes
    recording = Recording.open("c", make_chunks(make_key(), sent(300, 100)))
    assert recording.timeline.drifts[0].ppm == pytest.approx(100, abs=1)
    assert recording.timeline.drifts[0].corrected == 0
    assert recording.samples == 300 * 8000
