"""Keeps a drifting clock's audio at the time it was captured, by single samples where packets meet.

A sender whose clock is 100 ppm off would be 1.4 s away from the other leg after four hours. What is off by less than
TOLERATED_S at the end of its epoch stays as it was sent, sample by sample: nobody hears 40 ms between the legs. Beyond
that a packet starts where the line through its epoch says, and where two packets met before, the last sample of the
first is left out (its clock is fast) or heard twice (slow): some samples a second, of the size of one packet's border.
Resampling would change every sample of an evidence; moving whole packets at pauses alone would leave music on hold, or
anyone who talks for long, ever further off.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US
from sipflow.media.carried import Cause
from sipflow.media.drift import MIN_SPAN_S, PPM, drift_ppm
from sipflow.media.epoch import Epochs, by_epoch
from sipflow.media.spool import rows

TOLERATED_S: Final = 0.04


class Corrected(NamedTuple):
    """Rows (PLACED) at their time, the drift of the longest epoch that tells [ppm], and the samples it cost."""

    placed: NDArray[np.void]
    drift_ppm: float | None
    samples: int


def correct(placed: NDArray[np.void], time_us: NDArray[np.int64], split: Epochs, rate: int) -> Corrected:
    """Move the packets (PLACED, in order of number) of epochs that drift; changes `placed`, may add rows to it."""
    order = by_epoch(split.epoch)
    edges = np.append(np.searchsorted(split.epoch[order], np.arange(len(split.anchor))), len(order)).tolist()
    shift: NDArray[np.int32] | None = None
    longest, found = 0.0, None
    for name, anchor in enumerate(split.anchor.tolist()):
        own = order[edges[name] : edges[name + 1]]
        span_s = float(placed["start"][own[-1]] - placed["start"][own[0]]) / rate
        if span_s < MIN_SPAN_S or not split.clocked[name]:
            continue
        since = placed["start"][own] - placed["start"][anchor]
        ppm = drift_ppm(time_us[own], since * (SECOND_US / rate))
        if ppm is None:
            continue
        if span_s > longest:
            longest, found = span_s, ppm
        behind = 1 / (1 + ppm / PPM) - 1
        if abs(behind) * span_s > TOLERATED_S:
            shift = np.zeros(len(placed), np.int32) if shift is None else shift
            shift[own] = np.rint(since * behind)
    if shift is None:
        return Corrected(placed, found, 0)
    return Corrected(*_moved(placed, split.epoch, shift, found))


def _moved(
    placed: NDArray[np.void], epoch: NDArray[np.int32], shift: NDArray[np.int32], ppm: float | None
) -> tuple[NDArray[np.void], float | None, int]:
    step = np.diff(shift)
    start, length = placed["start"], placed["length"]
    step[(start[:-1] + length[:-1] != start[1:]) | (epoch[1:] != epoch[:-1])] = 0
    fewer = np.minimum(np.maximum(-step, 0), length[:-1] - np.minimum(length[:-1], 1)).astype(np.uint32)
    length[:-1] -= fewer
    start += shift
    more = np.append(np.maximum(step, 0), 0)
    added = int(more.sum())
    cost = added + int(fewer.sum())
    if not added:
        return placed, ppm, cost
    out = rows(len(placed) + added, placed.dtype)
    before = np.cumsum(more) - more
    out[np.arange(len(placed)) + before] = placed
    # A packet's last sample once more, in rows of their own.
    source = np.repeat(np.arange(len(placed)), more)
    nth = np.arange(added) - before[source]
    again = placed[source]
    again["start"] += again["length"] + nth
    again["offset"] += again["length"] - np.uint32(1)
    again["length"] = 1
    again["cause"] = Cause.PAUSE
    out[source + before[source] + nth + 1] = again
    return out, ppm, cost
