"""What every face asks of a history, wherever it is kept."""

from collections.abc import Sequence
from typing import Protocol

from sipflow.query.answer import CallPage, CallSummary, Criteria, Flow, MediaParts
from sipflow.query.census import Statistics, Tallied
from sipflow.query.counting import GroupKey
from sipflow.query.listed import Known
from sipflow.query.registrations import Enrolled, Registrations
from sipflow.query.share import Share
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

    def statistics(self, window: Window, only: GroupKey | None = ...) -> Statistics:
        """Count the calls that began in a window, all or those of one group, and what became of them."""
        ...

    def registrations(self, window: Window, user: str | None = ..., limit: int = ...) -> Registrations:
        """List the users that registered, or tried to, the latest first."""
        ...


class Holding(Protocol):
    """What is asked of one place of several that together are a source: answers that can be put together.

    May be asked from several threads at once; raises StorageError as CallSource does.
    """

    def flow(self, call_id: str, window: Window = ...) -> Flow:
        """Give the SIP messages of a call that are here."""
        ...

    def media(self, call_id: str, window: Window = ...) -> MediaParts:
        """Give the media of a call that is here."""
        ...

    def known(self, call_ids: Sequence[str]) -> Known:
        """Tell what is known here of some calls."""
        ...

    def calls(self, criteria: Criteria) -> CallPage:
        """List the calls that are here, newest first, as they are known here."""
        ...

    def count(self, window: Window, share: Share | None = ..., only: GroupKey | None = ...) -> Tallied:
        """Count the calls of a window, of a share and group if given; those aside that another place may know."""
        ...

    def enrolled(self, window: Window, user: str | None, limit: int, share: Share | None = ...) -> Enrolled:
        """List all users that registered, the latest first; contacts of the first `limit`."""
        ...
