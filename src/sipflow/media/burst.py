"""Bursts and gaps of loss (RFC 3611, section 4.7.2), from runs of bad packets: lost, or too late to be played.

By definition a bad packet belongs to a gap when at least GMIN packets were received before and after it, where the
session's start and end count as that many; otherwise to a burst, which begins and ends on a bad packet. The counters of
appendix A.2, which phones use, differ from that: they never close the last group, and their first group is a guess.
"""

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

GMIN: Final = 16


class BadRuns(NamedTuple):
    """Runs of bad packets: place of the first among the expected ones, and length, in order, never overlapping.

    Two runs may adjoin. A hole of a million packets costs no more than one of two.
    """

    start: NDArray[np.int64]
    length: NDArray[np.int64]


class BurstGap(msgspec.Struct, frozen=True):
    """How loss is spread over a stream.

    Packets are those expected; `bad` of them lost or discarded. Densities are shares of bad packets, 0 to 1. `runs`
    counts stretches of bad packets in a row. Burst figures are 0 without a burst. All ms are of playing time.
    """

    expected: int
    bad: int
    runs: int
    bursts: int
    burst_packets: int
    burst_bad: int
    burst_density: float
    burst_mean_ms: float
    gaps: int
    gap_packets: int
    gap_bad: int
    gap_density: float
    gap_total_ms: float
    gap_mean_ms: float

    @property
    def burst_density_256(self) -> int:
        """Give the density of bursts as XR reports carry it."""
        return _of_256(self.burst_density)

    @property
    def gap_density_256(self) -> int:
        """Give the density of gaps as XR reports carry it."""
        return _of_256(self.gap_density)


class Counters(msgspec.Struct, frozen=True):
    """The counters of RFC 3611, appendix A.2, and what a report makes of them, `packet_ms` per packet."""

    c11: int
    c13: int
    c14: int
    c22: int
    c23: int
    c33: int
    packet_ms: float

    @property
    def total(self) -> int:
        """Give ctotal, where c31 = c13 and c32 = c23."""
        return self.c11 + self.c14 + 2 * self.c13 + self.c22 + 2 * self.c23 + self.c33

    @property
    def burst_density(self) -> int:
        """Give the density of bursts, of 256."""
        leaving = self.c13 + self.c23 + self.c33
        p32 = self.c23 / leaving if leaving else 0.0
        p23 = 1 - self.c22 / (self.c22 + self.c23) if self.c22 + self.c23 >= 1 else 1.0
        return _of_256(p23 / (p23 + p32)) if leaving and p23 + p32 else 0

    @property
    def gap_density(self) -> int:
        """Give the density of gaps, of 256."""
        return _of_256(self.c14 / (self.c11 + self.c14)) if self.c11 + self.c14 else 0

    @property
    def gap_ms(self) -> float:
        """Give the mean length of a gap."""
        return (self.c11 + self.c14 + self.c13) * self.packet_ms / max(self.c13, 1)

    @property
    def burst_ms(self) -> float:
        """Give the mean length of a burst."""
        return self.total * self.packet_ms / max(self.c13, 1) - self.gap_ms


def bad_runs(bad: NDArray[np.bool_]) -> BadRuns:
    """Find the runs of a mask over the expected packets."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], bad, [False])).astype(np.int8)))
    return BadRuns(edges[::2].astype(np.int64), (edges[1::2] - edges[::2]).astype(np.int64))


def burst_gap(bad: BadRuns, expected: int, packet_ms: float, gmin: int = GMIN) -> BurstGap:
    """Divide a session of `expected` packets into bursts and gaps by the definition."""
    start, length = _merged(bad)
    stop = start + length
    split = np.flatnonzero(start[1:] - stop[:-1] >= gmin) + 1
    first = np.concatenate(([0], split)) if len(start) else np.zeros(0, np.int64)
    last = np.append(first[1:], len(start)) - 1 if len(start) else first
    count = np.add.reduceat(length, first) if len(start) else np.zeros(0, np.int64)
    burst = count > 1
    begin, end = start[first][burst], stop[last][burst]
    total, total_bad, burst_bad = int((end - begin).sum()), int(length.sum()), int(count[burst].sum())
    pauses = np.diff(np.concatenate(([0], np.stack((begin, end), 1).reshape(-1), [expected])))[::2]
    gaps = int(np.count_nonzero(pauses))
    gap_packets = expected - total
    return BurstGap(
        expected=expected,
        bad=total_bad,
        runs=len(start),
        bursts=len(begin),
        burst_packets=total,
        burst_bad=burst_bad,
        burst_density=burst_bad / total if total else 0.0,
        burst_mean_ms=total * packet_ms / len(begin) if len(begin) else 0.0,
        gaps=gaps,
        gap_packets=gap_packets,
        gap_bad=total_bad - burst_bad,
        gap_density=(total_bad - burst_bad) / gap_packets if gap_packets else 0.0,
        gap_total_ms=gap_packets * packet_ms,
        gap_mean_ms=gap_packets * packet_ms / gaps if gaps else 0.0,
    )


def counters(bad: BadRuns, packet_ms: float, *, lost: int = 1, gmin: int = GMIN) -> Counters:
    """Count as appendix A.2 does, to compare with the XR reports of a phone.

    `lost` is what its counter of the current group holds at first: the RFC leaves it open, and it books a group that
    was never there, an isolated loss (1) or a burst (0).
    """
    start, length = _merged(bad)
    received = start - np.append(0, (start + length)[:-1])[: len(start)]
    flush = received >= gmin
    at = np.flatnonzero(flush)
    # Bad packets counted before each flush, since the one before it.
    before = np.append(0, np.cumsum(length))[:-1][at]
    group = np.diff(np.append(0, before))
    if len(group):
        group[0] += lost
    isolated = int(np.count_nonzero(group == 1))
    near = ~flush
    return Counters(
        c11=int(received[flush].sum()),
        c13=len(group) - isolated,
        c14=isolated,
        c22=int((received[near & (received > 0)] - 1).sum()),
        c23=int(np.count_nonzero(near & (received > 0))),
        c33=int((length - 1).sum()) + int(np.count_nonzero(near & (received == 0))),
        packet_ms=packet_ms,
    )


def _merged(bad: BadRuns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Make one run of those that adjoin."""
    start, length = bad
    if not len(start):
        return start, length
    first = np.flatnonzero(np.append(True, start[1:] > (start + length)[:-1]))
    return start[first], np.add.reduceat(length, first)


def _of_256(share: float) -> int:
    return min(255, int(256 * share))
