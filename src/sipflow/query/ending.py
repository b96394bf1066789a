"""Who ended a call, and how (RFC 3261, sections 9, 13.2.2 and 15)."""

from collections.abc import Sequence

import msgspec

from sipflow.wire.packet import Message
from sipflow.wire.sip import SipHead, parse_head


class Ending(msgspec.Struct, frozen=True):
    """How a call ended, in a sentence; `number` is the message that ended it, counted from 1, None for none."""

    sentence: str
    number: int | None
    time_us: int | None


def ending(messages: Sequence[Message]) -> Ending:
    """Tell how the call of these messages, in order, ended; the first BYE, CANCEL or final refusal counts."""
    caller: SipHead | None = None
    refusal: Ending | None = None
    cancelled: Ending | None = None
    answered = False
    for number, message in enumerate(messages, 1):
        head = parse_head(message.payload)
        if head.is_request and head.method == "INVITE" and caller is None:
            caller = head
        elif head.is_request and head.method == "BYE":
            return Ending(f"{_who(head, caller)} hung up", number, message.time_us)
        elif head.is_request and head.method == "CANCEL" and cancelled is None and not answered:
            cancelled = Ending(f"{_who(head, caller)} gave up before an answer", number, message.time_us)
        elif head.status is not None and head.cseq_method == "INVITE" and head.status >= 200:
            answered = answered or head.status < 300
            if head.status >= 300:
                refusal = Ending(f"refused with {head.label} by {message.src}", number, message.time_us)
    if answered:
        return Ending("no end of the call was captured", None, None)
    return cancelled or refusal or Ending("no end of the call was captured", None, None)


def _who(head: SipHead, caller: SipHead | None) -> str:
    side = "" if caller is None else "the caller" if head.from_tag == caller.from_tag else "the called side"
    user = head.from_user
    if user and side:
        return f"{user}, {side},"
    return user or side or "somebody"
