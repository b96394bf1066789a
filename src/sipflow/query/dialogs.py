"""Which dialog each message of a call belongs to (RFC 3261, section 12)."""

from collections.abc import Sequence
from typing import NamedTuple

from sipflow.wire.packet import Message
from sipflow.wire.sip import SipHead, parse_head


class _Tags(NamedTuple):
    """The two sides of a dialog, whichever is From; `remote` is empty before the other side has answered."""

    one: str
    other: str


def dialogs(messages: Sequence[Message]) -> list[int]:
    """Number the dialogs of a call in order of appearance, and give the number of each message's.

    What has no To tag yet belongs to the first dialog it leads to: a forked INVITE leads to several.
    """
    heads = [parse_head(message.payload) for message in messages]
    first: dict[tuple[str, str], _Tags] = {}
    for head in heads:
        if head.to_tag:
            first.setdefault((head.call_id or "", head.from_tag), _pair(head.from_tag, head.to_tag))
    numbers: dict[tuple[str, _Tags], int] = {}
    return [numbers.setdefault(_key(head, first), len(numbers)) for head in heads]


def _key(head: SipHead, first: dict[tuple[str, str], _Tags]) -> tuple[str, _Tags]:
    call_id = head.call_id or ""
    if head.to_tag:
        return call_id, _pair(head.from_tag, head.to_tag)
    return call_id, first.get((call_id, head.from_tag), _Tags(head.from_tag, ""))


def _pair(one: str, other: str) -> _Tags:
    return _Tags(*sorted((one, other)))
