"""What every face asks of a history, wherever it is kept."""

from typing import Protocol

from sipflow.query.answer import CallPage, CallSummary, Criteria, Flow, MediaParts
from sipflow.query.window import Window


class CallSource(Protocol):
    """Answers questions about calls; may be asked from several threads at once.

    Raises StorageError when nothing at all could be read; what could be read in part comes with its faults.
    """

    def flow(self, call_id: str, window: Window = ...) -> Flow:
        """Give the SIP messages of a call, none when it is unknown."""
        ...

    def media(self, call_id: str, window: Window = ...) -> MediaParts:
        """Give the media of a call as stored, none when it has none."""
        ...

    def call(self, call_id: str) -> CallSummary:
        """Give the summary of a call. Raises CallUnknown."""
        ...

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first. Raises BadQuery for a cursor that is not one of ours."""
        ...
