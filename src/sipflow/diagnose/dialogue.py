"""The messages of a call as steps and transactions: what was asked, over which hop, and what was answered."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from sipflow.diagnose.call import Call
from sipflow.diagnose.fields import Fields
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message
from sipflow.wire.sdp import Description, find_descriptions
from sipflow.wire.sip import SipHead, parse_head

# Longer calls are judged by their beginning and their end: what explains a call stands there.
STEPS_MAX: Final = 10_000
_CHALLENGES: Final = (401, 407)


@dataclass(frozen=True)
class Step:
    """One message of a call, read."""

    index: int
    message: Message
    head: SipHead

    @property
    def time_us(self) -> int:
        """Tell when it was captured."""
        return self.message.time_us

    @property
    def status(self) -> int:
        """Tell the status of a response, 0 for a request."""
        return self.head.status or 0

    @property
    def method(self) -> str:
        """Name the method of a request, or of the one a response answers."""
        return self.head.method if self.head.is_request else self.head.cseq_method

    @cached_property
    def fields(self) -> Fields:
        """Give its header fields."""
        return Fields(self.message.payload)

    @cached_property
    def descriptions(self) -> list[Description]:
        """Give the session descriptions of its body."""
        return find_descriptions(self.head.content_type, self.message.payload[self.head.body :])


@dataclass(eq=False)
class Transaction:
    """A request on one hop, each copy of it, and the responses to it; `requests` may be empty where none was seen."""

    method: str
    src: Endpoint
    dst: Endpoint
    from_tag: str
    cseq: int | None
    requests: list[Step] = field(default_factory=list)
    responses: list[Step] = field(default_factory=list)

    @property
    def request(self) -> Step | None:
        """Give the first copy of the request."""
        return self.requests[0] if self.requests else None

    @property
    def begins(self) -> bool:
        """Tell whether the request stands outside of a dialog (no To tag, RFC 3261 section 12.1)."""
        return self.request is not None and not self.request.head.to_tag

    @property
    def finals(self) -> list[Step]:
        """List the final responses, each copy."""
        return [step for step in self.responses if step.status >= 200]

    @property
    def final(self) -> Step | None:
        """Give the first 2xx, or else the first final response."""
        finals = self.finals
        return next((step for step in finals if step.status < 300), finals[0] if finals else None)

    @property
    def way(self) -> str:
        """Write where it goes."""
        return f"{self.src} to {self.dst}"


class Dialogue:
    """Everything said in a call, in order of time."""

    def __init__(self, call: Call) -> None:
        """Read the messages of a call; what is no SIP is left out."""
        self.call = call
        self.steps = tuple(_steps(call))
        self._transactions: dict[tuple[object, ...], Transaction] = {}
        for step in self.steps:
            self._add(step)
        self.transactions = tuple(self._transactions.values())

    def _add(self, step: Step) -> None:
        src, dst, head = step.message.src, step.message.dst, step.head
        if not head.is_request:
            src, dst = dst, src
        key = (src, dst, head.branch, head.from_tag, head.cseq, step.method)
        found = self._transactions.get(key)
        if found is None:
            found = self._transactions[key] = Transaction(step.method, src, dst, head.from_tag, head.cseq)
        (found.requests if head.is_request else found.responses).append(step)

    def of(self, method: str) -> list[Transaction]:
        """List the transactions of a method."""
        return [one for one in self.transactions if one.method == method]

    @cached_property
    def attempts(self) -> list[Transaction]:
        """List the INVITEs that open the call on its first hop: one, and more after a challenge or a redirection."""
        opening = [one for one in self.of("INVITE") if one.begins]
        if not opening:
            return []
        first = opening[0]
        return [
            one for one in opening if (one.src.ip, one.dst, one.from_tag) == (first.src.ip, first.dst, first.from_tag)
        ]

    @cached_property
    def caller_tag(self) -> str | None:
        """Give the From tag of who called, None without an INVITE."""
        return self.attempts[0].from_tag if self.attempts else None

    @cached_property
    def invited_us(self) -> int | None:
        """Tell when the call began."""
        return self.attempts[0].requests[0].time_us if self.attempts else None

    @cached_property
    def ring(self) -> Step | None:
        """Give the first provisional response other than 100 on the first hop."""
        return next((s for one in self.attempts for s in one.responses if 100 < s.status < 200), None)

    @cached_property
    def answer(self) -> Step | None:
        """Give the first 2xx to an opening INVITE on the first hop, or anywhere when that hop has none."""
        near = [s for one in self.attempts for s in one.responses if 200 <= s.status < 300]
        far = [s for one in self.of("INVITE") for s in one.responses if 200 <= s.status < 300]
        return next(iter(near or far), None)

    @cached_property
    def outcome(self) -> Step | None:
        """Give the final response that decided the call on its first hop, a challenge only when nothing came later."""
        if self.answer is not None:
            return self.answer
        finals = [final for one in self.attempts if (final := one.final) is not None]
        decided = [final for final in finals if final.status not in _CHALLENGES]
        return next(reversed(decided or finals), None)

    @cached_property
    def bye(self) -> Step | None:
        """Give the first BYE."""
        return next((step for step in self.steps if step.head.is_request and step.method == "BYE"), None)

    @cached_property
    def cancel(self) -> Step | None:
        """Give the first CANCEL."""
        return next((step for step in self.steps if step.head.is_request and step.method == "CANCEL"), None)

    def is_caller(self, step: Step) -> bool:
        """Tell whether a request comes from who called."""
        return step.head.from_tag == self.caller_tag


def _steps(call: Call) -> Iterator[Step]:
    half = STEPS_MAX // 2
    for index, message in enumerate(call.messages):
        if half <= index < len(call.messages) - half:
            continue
        head = parse_head(message.payload)
        if head.is_request or head.status is not None:
            yield Step(index, message, head)
