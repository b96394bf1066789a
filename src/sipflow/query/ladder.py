"""A call as a ladder: one lane per endpoint, one arrow per message."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message
from sipflow.wire.sip import parse_head


class Arrow(msgspec.Struct, frozen=True):
    """One message of the ladder: from lane `source` to lane `target`, `delta_us` after the arrow before it.

    `kind` is "request", the class of a response ("1xx" to "6xx") or "unreadable". `repeat` marks a retransmission: the
    same octets, or the same start line of the same transaction, between the same two endpoints. Nothing is left out.
    """

    time_us: int
    delta_us: int
    source: int
    target: int
    label: str
    kind: str
    repeat: bool


class Ladder(msgspec.Struct, frozen=True):
    """Lanes in order of appearance, and an arrow per message, in the order of the messages."""

    lanes: list[Endpoint]
    arrows: list[Arrow]


class _Gist(NamedTuple):
    label: str
    kind: str
    transaction: tuple[object, ...] | None


def draw(messages: Sequence[Message]) -> Ladder:
    """Lay messages, already in order, out as a ladder."""
    lanes: dict[Endpoint, int] = {}
    seen: set[tuple[object, ...]] = set()
    arrows: list[Arrow] = []
    previous_us = messages[0].time_us if messages else 0
    for message in messages:
        source = lanes.setdefault(message.src, len(lanes))
        target = lanes.setdefault(message.dst, len(lanes))
        gist = _gist(message.payload)
        keys: set[tuple[object, ...]] = {(source, target, message.payload)}
        if gist.transaction is not None:
            keys.add((source, target, *gist.transaction))
        delta_us = message.time_us - previous_us
        repeat = not keys.isdisjoint(seen)
        arrows.append(Arrow(message.time_us, delta_us, source, target, gist.label, gist.kind, repeat))
        seen |= keys
        previous_us = message.time_us
    return Ladder(list(lanes), arrows)


def _gist(payload: bytes) -> _Gist:
    """Say what a message is, and what makes it the same message when it is sent again."""
    head = parse_head(payload)
    if not head.is_request and head.status is None:
        return _Gist("not SIP", "unreadable", None)
    kind = "request" if head.is_request else f"{(head.status or 0) // 100}xx"
    carries_sdp = "application/sdp" in head.content_type.lower() or b"v=0" in payload[head.body : head.body + 512]
    label = head.label + (" (SDP)" if carries_sdp else "")
    if head.cseq is None or not head.branch:
        return _Gist(label, kind, None)
    # A forked request is answered under one branch with several To tags: those are different responses.
    return _Gist(label, kind, (head.method, head.status, head.cseq, head.cseq_method, head.branch, head.to_tag))
