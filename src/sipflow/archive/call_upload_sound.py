"""A recording at another sample rate, rendered from its beginning to its end."""

import numpy as np
from numpy.typing import NDArray

from sipflow.media.resampling import Resampler
from sipflow.media.sounding import Sounding

_PIECE = 1 << 15


class Resampled:
    """A recording at another rate; to be read in order, once. The rest is that of the original."""

    def __init__(self, whole: Sounding, rate: int) -> None:
        """Convert `whole` to `rate` [Hz]."""
        self._whole = whole
        self._converters = [Resampler(whole.rate, rate) for _ in range(whole.channels)]
        self.rate = rate
        self.channels = whole.channels
        self.samples = int(self._converters[0].total_of(whole.samples))
        self.start_us = whole.start_us
        self.completeness = whole.completeness
        self._taken = 0
        self._given = 0
        self._ready = np.empty((0, whole.channels), np.int16)

    def pcm(self, start: int, stop: int) -> NDArray[np.int16]:
        """Render samples [start, stop), which follow those before. Raises ValueError for others."""
        if start != self._given:
            raise ValueError(f"start: found {start}; allowed: {self._given}, where the last samples ended")
        wanted = min(stop, self.samples) - start
        while len(self._ready) < wanted:
            self._ready = np.concatenate([self._ready, self._next()])
        given, self._ready = self._ready[:wanted], self._ready[wanted:]
        self._given += wanted
        return given

    def _next(self) -> NDArray[np.int16]:
        """Convert some more of the original."""
        until = min(self._taken + _PIECE, self._whole.samples)
        fresh = self._whole.pcm(self._taken, until)
        self._taken = until
        columns = [one.feed(fresh[:, at]) for at, one in enumerate(self._converters)]
        if until == self._whole.samples:
            columns = [
                np.concatenate([column, one.finish()]) for column, one in zip(columns, self._converters, strict=True)
            ]
        return np.stack(columns, axis=1)
