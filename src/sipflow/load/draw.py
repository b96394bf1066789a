"""What a call draws: random numbers that depend on its seed, its number and what they are for, and on nothing else.

The functions are those of draw.h. For many calls at once there is a twin in numpy.
"""

import enum

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Draw(enum.IntEnum):
    """What the first draws of a call are for; TEMPO to PLACE are known to the C core."""

    VARIANT = 0
    TEMPO = 1
    VOICE = 2
    OTHER = 3
    PLACE = 4
    SCENARIO = 5
    LENGTH = 6
    CUT = 7
    PAUSE = 8
    CLIENT = 9
    STATUS = 10
    FREE = 16  # from here on, as a mould needs them


def call_key(seed: int, number: int) -> int:
    """Give the key of a call: the 64 bits that everything random in it comes from, unlike those of any other number."""
    return _mixed((_mixed((seed + _GOLDEN) & _MASK) + number) & _MASK)


def draw(key: int, k: int) -> int:
    """Give draw `k` of a call: 64 bits (SplitMix64)."""
    return _mixed((key + (k + 1) * _GOLDEN) & _MASK)


def draw_below(key: int, k: int, count: int) -> int:
    """Give draw `k` as a number below `count`, which is 2^32 at most."""
    return (draw(key, k) >> 32) * count >> 32


def call_keys(seed: int, numbers: NDArray[np.integer]) -> Keys:
    """Give the keys of many calls."""
    return _all_mixed(np.uint64(_mixed((seed + _GOLDEN) & _MASK)) + numbers.astype(np.uint64))


def draws(keys: Keys, k: int) -> Keys:
    """Give draw `k` of many calls."""
    return _all_mixed(keys + np.uint64((k + 1) * _GOLDEN & _MASK))


def draws_below(keys: Keys, k: int, count: int) -> NDArray[np.int64]:
    """Give draw `k` of many calls as numbers below `count`, which is 2^32 at most."""
    return ((draws(keys, k) >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


def _mixed(z: int) -> int:
    z = (z ^ (z >> 30)) * _FIRST & _MASK
    z = (z ^ (z >> 27)) * _SECOND & _MASK
    return z ^ (z >> 31)


def _all_mixed(z: Keys) -> Keys:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    return z ^ (z >> np.uint64(31))
