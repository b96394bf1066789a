"""Answers about a call with what they lack: a node that was silent, a part that could not be read."""

import msgspec

from sipflow.media.figures import StreamReport
from sipflow.query.answer import CallSummary, Fault


class ToldCall(CallSummary, frozen=True):
    """A call summed up; `faults` name what is not in it."""

    faults: list[Fault] = msgspec.field(default_factory=list)

    @property
    def partial(self) -> bool:
        """Tell whether something may be missing."""
        return bool(self.faults)


class ToldStreams(StreamReport, frozen=True):
    """The streams of a call; `faults` name what is not in them."""

    faults: list[Fault] = msgspec.field(default_factory=list)

    @property
    def partial(self) -> bool:
        """Tell whether something may be missing."""
        return bool(self.faults)


def told_call(summary: CallSummary, faults: list[Fault]) -> ToldCall:
    """Say of a summary what it lacks."""
    return ToldCall(**msgspec.structs.asdict(summary), faults=faults)


def told_streams(report: StreamReport, faults: list[Fault]) -> ToldStreams:
    """Say of a report what it lacks."""
    return ToldStreams(**msgspec.structs.asdict(report), faults=faults)
