"""What questions about calls are made of, and what their answers look like."""

import msgspec

from sipflow.query.window import Window
from sipflow.wire.packet import Chunk, Message

# The states a call can be in, from the point of view of its first request.
STATES = ("trying", "ringing", "answered", "completed", "failed", "cancelled", "other")


class Fault(msgspec.Struct, frozen=True):
    """A part of the history that could not be read: `where` is a bucket path or a node."""

    where: str
    what: str


def together(*found: list[Fault]) -> list[Fault]:
    """Put the faults of several questions together, each once."""
    return list(dict.fromkeys(fault for some in found for fault in some))


class CallSummary(msgspec.Struct, frozen=True):
    """One call in one line; times in microseconds, None where the call never got there.

    `method`, `src` and `dst` ("ip:port") are those of the first request; `status` is the last final status of its
    transaction chain (401 or 407, then 200, gives 200); `state` is one of STATES.
    """

    call_id: str
    first_us: int
    last_us: int
    invite_us: int | None
    ring_us: int | None
    answer_us: int | None
    end_us: int | None
    method: str
    from_user: str
    to_user: str
    from_uri: str
    to_uri: str
    user_agent: str
    src: str
    dst: str
    status: int | None
    reason: str
    state: str
    sip_messages: int
    rtp_packets: int
    rtp_streams: int


class CallPage(msgspec.Struct, frozen=True):
    """Some calls, newest first; `next` is an opaque cursor for the following page, None at the end."""

    calls: list[CallSummary]
    next: str | None
    faults: list[Fault]


class Flow(msgspec.Struct, frozen=True):
    """The SIP messages of a call, sorted by capture time, then arrival."""

    call_id: str
    messages: list[Message]
    faults: list[Fault]


class MediaParts(msgspec.Struct, frozen=True):
    """The media of a call as stored, sorted by the time of each chunk's first packet."""

    call_id: str
    chunks: list[Chunk]
    faults: list[Fault]


class Criteria(msgspec.Struct, frozen=True):
    """Which calls to list. `user` is exact or has * wildcards and matches either party.

    `status` is a code ("486"), a class ("4xx") or one of STATES.
    """

    window: Window = Window()
    call_id: str | None = None
    user: str | None = None
    status: str | None = None
    limit: int = 50
    after: str | None = None
