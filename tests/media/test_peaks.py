"""The outline of a recording is the extremes of its samples, whatever the width, without one sample missed."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sipflow.errors import BadQuery
from sipflow.media.peaks import peaks
from sipflow.media.sounding import excerpt
from sounds import Speech


class Noise(Speech):
    """Samples without any order, so that a sample in the wrong bucket shows."""

    def __init__(self, samples: int, channels: int = 2) -> None:
        super().__init__(samples / 8000, 8000, channels)
        whole = np.random.default_rng(samples).integers(-(1 << 15), 1 << 15, (samples, channels))
        self.all = whole.astype(np.int16)

    def pcm(self, start: int, stop: int) -> NDArray[np.int16]:
        """Give samples [start, stop)."""
        self.longest_asked = max(self.longest_asked, stop - start)
        return self.all[start:stop]


def naive(samples: NDArray[np.int16], width: int) -> list[tuple[list[int], list[int]]]:
    """Look at every sample."""
    count = min(width, len(samples))
    found = []
    for channel in range(samples.shape[1]):
        column = samples[:, channel].tolist()
        buckets = [column[i * len(column) // count : (i + 1) * len(column) // count] for i in range(count)]
        found.append(([min(bucket) for bucket in buckets], [max(bucket) for bucket in buckets]))
    return found


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(1, 200_000), width=st.integers(1, 10_000), channels=st.integers(1, 2))
def test_peaks_are_the_extremes_of_their_buckets(samples: int, width: int, channels: int) -> None:
    noise = Noise(samples, channels)
    found = peaks(noise, width)
    assert found.least.dtype == found.greatest.dtype == np.int16
    got = [(found.least[c].tolist(), found.greatest[c].tolist()) for c in range(channels)]
    assert got == naive(noise.all, width)


@pytest.mark.parametrize("samples", [65_535, 65_536, 65_537, 131_072, 200_003])
@pytest.mark.parametrize("width", [1, 2, 3, 7, 1000, 10_000])
def test_peaks_at_the_edges_of_windows(samples: int, width: int) -> None:
    noise = Noise(samples)
    found = peaks(noise, width)
    assert [(a.tolist(), b.tolist()) for a, b in zip(found.least, found.greatest, strict=True)] == naive(
        noise.all, width
    )
    assert noise.longest_asked <= 1 << 16


def test_a_part_has_the_peaks_of_its_samples() -> None:
    noise = Noise(80_000)
    part = excerpt(noise, 2.5, 7.0)
    assert (part.samples, part.start_us - noise.start_us) == (36_000, 2_500_000)
    found = peaks(part, 500)
    assert found.least[0].tolist() == naive(noise.all[20_000:56_000], 500)[0][0]
    assert np.array_equal(part.pcm(0, 1 << 20), noise.all[20_000:56_000])


def test_an_end_beyond_is_the_end_and_a_start_beyond_is_refused() -> None:
    noise = Noise(8_000)
    assert excerpt(noise, None, None) is noise
    assert excerpt(noise, 0.5, 1e9).samples == 4_000
    with pytest.raises(BadQuery, match=r"start: found 1; allowed: less than 1.000 s"):
        excerpt(noise, 1.0, None)
    with pytest.raises(BadQuery, match="later than start"):
        excerpt(noise, 0.5, 0.5)


@pytest.mark.parametrize("width", [0, -1, 10_001])
def test_a_width_nobody_draws_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match="allowed: 1 to 10000"):
        peaks(Noise(100), width)


def test_peaks_are_fast() -> None:
    # 500 M samples/s are meant for an idle core; a tenth tells a loop over samples from whole windows on any machine.
    noise = Noise(4_000_000)
    began = time.process_time()
    peaks(noise, 2000)
    assert 8_000_000 / (time.process_time() - began) > 50e6
