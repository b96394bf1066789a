"""Interarrival jitter (RFC 3550, section 6.4.1 and appendix A.8), a whole stream at once."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GAIN: Final = 1.0 / 16.0
_KEEP: Final = 1.0 - _GAIN
# Within a block the recurrence is a weighted sum; 128 keeps the weights below 4000, so nothing is lost to rounding.
_BLOCK: Final = 128


def jitter_series(time_us: NDArray[np.int64], timestamp: NDArray[np.uint32], clock: int) -> NDArray[np.float64]:
    """Give |D| per step between neighbouring packets in order of capture [ms], to be filtered by smooth()."""
    ticks = np.diff(timestamp).astype(np.int32)
    difference: NDArray[np.float64] = np.abs(np.diff(time_us) / 1000.0 - ticks * (1000.0 / clock))
    return difference


def smooth(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Run J += (|D| - J)/16 from 0; gives J after each step, in the unit of the input."""
    count = len(difference)
    blocks = -(-count // _BLOCK)
    padded = np.zeros(blocks * _BLOCK)
    padded[:count] = difference
    decay = _KEEP ** np.arange(1, _BLOCK + 1)
    # J[k] = keep^(k+1) * (J[-1] + sum over i <= k of gain * D[i] / keep^(i+1))
    own = np.cumsum(padded.reshape(blocks, _BLOCK) * (_GAIN / decay), axis=1) * decay
    carry = 0.0
    carried = np.empty((blocks, 1))
    for block in range(blocks):
        carried[block] = carry
        carry = float(own[block, -1] + decay[-1] * carry)
    filtered: NDArray[np.float64] = (own + carried * decay).reshape(-1)
    return filtered[:count]
