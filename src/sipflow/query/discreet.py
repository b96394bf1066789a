"""A history whose messages show no keys: what a server that hides digits gives away of SIP INFO."""

from typing import Final

import msgspec

from sipflow.media.hidden import masked_message
from sipflow.query.answer import CallPage, CallSummary, Criteria, Flow, MediaParts
from sipflow.query.census import Statistics
from sipflow.query.counting import GroupKey
from sipflow.query.registrations import USERS_MAX, Registrations
from sipflow.query.remembered import Remembered
from sipflow.query.source import CallSource
from sipflow.query.window import Window

_ALWAYS = Window()
_FLOWS_OCTETS: Final = 8 << 20


class Discreet:
    """Answers as another source does, with the digits in messages masked; media is as stored."""

    def __init__(self, source: CallSource) -> None:
        self._source = source
        # The same flow masked is the same again: whoever keeps what was made of it knows it by that.
        self._masked: Remembered[int, tuple[Flow, Flow]] = Remembered(_FLOWS_OCTETS)

    def flow(self, call_id: str, window: Window = _ALWAYS) -> Flow:
        """Give the SIP messages of a call, digits masked; their lengths stay."""
        flow = self._source.flow(call_id, window)
        known = self._masked.find(id(flow))
        if known is not None:
            return known[1]
        masked = msgspec.structs.replace(flow, messages=[masked_message(message) for message in flow.messages])
        self._masked.keep(id(flow), (flow, masked), flow.memory())
        return masked

    def media(self, call_id: str, window: Window = _ALWAYS) -> MediaParts:
        """Give the media of a call as stored."""
        return self._source.media(call_id, window)

    def call(self, call_id: str) -> CallSummary:
        """Give the summary of a call. Raises CallUnknown."""
        return self._source.call(call_id)

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first."""
        return self._source.calls(criteria)

    def statistics(self, window: Window, only: GroupKey | None = None) -> Statistics:
        """Count the calls that began in a window, all or those of one group."""
        return self._source.statistics(window, only)

    def registrations(self, window: Window, user: str | None = None, limit: int = USERS_MAX) -> Registrations:
        """List the users that registered."""
        return self._source.registrations(window, user, limit)
