"""Epochs: stretches of a stream whose timestamps come from one running clock.

Within an epoch the RTP timestamp places every sample. A new epoch starts
* with a new segment (restart) or clock rate;
* where the timestamp jumps away from capture time by more than JUMP_S without the sequence number explaining it: the
  sender drew new timestamps (when it jumps back, the old epoch goes on);
* where capture time runs ahead by more than PAUSE_S and stays ahead: the sender stood still, its timestamps too.
A network stall or a late packet only looks like the last: delay can only add, so the least delay around it is the same
before and after, and no epoch starts. Slow drift between the clocks starts none either: see drift.py.

Works on millions of packets in a few columns of numbers, each dropped as soon as it is spent.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

JUMP_S: Final = 1.0
PAUSE_S: Final = 0.25
# A clock that strays further than this from capture time is no clock: broken timestamps, or forged ones.
DRIFT_S: Final = 5.0
DRIFT_SHARE: Final = 0.02
# A packet held up by less than this above its epoch's level counts as on time.
SETTLED_S: Final = 0.1
# Levels are compared over at most this many packets on either side of a jump, so that slow drift does not count.
_BEFORE: Final = 500
_AFTER: Final = 3000
_LAST: Final = 10


class Epochs(NamedTuple):
    """Per packet its epoch; per epoch what else is known of it.

    `anchor` is the index of the packet whose capture time holds: the first captured one of a segment; within a
    segment the least delayed one, as a jump often ends in a burst of packets that were held up. `clocked` tells that
    the timestamps keep to capture time, `settled` that the first packet was not held up itself.
    """

    epoch: NDArray[np.int32]
    anchor: NDArray[np.int64]
    clocked: NDArray[np.bool_]
    settled: NDArray[np.bool_]


def epochs(packets: NDArray[np.void], clock: NDArray[np.int64]) -> Epochs:
    """Split packets (PACKET rows, unique, by segment and number; not empty) into epochs; `clock` is in Hz per packet.

    Costs one step of Python per candidate jump, not per packet.
    """
    time_us, segment = packets["time_us"], packets["segment"]
    ticks = np.diff(packets["timestamp"]).astype(np.int32)
    parting = np.zeros(len(packets))
    np.divide(np.diff(time_us), 1e6, out=parting[1:])
    parting[1:] -= ticks / clock[1:]
    fresh = np.ones(len(packets), bool)
    fresh[1:] = (segment[1:] != segment[:-1]) | (clock[1:] != clock[:-1])
    parting[fresh] = 0.0
    jumps = fresh.copy()
    jumps[1:] |= (np.abs(parting[1:]) > JUMP_S) & _unexplained(ticks, np.diff(packets["extended"]), clock)
    del ticks
    starts = np.flatnonzero(jumps | (parting > PAUSE_S))
    delay = np.cumsum(parting, out=parting)
    names = _name(starts, delay, fresh, jumps)
    epoch = np.repeat(np.array(names, np.int32), np.diff(np.append(starts, len(packets))))
    order = by_epoch(epoch)
    edges = np.append(np.searchsorted(epoch[order], np.arange(int(epoch.max()) + 1)), len(epoch))
    anchor = _first_captured(order, edges, time_us)
    settled = np.ones(len(anchor), bool)
    for name in np.flatnonzero(~fresh[order[edges[:-1]]]).tolist():
        head = order[edges[name] : min(edges[name + 1], edges[name] + _BEFORE)]
        anchor[name] = head[np.argmin(delay[head])]
        settled[name] = delay[head[0]] - delay[anchor[name]] <= SETTLED_S
    return Epochs(epoch, anchor, _clocked(order, edges, anchor, delay, time_us), settled)


def _unexplained(ticks: NDArray[np.int32], numbers: NDArray[np.int64], clock: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell where the timestamp does not do what the sequence number says; where it does, capture time jumped."""
    single = ticks[(numbers == 1) & (ticks > 0)]
    pace = int(np.median(single)) if len(single) else 0
    strayed: NDArray[np.bool_] = np.abs(ticks - numbers * pace) > JUMP_S * clock[1:]
    return strayed


def by_epoch(epoch: NDArray[np.int32]) -> NDArray[np.int64]:
    """Give the order of packets by epoch; most often that in which they are."""
    if (epoch[1:] >= epoch[:-1]).all():
        return np.arange(len(epoch))
    return np.argsort(epoch, kind="stable")


def _name(
    starts: NDArray[np.int64], delay: NDArray[np.float64], fresh: NDArray[np.bool_], jumps: NDArray[np.bool_]
) -> list[int]:
    """Give each run between candidates the number of its epoch."""
    names: list[int] = []
    count = began = current = 0
    earlier: tuple[int, float] | None = None  # the epoch before a jump and its delay there: a jump back resumes it
    bounds = np.append(np.flatnonzero(jumps), len(delay))
    limits = bounds[np.searchsorted(bounds, starts, "right")].tolist()
    for start, limit in zip(starts.tolist(), limits, strict=True):
        ahead = delay[start : min(limit, start + _AFTER)]
        after = float(ahead.min())
        before = float(delay[max(began, start - _BEFORE) : start].min()) if start else 0.0
        if fresh[start]:
            current, count, began, earlier = count, count + 1, start, None
        elif jumps[start]:
            left = (current, before)
            if abs(after - before) > JUMP_S:
                resumed = earlier is not None and abs(after - earlier[1]) <= JUMP_S
                current = earlier[0] if resumed and earlier is not None else count
                count += not resumed
                began, earlier = start, left
        elif after - before > PAUSE_S and not _drains(ahead):
            current, count, began = count, count + 1, start
        names.append(current)
    return names


def _drains(ahead: NDArray[np.float64]) -> bool:
    # Still coming faster than they play when the stream ends: what was held up, and no pause can be told from it.
    return bool(ahead[-min(len(ahead), _LAST)] - ahead[-1] > SETTLED_S / 2 and ahead[-1] == ahead.min())


def _first_captured(
    order: NDArray[np.int64], edges: NDArray[np.int64], time_us: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give the packet of each epoch that was captured first; of several, the first by number."""
    earliest = np.minimum.reduceat(time_us[order], edges[:-1])
    found = np.flatnonzero(time_us[order] == np.repeat(earliest, np.diff(edges)))
    return order[found[np.searchsorted(found, edges[:-1])]]


def _clocked(
    order: NDArray[np.int64],
    edges: NDArray[np.int64],
    anchor: NDArray[np.int64],
    delay: NDArray[np.float64],
    time_us: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Tell per epoch whether its timestamps keep to capture time; stalls, which come back, are allowed."""
    strayed = np.empty(len(order))
    strayed[order] = delay[order] - np.repeat(delay[anchor], np.diff(edges))
    furthest = np.maximum(
        np.maximum.reduceat(strayed[order], edges[:-1]), -np.minimum.reduceat(strayed[order], edges[:-1])
    )
    clocked = np.ones(len(anchor), bool)
    for name in np.flatnonzero(furthest > DRIFT_S).tolist():
        own = order[edges[name] : edges[name + 1]]
        allowed = DRIFT_S + DRIFT_SHARE * np.abs(time_us[own] - time_us[anchor[name]]) / 1e6
        lasting = np.minimum.accumulate(strayed[own][::-1])[::-1]
        clocked[name] = not (np.any(lasting > allowed) or np.any(strayed[own] < -allowed))
    return clocked
