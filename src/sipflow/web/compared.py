"""Two messages that a request names, side by side."""

import re
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request

from sipflow.errors import BadQuery, CallUnknown
from sipflow.query.source import CallSource
from sipflow.web.asked import only
from sipflow.wire.difference import Change, Difference, compare
from sipflow.wire.packet import Message

_NUMBER: Final = re.compile(r"\d{1,9}\Z", re.ASCII)


class Named(msgspec.Struct, frozen=True):
    """A message by its call and its number there, counted from 1."""

    call_id: str
    number: int


class Comparison(msgspec.Struct, frozen=True):
    """What two messages say differently, as JSON: which they are, and Difference as it is."""

    a: Named
    b: Named
    equal: bool
    changes: tuple[Change, ...]


class Sought(NamedTuple):
    """Message `a` of a call, and the call of the other message; `named` tells whether the request names that call."""

    a: Named
    one: Message
    b_call: str
    named: bool


class Compared(NamedTuple):
    """The two messages, and what they say differently."""

    a: Named
    b: Named
    one: Message
    other: Message
    difference: Difference

    @property
    def answer(self) -> Comparison:
        """Give it as JSON has it."""
        return Comparison(self.a, self.b, self.difference.equal, self.difference.changes)


def sought(history: CallSource, request: Request, call_id: str) -> Sought:
    """Read which message of a call is compared, and with which call. Raises BadQuery, CallUnknown."""
    only(request, ("a", "b", "with"))
    mine = messages_of(history, call_id)
    a = asked_number(request, "a", len(mine))
    named = (request.query_params.get("with") or "").strip(" \t")  # as it is pasted; no Call-ID begins or ends so
    return Sought(Named(call_id, a), mine[a - 1], named or call_id, bool(named))


def compared(request: Request, seek: Sought, messages: list[Message]) -> Compared:
    """Compare with message `b` of `messages`, those of the other call. Raises BadQuery."""
    b = asked_number(request, "b", len(messages), "" if seek.b_call == seek.a.call_id else seek.b_call)
    other = messages[b - 1]
    difference = compare(seek.one.payload, other.payload)
    return Compared(seek.a, Named(seek.b_call, b), seek.one, other, difference)


def asked_number(request: Request, name: str, most: int, call_id: str = "") -> int:
    """Read the number of a message, counted from 1; an error names the call, if that is told. Raises BadQuery."""
    text = (request.query_params.get(name) or "").strip()
    number = int(text) if _NUMBER.match(text) else 0
    if not 1 <= number <= most:
        of = f" of call {call_id!r}" if call_id else ""
        raise BadQuery(f"{name}: found {text!r}; allowed: the number of a message{of}, 1 to {most}")
    return number


def messages_of(history: CallSource, call_id: str) -> list[Message]:
    """Give the messages of a call. Raises CallUnknown."""
    messages = history.flow(call_id).messages
    if not messages:
        raise CallUnknown(call_id)
    return messages
