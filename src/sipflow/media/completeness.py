"""How much of a call's audio a rendering holds, and why the rest is missing."""

from collections.abc import Sequence

import msgspec

from sipflow.clock import SECOND_US
from sipflow.media.codec import COMFORT_NOISE, EVENT
from sipflow.media.holes import CUT
from sipflow.media.timeline import MAX_STREAMS, Timeline


class Completeness(msgspec.Struct, frozen=True):
    """What of the audio could be played: packets played, lost, and in a codec that is not decoded here.

    `reasons` are sentences for people, one per cause; `faults` the parts of the history that could not be read.
    Events and comfort noise are named, but do not make a call incomplete: no speech is missing.
    """

    complete: bool
    percent: float
    played_packets: int
    lost_packets: int
    undecoded: dict[str, int]
    cut_us: int
    reasons: tuple[str, ...]
    faults: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Write it as one line."""
        head = "complete" if self.complete else f"{self.percent:.2f} % of the audio packets"
        return "; ".join([head, *self.reasons])


def assess(timeline: Timeline, faults: Sequence[str] = (), *, truncated_us: int = 0) -> Completeness:
    """Judge a time line; `truncated_us` is what the file had to leave out at its end."""
    silent = {name: count for name, count in sorted(timeline.undecoded.items()) if _is_silence(name)}
    missing = {name: count for name, count in sorted(timeline.undecoded.items()) if not _is_silence(name)}
    played = timeline.played
    cut_us = sum(gap.duration_us for gap in timeline.cuts)
    due = played + timeline.lost + sum(missing.values())
    reasons = [f"{count} packets of {name} are not decoded: silence" for name, count in missing.items()]
    reasons += [f"{count} packets of {name}: {_instead(name)}" for name, count in silent.items()]
    reasons += timeline.reasons
    if timeline.lost:
        reasons.append(f"{timeline.lost} packets lost before capture: silence")
    if timeline.strays:
        reasons.append(f"{timeline.strays} stray packets left out")
    if timeline.left_out:
        reasons.append(f"{timeline.left_out} packets left out: only the {MAX_STREAMS} largest streams are played")
    if timeline.misplaced:
        reasons.append(f"{timeline.misplaced} packets from before the call left out")
    if timeline.unclocked:
        reasons.append(f"{timeline.unclocked} packets placed by capture time, their timestamps are no clock")
    if cut_us:
        reasons.append(f"silence on all legs shortened by {_seconds(cut_us)}: {CUT} {len(timeline.cuts)} times")
    if truncated_us:
        reasons.append(f"the last {_seconds(truncated_us)} left out: a WAV file holds 4 GiB")
    reasons += [f"could not be read: {fault}" for fault in faults]
    left_out = timeline.strays + timeline.misplaced + timeline.left_out
    whole = due == played and not (left_out or truncated_us or faults)
    return Completeness(
        whole,
        100.0 * played / due if due else 0.0,
        played,
        timeline.lost,
        dict(sorted(timeline.undecoded.items())),
        cut_us,
        tuple(reasons),
        tuple(faults),
    )


def _is_silence(name: str) -> bool:
    return name.lower() == EVENT or name.upper() == COMFORT_NOISE


def _instead(name: str) -> str:
    return "keys, no speech" if name.lower() == EVENT else "rendered as noise"


def _seconds(duration_us: int) -> str:
    return f"{duration_us / SECOND_US:.3f} s"
