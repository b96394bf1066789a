"""From one sample rate to another, band-limited, in pieces of any length."""

import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Taps per phase at the lower of the two rates, and the Kaiser window's shape: 80 dB of what lies beyond the band.
_TAPS: Final = 48
_BETA: Final = 8.0
# The pass band ends here, as a share of the lower rate's half: 3.6 kHz of 4, so that the edge is steep but short.
_BAND: Final = 0.93
# Hops converted at a time, so that their windows stay in a cache.
_BLOCK: Final = 2048


class Resampler:
    """Converts one run of samples; linear phase, its delay taken out: sample n is what was heard at n / rate.

    Give it pieces with feed() and what is left with finish(); together they give total_of() samples.
    """

    def __init__(self, source: int, target: int) -> None:
        """Convert from `source` to `target` [Hz]."""
        common = math.gcd(source, target)
        self.up, self.down = target // common, source // common
        self._filter, self._width = _bank(self.up, self.down)
        self._centre = (self._width - self.down) // 2
        # Half a filter of silence before the first sample.
        self._held: NDArray[np.float32] = np.zeros(self._centre, np.float32)
        self._fed = 0
        self._given = 0

    def total_of(self, samples: NDArray[np.int64] | int) -> NDArray[np.int64] | int:
        """Tell how many samples come of so many."""
        return -(-samples * self.up // self.down)

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Convert as much as can be converted without knowing what follows."""
        self._fed += len(samples)
        return self._convert(samples.astype(np.float32))

    def finish(self) -> NDArray[np.int16]:
        """Convert the rest, as if silence followed; the next feed() begins another run."""
        rest = self._convert(np.zeros(self._width + self.down, np.float32))
        due = -(-self._fed * self.up // self.down)
        out = rest[: due - (self._given - len(rest))]
        self._held = np.zeros(self._centre, np.float32)
        self._fed = self._given = 0
        return out

    def _convert(self, fresh: NDArray[np.float32]) -> NDArray[np.int16]:
        held = np.concatenate([self._held, fresh])
        # Each hop moves by `down` samples and gives `up`; a hop needs `width` samples.
        hops = max((len(held) - self._width) // self.down + 1, 0)
        self._held = held[hops * self.down :].copy()
        out = np.empty((hops, self.up), np.int16)
        if hops:
            windows = np.lib.stride_tricks.sliding_window_view(held, self._width)[:: self.down][:hops]
            for at in range(0, hops, _BLOCK):
                block = np.ascontiguousarray(windows[at : at + _BLOCK]) @ self._filter
                out[at : at + _BLOCK] = np.rint(block, out=block).clip(-32768, 32767)
        self._given += out.size
        return out.reshape(-1)


@cache
def _bank(up: int, down: int) -> tuple[NDArray[np.float32], int]:
    """Design the filters of all `up` phases of a hop: (width, up), and the width [samples of the source]."""
    stretch = max(1.0, down / up)
    half = math.ceil(_TAPS / 2 * stretch)
    width = 2 * half + down
    # Output r of a hop lies at r * down / up behind the hop's first sample, which is `half` into the window.
    at = np.arange(width)[:, None] - half - np.arange(up)[None, :] * down / up
    band = _BAND / stretch
    shape = np.sinc(at * band) * band * _kaiser(at / (half + 0.5))
    return (shape / shape.sum(axis=0)).astype(np.float32), width


def _kaiser(at: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(1 - at**2, 0, None)
    window: NDArray[np.float64] = np.where(inside > 0, np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA), 0.0)
    return window
