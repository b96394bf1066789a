"""A tone stays the tone it was at another rate, where it was, and nothing joins it."""

import numpy as np
import pytest

from sipflow.media.resampling import Resampler

RATES = [(8000, 16000), (8000, 48000), (16000, 48000), (48000, 8000), (8000, 44100), (44100, 48000), (16000, 8000)]


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("piece", [160, 7, 8000])
def test_a_tone_is_kept_in_place_and_level(source: int, target: int, piece: int) -> None:
    at = np.arange(source // 2) / source
    tone = np.rint(10_000 * np.sin(2 * np.pi * 1000 * at)).astype(np.int16)
    resampler = Resampler(source, target)
    parts = [resampler.feed(tone[begin : begin + piece]) for begin in range(0, len(tone), piece)]
    heard = np.concatenate([*parts, resampler.finish()])
    assert len(heard) == resampler.total_of(len(tone)) == -(-len(tone) * target // source)
    due = 10_000 * np.sin(2 * np.pi * 1000 * np.arange(len(heard)) / target)
    middle = slice(target // 50, -target // 50)
    # 60 dB below the tone
    assert np.abs(heard[middle] - due[middle]).max() < 10


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    at = np.arange(48_000) / 48_000
    resampler = Resampler(48_000, 8000)
    heard = resampler.feed(np.rint(10_000 * np.sin(2 * np.pi * 6000 * at)).astype(np.int16))
    assert np.abs(heard[200:]).max() < 10


def test_runs_do_not_hear_each_other() -> None:
    resampler = Resampler(8000, 16000)
    noise = np.random.default_rng(1).integers(-9000, 9000, 800).astype(np.int16)
    first = np.concatenate([resampler.feed(noise), resampler.finish()])
    assert np.array_equal(np.concatenate([resampler.feed(noise), resampler.finish()]), first)
