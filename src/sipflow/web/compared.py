"""Two messages that a request names, side by side."""

import re
from typing import Final, NamedTuple

from starlette.requests import Request

from sipflow.errors import BadQuery, CallUnknown
from sipflow.query.source import CallSource
from sipflow.web.asked import only
from sipflow.wire.difference import Difference, compare
from sipflow.wire.packet import Message

_NUMBER: Final = re.compile(r"\d{1,9}\Z", re.ASCII)


class Compared(NamedTuple):
    """The two messages, by number in their calls, and what they say differently."""

    a: int
    b: int
    b_call: str
    one: Message
    other: Message
    difference: Difference


def compared(history: CallSource, request: Request, call_id: str) -> Compared:
    """Compare the messages `a` and `b` of a call; with `with` the second is of that call. Raises BadQuery."""
    only(request, ("a", "b", "with"))
    b_call = request.query_params.get("with") or call_id
    mine = _messages(history, call_id)
    its = mine if b_call == call_id else _messages(history, b_call)
    a, b = asked_number(request, "a", len(mine)), asked_number(request, "b", len(its))
    one, other = mine[a - 1], its[b - 1]
    return Compared(a, b, b_call, one, other, compare(one.payload, other.payload))


def asked_number(request: Request, name: str, most: int) -> int:
    """Read the number of a message, counted from 1. Raises BadQuery."""
    text = (request.query_params.get(name) or "").strip()
    number = int(text) if _NUMBER.match(text) else 0
    if not 1 <= number <= most:
        raise BadQuery(f"{name}: found {text!r}; allowed: the number of a message, 1 to {most}")
    return number


def _messages(history: CallSource, call_id: str) -> list[Message]:
    messages = history.flow(call_id).messages
    if not messages:
        raise CallUnknown(call_id)
    return messages
