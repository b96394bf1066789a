"""What questions about calls are made of, and what their answers look like."""

from typing import Final

import msgspec

from sipflow.query.term import Term
from sipflow.query.window import Window
from sipflow.wire.packet import Chunk, Message

# The states a call can be in, from the point of view of its first request.
STATES = ("trying", "ringing", "answered", "completed", "failed", "cancelled", "other")

# What objects take besides the octets of a message, as tracemalloc tells.
_MESSAGE_OCTETS: Final = 300
_FLOW_OCTETS: Final = 500


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of the history that could not be read: `where` is a bucket path or a node.

    `expired_us` is when retention removed it, None for what should be there.
    """

    where: str
    what: str
    expired_us: int | None = None


def together(*found: list[Fault]) -> list[Fault]:
    """Put the faults of several questions together, each once."""
    return list(dict.fromkeys(fault for some in found for fault in some))


class CallSummary(msgspec.Struct, frozen=True):
    """One call in one line; times in microseconds, None where the call never got there.

    `method`, `src` and `dst` ("ip:port") are those of the first request; `status` is the last final status of its
    transaction chain (401 or 407, then 200, gives 200); `state` is one of STATES. Packets and streams count what was
    recorded, also where retention has erased some of it since, at `media_expired_us`. Loss [percent], jitter and MOS-LQ
    (of scale NB or WB) are those of the worst stream, `one_way` tells that an answered call has media in one direction:
    estimates of sealed buckets, None where there is none.
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
    media_expired_us: int | None = None
    loss_percent: float | None = None
    jitter_us: int | None = None
    mos: float | None = None
    mos_scale: str | None = None
    one_way: bool | None = None


class CallPage(msgspec.Struct, frozen=True):
    """Some calls, newest first; `next` is an opaque cursor for the following page, None at the end.

    `stopped_us` is where the search gave up for want of time, None where it did not: calls that began later are all
    here, `next` goes on from there.
    """

    calls: list[CallSummary]
    next: str | None
    faults: list[Fault]
    stopped_us: int | None = None


class Flow(msgspec.Struct, frozen=True):
    """The SIP messages of a call, sorted by capture time, then arrival."""

    call_id: str
    messages: list[Message]
    faults: list[Fault]

    def memory(self) -> int:
        """Tell about how much memory it takes [octets]."""
        return _FLOW_OCTETS + sum(len(message.payload) + _MESSAGE_OCTETS for message in self.messages)


class MediaParts(msgspec.Struct, frozen=True):
    """The media of a call as stored, sorted by the time of each chunk's first packet."""

    call_id: str
    chunks: list[Chunk]
    faults: list[Fault]


class Criteria(msgspec.Struct, frozen=True):
    """Which calls to list. `user` is exact or has * wildcards and matches either party.

    `status` is a code ("486"), a class ("4xx") or one of STATES. `mos_below` and `loss_above` [percent] are of the
    worst stream as sealed buckets estimate it: calls not sealed yet fit neither, those of unknown codecs no MOS.
    All of `terms` have to fit. `patience_s` is how long to look for a full page.
    """

    window: Window = Window()
    call_id: str | None = None
    user: str | None = None
    status: str | None = None
    limit: int = 50
    after: str | None = None
    mos_below: float | None = None
    loss_above: float | None = None
    terms: tuple[Term, ...] = ()
    patience_s: float | None = None

    @property
    def texts(self) -> tuple[Term, ...]:
        """Give the terms that only the messages of a call can answer."""
        return tuple(term for term in self.terms if term.field == "text")

    @property
    def asks_quality(self) -> bool:
        """Tell whether only calls whose media was judged can fit."""
        return self.mos_below is not None or self.loss_above is not None
