"""The outline of a recording, for drawing it: the least and the greatest sample of each of some buckets."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow.media.sounding import Sounding

MAX_WIDTH: Final = 10_000
# Samples rendered and looked at in one go; what is in the cache of the processor is looked at fastest.
_WINDOW_SAMPLES: Final = 1 << 16


class Peaks(NamedTuple):
    """Per channel and bucket the least and the greatest sample: int16 arrays (channels, buckets)."""

    least: NDArray[np.int16]
    greatest: NDArray[np.int16]


def peaks(sounding: Sounding, width: int) -> Peaks:
    """Look for the extremes of `width` equal buckets, or of one per sample when there are fewer samples than that.

    Bucket i holds the samples from i * samples // width up to, not including, (i + 1) * samples // width. Takes the
    memory of one window, however long the recording is. Raises ValueError for a width outside 1 to MAX_WIDTH.
    """
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"width: found {width}; allowed: 1 to {MAX_WIDTH}")
    count = min(width, sounding.samples)
    edges = np.arange(count + 1, dtype=np.int64) * sounding.samples // max(count, 1)
    least = np.full((sounding.channels, count), np.iinfo(np.int16).max, np.int16)
    greatest = np.full((sounding.channels, count), np.iinfo(np.int16).min, np.int16)
    for start in range(0, sounding.samples, _WINDOW_SAMPLES):
        stop = min(start + _WINDOW_SAMPLES, sounding.samples)
        # One channel after the other, so that each bucket is one run of memory.
        window = np.ascontiguousarray(sounding.pcm(start, stop).T)
        first = int(np.searchsorted(edges, start, "right")) - 1
        last = int(np.searchsorted(edges, stop, "left"))
        cuts = np.maximum(edges[first:last] - start, 0)
        np.minimum(least[:, first:last], np.minimum.reduceat(window, cuts, axis=1), out=least[:, first:last])
        np.maximum(greatest[:, first:last], np.maximum.reduceat(window, cuts, axis=1), out=greatest[:, first:last])
    return Peaks(least, greatest)
