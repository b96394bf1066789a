"""What a jitter buffer would have made of a stream: how many packets come too late to be played.

Delays are those of pace.delays_ms: of each packet against the first one of its epoch, in order of capture.

A fixed buffer plays every packet its size after the first one's delay. The adaptive one follows the network second by
second, as phones do between words: at the start of each second it takes the delay that 95 % of the packets of a second
kept below, of the last WINDOW_S seconds the worst; adds a packet's length; and holds that between LEAST_MS and MOST_MS
above the least delay of these seconds. In its first second it is START_MS above the first packet.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

FIXED_MS: Final = (40, 60, 120)
START_MS: Final = 60.0
LEAST_MS: Final = 20.0
MOST_MS: Final = 200.0
WINDOW_S: Final = 8
_SHARE: Final = 0.95


class Playout(msgspec.Struct, frozen=True, eq=False):
    """A replay: `discarded` came too late; `late` tells which of the packets, as given.

    `name` is the size of a fixed buffer, or "adaptive"; `mean_ms` how long packets waited for their turn on average,
    counted from the least delay of their second or, in a fixed buffer, its size.
    """

    name: str
    mean_ms: float
    discarded: int
    late: NDArray[np.bool_]


def fixed(delays_ms: NDArray[np.float64], size_ms: float) -> Playout:
    """Replay a buffer of one size: what is delayed by more than that, against the first packet, is discarded."""
    anchor = float(delays_ms[0]) if len(delays_ms) else 0.0
    late = delays_ms - anchor > size_ms
    return Playout(f"{size_ms:g} ms", size_ms, int(np.count_nonzero(late)), late)


def adaptive(time_us: NDArray[np.int64], delays_ms: NDArray[np.float64], packet_ms: float = 20.0) -> Playout:
    """Replay a buffer that follows the network; `time_us` rises."""
    if not len(delays_ms):
        return Playout("adaptive", START_MS, 0, np.zeros(0, bool))
    second = (time_us - time_us[0]) // 1_000_000
    first = np.flatnonzero(np.diff(second, prepend=-1))
    count = np.diff(np.append(first, len(second)))
    # Seconds without packets teach nothing and are not counted.
    floor = np.minimum.reduceat(delays_ms, first)
    row = np.repeat(np.arange(len(first)), count)
    by_size = delays_ms[np.lexsort((delays_ms, row))]
    rank = np.minimum((count * _SHARE).astype(np.int64), count - 1)
    high = by_size[first + rank]
    low = -_of_the_last(-floor, WINDOW_S)
    level = np.clip(_of_the_last(high, WINDOW_S) - low + packet_ms, LEAST_MS, MOST_MS)
    # What is learned counts from the next second on.
    play_at = np.append(delays_ms[0] + START_MS, (low + level)[:-1])
    late = delays_ms > play_at[row]
    held = np.append(START_MS, level[:-1])
    return Playout("adaptive", float((held * count).sum() / len(row)), int(np.count_nonzero(late)), late)


def replay(
    time_us: NDArray[np.int64],
    delays_ms: NDArray[np.float64],
    packet_ms: float = 20.0,
    sizes_ms: Sequence[float] = FIXED_MS,
) -> tuple[Playout, ...]:
    """Replay the fixed buffers, smallest first, then the adaptive one."""
    return (*(fixed(delays_ms, size) for size in sizes_ms), adaptive(time_us, delays_ms, packet_ms))


def _of_the_last(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Give for each value the largest of itself and those before it, `count` in all."""
    padded = np.concatenate((np.full(count - 1, -np.inf), values))
    largest: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, count).max(axis=1)
    return largest
