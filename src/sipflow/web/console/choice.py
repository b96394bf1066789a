"""The messages that one can be compared with, as a list to choose from."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sipflow.query.ladder import draw
from sipflow.wire.packet import Message
from sipflow.wire.sip import parse_head
from sipflow.wire.visible import visible

# Those of the same kind that stand before the list.
ALIKE_MAX: Final = 8


class Choice(NamedTuple):
    """A message to choose: its number, and what tells it from the others; `alike` when it is of the same kind."""

    number: int
    time_us: int
    label: str
    source: str
    target: str
    alike: bool


def choices(one: Message, messages: Sequence[Message]) -> list[Choice]:
    """List messages, those that are the same request, or answer it alike, marked as of the kind of `one`."""
    kind = _kind(one)
    return [
        Choice(
            number, message.time_us, visible(arrow.label), str(message.src), str(message.dst), _kind(message) == kind
        )
        for number, (message, arrow) in enumerate(zip(messages, draw(messages).arrows, strict=True), 1)
    ]


def _kind(message: Message) -> tuple[object, ...]:
    head = parse_head(message.payload)
    return head.is_request, head.method, head.status, head.cseq_method
