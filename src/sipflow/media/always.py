"""Whatever knows the SDP of a call; and what was said once and for all."""

from collections.abc import Sequence
from typing import Protocol

from sipflow.media.codec import Payloads
from sipflow.media.span import EVER, Span
from sipflow.wire.packet import StreamKey


class Announced(Protocol):
    """Tells what holds for a stream and when, as announcement.Announcements does."""

    def spans(self, key: StreamKey, /) -> Sequence[Span]:
        """Give what was said of a stream, in order of time; the first holds since ever, and there is always one."""
        ...


class Always:
    """One map of payload types that holds for every stream of a call, all the time."""

    def __init__(self, payloads: Payloads) -> None:
        """Say that payload types stand for `payloads`."""
        self._spans = (Span(EVER, payloads, None, "sendrecv", ()),)

    def spans(self, _key: StreamKey, /) -> tuple[Span, ...]:
        """Give the one span."""
        return self._spans
