"""A number for the packets of a chunk, by which two copies of a stream are told to be the same without sending them.

The print of some packets is the sum of those of each, so that it does not matter how a node cut a stream into chunks.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# What makes a packet the same packet on another node: the sender's clock and the packet itself.
SAME: Final = ("time_us", "timestamp", "sequence", "payload_type", "length")
_ODD: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F)
_WORD: Final = 1 << 64


def print_of(rows: NDArray[np.void]) -> int:
    """Give the print of packets (RTP_ROW), 64 bits."""
    mixed = np.zeros(len(rows), np.uint64)
    for name, odd in zip(SAME, _ODD, strict=True):
        mixed ^= rows[name].astype(np.uint64) * np.uint64(odd)
        # The finalizer of SplitMix64 (Steele, Lea and Flood), so that sums of neighbours do not meet.
        mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(_ODD[1])
        mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(_ODD[2])
        mixed ^= mixed >> np.uint64(31)
    return int(mixed.sum(dtype=np.uint64)) % _WORD
