"""Extended sequence numbers: wraps, restarts and strays (RFC 3550, appendix A.1), a whole stream at once."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_DROPOUT: Final = 3000  # a step ahead up to this is loss, beyond it a jump (RFC 3550, appendix A.1)
MAX_MISORDER: Final = 100  # a step back up to this is reordering, beyond it late or a jump (same place)
SEQUENCE_MODULUS: Final = 1 << 16
STRAY: Final = -1
# RFC 3551 gives audio the payload types below this one; there the timestamp never runs against the sequence.
_AUDIO_TYPES: Final = 24


class Numbering(NamedTuple):
    """Per packet the extended number and the segment it counts in; STRAY packets count in none."""

    extended: NDArray[np.int64]
    segment: NDArray[np.int32]


def number(sequence: NDArray[np.uint16], timestamp: NDArray[np.uint32], payload_type: NDArray[np.uint8]) -> Numbering:
    """Extend the numbers of one SSRC's packets, given in order of capture, and split them where the sender restarted.

    A jump is a restart when a neighbour of the jumping packet confirms it; a lone packet from elsewhere is a stray.
    Differences from A.1: the packet that announced a restart counts in the new segment; a neighbour less than
    MAX_MISORDER ahead confirms (A.1 never recovers when every second packet is lost); a burst from behind that
    returns to the old numbers is late, not a restart; no probation, as the call's SDP vouches for the stream.
    Costs one step of Python per run of neighbouring numbers, not per packet.
    """
    step = (sequence[1:] - sequence[:-1]).astype(np.int16).astype(np.int64)
    unwrapped = np.empty(len(sequence), np.int64)
    unwrapped[0] = sequence[0]
    np.cumsum(step, out=unwrapped[1:])
    unwrapped[1:] += unwrapped[0]

    renumbered = np.zeros(len(sequence), bool)
    renumbered[1:] = (
        (step < 0)
        & ((timestamp[1:] - timestamp[:-1]).astype(np.int32) > 0)
        & (payload_type[1:] == payload_type[:-1])
        & (payload_type[1:] < _AUDIO_TYPES)
    )
    starts_run = renumbered.copy()
    starts_run[0] = True
    starts_run[1:] |= np.abs(step) >= MAX_MISORDER
    starts = np.flatnonzero(starts_run)
    onward = np.zeros(len(sequence), bool)
    onward[1:] = (step > 0) & ~starts_run[1:]

    offsets, segments = _join_runs(
        unwrapped[starts].tolist(),
        np.maximum.reduceat(unwrapped, starts).tolist(),
        np.logical_or.reduceat(onward, starts).tolist(),
        renumbered[starts].tolist(),
    )
    lengths = np.diff(np.append(starts, len(sequence)))
    return Numbering(
        unwrapped + np.repeat(np.array(offsets, np.int64), lengths),
        np.repeat(np.array(segments, np.int32), lengths),
    )


def _join_runs(
    firsts: list[int], tops: list[int], confirmed: list[bool], renumbered: list[bool]
) -> tuple[list[int], list[int]]:
    """Decide for each run of neighbouring numbers which segment it counts in and what to add to its numbers."""
    offsets, segments = [0], [0]
    top, segment = tops[0], 0
    for run in range(1, len(firsts)):
        ahead = _wrapped(firsts[run] - top)
        offset = top + ahead - firsts[run]
        restarts = confirmed[run] and renumbered[run]
        if -MAX_MISORDER < ahead < MAX_DROPOUT and not restarts:
            top = max(top, tops[run] + offset)
        elif -MAX_DROPOUT < ahead <= -MAX_MISORDER and not restarts and _stays_old(run, firsts, top, confirmed):
            pass  # late: counts in the old segment, whose highest number stays
        elif confirmed[run]:
            segment += 1
            top, offset = tops[run], 0
        else:
            offsets.append(0)
            segments.append(STRAY)
            continue
        offsets.append(offset)
        segments.append(segment)
    return offsets, segments


def _stays_old(run: int, firsts: list[int], top: int, confirmed: list[bool]) -> bool:
    # A sender that went back stays there; late packets are followed by the numbers that were due.
    if not confirmed[run]:
        return True
    return run + 1 < len(firsts) and -MAX_MISORDER < _wrapped(firsts[run + 1] - top) < MAX_DROPOUT


def _wrapped(difference: int) -> int:
    half = SEQUENCE_MODULUS // 2
    return (difference + half) % SEQUENCE_MODULUS - half
