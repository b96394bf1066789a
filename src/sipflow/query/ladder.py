"""A call as a ladder: one lane per endpoint, one arrow per message."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message

# Only what a ladder shows or compares; RFC 3261, sections 7.1, 7.2, 7.3.3 (compact v) and 20.
_REQUEST = re.compile(rb"([A-Za-z0-9.!%*_+`'~-]{1,64}) +\S+ +SIP/2\.0\s*\r?\n")
_RESPONSE = re.compile(rb"SIP/2\.0 +([1-6]\d\d)[ \t]*([^\r\n]*)\r?\n")
_CSEQ = re.compile(rb"^cseq[ \t]*:\s*(\d+)\s+(\S+)", re.IGNORECASE | re.MULTILINE)
_BRANCH = re.compile(rb"^(?:via|v)[ \t]*:[^\r\n,]*?;\s*branch\s*=\s*([^;,\s]+)", re.IGNORECASE | re.MULTILINE)
_TO_TAG = re.compile(rb"^(?:to|t)[ \t]*:[^\r\n]*;\s*tag\s*=\s*([^;,\s]+)", re.IGNORECASE | re.MULTILINE)
_HEAD_END = re.compile(rb"\r?\n\r?\n")


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
    transaction: tuple[bytes, ...] | None


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
    octets = payload.lstrip(b"\r\n")
    parts = _HEAD_END.split(octets, maxsplit=1)
    head, body = parts[0] + b"\r\n", parts[1] if len(parts) > 1 else b""
    request, response = _REQUEST.match(head), _RESPONSE.match(head)
    if request:
        label, kind, start = request[1].decode("ascii"), "request", request[1]
    elif response:
        words = f"{response[1].decode('ascii')} {response[2].decode('utf-8', 'replace').strip()}"
        label, kind, start = words.strip(), f"{response[1][:1].decode('ascii')}xx", response[1]
    else:
        return _Gist("not SIP", "unreadable", None)
    if body.startswith(b"v=0") or b"\nv=0" in body:
        label += " (SDP)"
    cseq, branch, tag = _CSEQ.search(head), _BRANCH.search(head), _TO_TAG.search(head)
    if not cseq or not branch:
        return _Gist(label, kind, None)
    # A forked request is answered under one branch with several To tags: those are different responses.
    return _Gist(label, kind, (start, cseq[1], cseq[2], branch[1], tag[1] if tag else b""))
