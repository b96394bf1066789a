"""What can be heard and written to a file: samples at a known rate, rendered wherever they are asked for."""

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US
from sipflow.errors import BadQuery
from sipflow.media.completeness import Completeness

_LOUDEST: Final = np.iinfo(np.int16)


class Sounding(Protocol):
    """A recording, or part of one: `samples` per channel at `rate` [Hz], the first at `start_us`."""

    @property
    def rate(self) -> int:
        """Tell the samples per second and channel."""
        ...

    @property
    def channels(self) -> int:
        """Tell the channels: 2 for left and right, 1 for one leg or a mix."""
        ...

    @property
    def samples(self) -> int:
        """Tell the length in samples per channel."""
        ...

    @property
    def start_us(self) -> int:
        """Tell the time of the first sample."""
        ...

    @property
    def completeness(self) -> Completeness:
        """Tell how much of the audio there is, and why the rest is missing."""
        ...

    def pcm(self, start: int, stop: int) -> NDArray[np.int16]:
        """Render samples [start, stop) as an array (samples, channels), left before right."""
        ...


class Excerpt:
    """Samples [start, stop) of a recording; its completeness stays that of the whole."""

    def __init__(self, whole: Sounding, start: int, stop: int) -> None:
        self._whole = whole
        self._start = start
        self.rate = whole.rate
        self.channels = whole.channels
        self.samples = stop - start
        self.start_us = whole.start_us + start * SECOND_US // whole.rate
        self.completeness = whole.completeness

    def pcm(self, start: int, stop: int) -> NDArray[np.int16]:
        """Render samples [start, stop) of the excerpt."""
        return self._whole.pcm(self._start + start, self._start + min(stop, self.samples))


class MonoMix:
    """All channels of a recording added into one, with saturation, as legs that share a channel are."""

    def __init__(self, whole: Sounding) -> None:
        self._whole = whole
        self.rate = whole.rate
        self.channels = 1
        self.samples = whole.samples
        self.start_us = whole.start_us
        self.completeness = whole.completeness

    def pcm(self, start: int, stop: int) -> NDArray[np.int16]:
        """Render samples [start, stop) as an array (samples, 1)."""
        added = self._whole.pcm(start, stop).sum(axis=1, dtype=np.int32, keepdims=True)
        mixed: NDArray[np.int16] = np.clip(added, _LOUDEST.min, _LOUDEST.max).astype(np.int16)
        return mixed


def excerpt(whole: Sounding, start_s: float | None, end_s: float | None) -> Sounding:
    """Cut a recording to [start_s, end_s), in seconds from its first sample; None is its beginning or end.

    An end beyond the recording is its end. Raises BadQuery when nothing would be left.
    """
    if start_s is None and end_s is None:
        return whole
    last_s = whole.samples / whole.rate
    if start_s is not None and start_s >= last_s:
        raise BadQuery(f"start: found {start_s:g}; allowed: less than {last_s:.3f} s, the length of this recording")
    start = round((start_s or 0.0) * whole.rate)
    stop = whole.samples if end_s is None else min(round(end_s * whole.rate), whole.samples)
    if start >= stop:
        raise BadQuery(f"end: found {end_s}, less than one sample after the start; allowed: later than start")
    return Excerpt(whole, start, stop)
