"""Digits sent by SIP INFO (RFC 6086): the bodies that telephones and PBXs have agreed on without a standard."""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sipflow.media.digit import KEYS, Digit, Source, name_of
from sipflow.wire.packet import Message
from sipflow.wire.sip import SipHead, parse_head

RELAY: Final = "application/dtmf-relay"  # Signal=5, Duration=160
PLAIN: Final = "application/dtmf"  # 5
NORTEL: Final = "application/vnd.nortelnetworks.digits"  # d=5, or d=Digits=5
TYPES: Final = frozenset({RELAY, PLAIN, NORTEL})
_DURATION_MAX_MS: Final = 60_000
_CHALLENGES: Final = frozenset({401, 407})


class _Pressed(NamedTuple):
    """What one body says; nothing when `symbols` is empty."""

    symbols: tuple[str, ...]
    duration_ms: float | None = None


def info_digits(messages: Sequence[Message]) -> list[Digit]:
    """List the digits of a call's INFO requests by time; a body that cannot be read gives none.

    A request is the same by Call-ID, From tag and CSeq (RFC 3261, section 12.2), wherever and however often it was
    seen: retransmitted, or passed on by a proxy. One that was challenged is sent again with credentials, and only that
    one counts.
    """
    heads = [(message, parse_head(message.payload)) for message in sorted(messages, key=lambda one: one.time_us)]
    refused = {_request(head) for _, head in heads if head.cseq_method == "INFO" and head.status in _CHALLENGES}
    seen: set[tuple[str, str, str]] = set()
    found: list[Digit] = []
    for message, head in heads:
        if not head.is_request or head.method != "INFO" or _request(head) in seen | refused:
            continue
        pressed = read_body(head.content_type, message.payload[head.body :])
        if pressed.symbols:
            seen.add(_request(head))
        found += _digits(message, pressed)
    return found


def read_body(content_type: str, body: bytes) -> _Pressed:
    """Read the body of an INFO request: its symbols, and their length [ms] where it is said."""
    media_type = content_type.partition(";")[0].strip().lower()
    text = body.decode("utf-8", "replace")
    if media_type == PLAIN:
        return _Pressed(_symbols(text))
    fields = dict(_fields(text))
    if media_type == RELAY:
        return _Pressed(_symbols(fields.get("signal", "")), _duration(fields.get("duration", "")))
    if media_type == NORTEL:
        # The word before the last equals sign names the kind of value.
        value = fields.get("d") or fields.get("signal", "")
        return _Pressed(_symbols(value.rpartition("=")[2]), _duration(fields.get("duration", "")))
    return _Pressed(())


def _request(head: SipHead) -> tuple[str, str, str]:
    # Without a CSeq it is no sound request; its branch is the next best name.
    return head.call_id or "", head.from_tag, head.branch if head.cseq is None else str(head.cseq)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for line in re.split(r"[\r\n]+", text):
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip().lower(), value.strip()


def _symbols(text: str) -> tuple[str, ...]:
    """Read one key, or an event code above 9 in decimal, or several keys; nothing when any of it is none of these."""
    text = text.strip().upper()
    if text == "!":
        return (name_of(16),)
    if re.fullmatch(r"1[0-6]", text):
        return (name_of(int(text)),)
    return tuple(text) if text and all(key in KEYS for key in text) else ()


def _duration(text: str) -> float | None:
    digits = re.match(r"\d{1,6}", text, re.ASCII)
    return None if digits is None else float(min(int(digits[0]), _DURATION_MAX_MS))


def _digits(message: Message, pressed: _Pressed) -> Iterator[Digit]:
    for symbol in pressed.symbols:
        yield Digit(
            symbol=symbol,
            time_us=message.time_us,
            duration_ms=pressed.duration_ms,
            source=Source.INFO,
            leg=message.leg,
            src=message.src,
        )
