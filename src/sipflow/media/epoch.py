"""Epochs: stretches of a stream whose timestamps come from one running clock.

Within an epoch the RTP timestamp places every sample. A new epoch starts with a new segment (restart), a new clock
rate, or where timestamp and capture time part by more than TOLERANCE_S and stay apart: a sender that drew new
timestamps, or one that stood still during a pause. A network stall or one late packet parts them too, but comes back
(delay only ever adds), and starts none.
"""

import itertools
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

TOLERANCE_S: Final = 1.0
# A clock that strays further than this from capture time is no clock: broken timestamps, or forged ones.
DRIFT_S: Final = 5.0
DRIFT_SHARE: Final = 0.02
# A packet held up by less than this above its epoch's level counts as on time.
SETTLED_S: Final = 0.1
# Levels are compared over at most this many packets on either side of a jump, so that slow drift does not count.
_BEFORE: Final = 500
_AFTER: Final = 3000


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
    ticks = np.diff(packets["timestamp"]).astype(np.int32).astype(np.int64)
    parting = np.zeros(len(packets))
    parting[1:] = np.diff(time_us) / 1e6 - ticks / clock[1:]
    fresh = np.ones(len(packets), bool)
    fresh[1:] = (segment[1:] != segment[:-1]) | (clock[1:] != clock[:-1])
    parting[fresh] = 0.0
    # Does the timestamp do what the sequence number says? Then the jump is in the capture time.
    due = np.diff(packets["extended"]) * np.maximum(packets["length"][:-1].astype(np.int64), clock[1:] // 50)
    follows = np.ones(len(packets), bool)
    follows[1:] = np.abs(ticks - due) <= clock[1:]
    starts = np.flatnonzero(fresh | (np.abs(parting) > TOLERANCE_S))
    delay = np.cumsum(parting)
    names = _name(starts, delay, fresh, follows)
    epoch = np.repeat(np.array(names, np.int32), np.diff(np.append(starts, len(packets))))
    order = np.argsort(epoch, kind="stable")
    edges = np.append(np.searchsorted(epoch[order], np.arange(int(epoch.max()) + 1)), len(epoch))
    anchor = _first_captured(epoch, time_us)
    settled = np.ones(len(anchor), bool)
    for name in np.flatnonzero(~fresh[order[edges[:-1]]]).tolist():
        head = order[edges[name] : min(edges[name + 1], edges[name] + _BEFORE)]
        anchor[name] = head[np.argmin(delay[head])]
        settled[name] = delay[head[0]] - delay[anchor[name]] <= SETTLED_S
    return Epochs(epoch, anchor, _clocked(order, edges, anchor, delay, time_us), settled)


def _name(
    starts: NDArray[np.int64], delay: NDArray[np.float64], fresh: NDArray[np.bool_], follows: NDArray[np.bool_]
) -> list[int]:
    """Give each run between jumps the number of its epoch."""
    names: list[int] = []
    count = 0
    known: list[tuple[int, float]] = []  # the two latest epochs of this segment and the delay they ended with
    edges = [*starts.tolist(), len(delay)]
    for run, (start, stop) in enumerate(itertools.pairwise(edges)):
        if fresh[start]:
            known = []
        level = _head(delay, start, stop)
        name = next((epoch for epoch, ended in reversed(known) if abs(level - ended) <= TOLERANCE_S), count)
        if name == count and known and follows[start] and stop < len(delay) and follows[stop] and not fresh[stop]:
            # Packets held up by the network: in place by their timestamps, as what follows is back on the old level.
            back = _head(delay, stop, edges[run + 2])
            if abs(back - known[-1][1]) <= TOLERANCE_S:
                names.append(known[-1][0])
                continue
        count = max(count, name + 1)
        known = [*[pair for pair in known if pair[0] != name][-1:], (name, _tail(delay, start, stop))]
        names.append(name)
    return names


def _head(delay: NDArray[np.float64], start: int, stop: int) -> float:
    return float(delay[start : min(stop, start + _AFTER)].min())


def _tail(delay: NDArray[np.float64], start: int, stop: int) -> float:
    return float(delay[max(start, stop - _BEFORE) : stop].min())


def _first_captured(epoch: NDArray[np.int32], time_us: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.lexsort((time_us, epoch))
    first = np.ones(len(order), bool)
    first[1:] = epoch[order[1:]] != epoch[order[:-1]]
    return order[first]


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
    furthest = np.maximum.reduceat(np.abs(strayed)[order], edges[:-1])
    clocked = np.ones(len(anchor), bool)
    for name in np.flatnonzero(furthest > DRIFT_S).tolist():
        own = order[edges[name] : edges[name + 1]]
        allowed = DRIFT_S + DRIFT_SHARE * np.abs(time_us[own] - time_us[anchor[name]]) / 1e6
        lasting = np.minimum.accumulate(strayed[own][::-1])[::-1]
        clocked[name] = not (np.any(lasting > allowed) or np.any(strayed[own] < -allowed))
    return clocked
