"""Digits kept from view, as payment data must be: in lists, in SIP messages, in audio and in exported packets.

Hiding needs digits() with `thorough`, so that keys are also found in audio beside telephone events. Keys that sound in
the audio of a codec other than G.711, and were sent no other way, are not found, and not hidden.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.media.codec import Payloads, codec_of, law_of
from sipflow.media.digit import KEYS, Digit, Source
from sipflow.media.event_report import REPORT_OCTETS, carriers_of
from sipflow.media.stream import Stream
from sipflow.media.tone import DEFAULT_MS
from sipflow.wire.packet import Chunk, Message
from sipflow.wire.sip import parse_head

MASK: Final = "•"
MASK_OCTET: Final = b"x"  # in messages, whose length must not change; no key is written so
MASK_EVENT: Final = 255  # an event code that is not assigned: no key, and nothing that could be taken for one
# Gateways let some of a tone through before they send events, and echo it later; INFO comes by another way altogether.
_BEFORE_US: Final = {Source.RFC4733: 150_000, Source.INFO: 500_000, Source.INBAND: 50_000}
_AFTER_US: Final = {Source.RFC4733: 150_000, Source.INFO: 500_000, Source.INBAND: 50_000}
_SILENT_CODES: Final = {0: 0xFF, 1: 0xD5}  # G.711 codes of silence by law


class Silence(NamedTuple):
    """A stretch in which a leg's audio is not to be heard; `leg` None means every leg."""

    leg: int | None
    from_us: int
    to_us: int


def hidden_digits(digits: Sequence[Digit]) -> list[Digit]:
    """Replace every key by MASK; times, lengths and other events stay."""
    return [msgspec.structs.replace(one, symbol=MASK) if one.symbol in KEYS else one for one in digits]


def silenced(digits: Sequence[Digit]) -> list[Silence]:
    """List where audio must be silent and no tone rendered so that no key is heard, by leg and time, never overlapping.

    Takes the digits before they are hidden.
    """
    found: list[Silence] = []
    keys = [one for one in digits if one.symbol in KEYS or one.symbol == MASK]
    for one in sorted(keys, key=lambda one: (-1 if one.leg is None else one.leg, one.time_us)):
        length_us = round((DEFAULT_MS if one.duration_ms is None else one.duration_ms) * 1000)
        from_us, to_us = one.time_us - _BEFORE_US[one.source], one.time_us + length_us + _AFTER_US[one.source]
        if found and found[-1].leg == one.leg and from_us <= found[-1].to_us:
            found[-1] = found[-1]._replace(to_us=max(found[-1].to_us, to_us))
        else:
            found.append(Silence(one.leg, from_us, to_us))
    return found


def masked_message(message: Message) -> Message:
    """Blank the digits in the body of a request that carries DTMF; any other message is given back as it is.

    Looks into INFO bodies whose type names dtmf or digits, also as parts of multipart ones, and into KPML reports
    (RFC 4730). Not an octet is added or removed, so that Content-Length stays true.
    """
    head = parse_head(message.payload)
    if not head.is_request or head.body >= len(message.payload):
        return message
    body = message.payload[head.body :]
    masked = _masked_body(head.content_type, body)
    if masked == body:
        return message
    return msgspec.structs.replace(message, payload=message.payload[: head.body] + masked)


def masked_chunks(stream: Stream, payloads: Payloads | None, silences: Sequence[Silence]) -> list[Chunk]:
    """Give a stream's chunks for export: event codes become MASK_EVENT, audio within `silences` becomes silence.

    Rows stay as they are, and so do headers and lengths. Silence is exact for G.711; payloads of other codecs are
    zeroed.
    """
    data = [np.frombuffer(chunk.data, np.uint8).copy() for chunk in stream.chunks]
    packets = stream.packets
    quiet = np.zeros(len(packets), bool)
    for leg, from_us, to_us in silences:
        if leg is None or leg == stream.key.leg:
            quiet |= (packets["time_us"] >= from_us) & (packets["time_us"] <= to_us)
    events = carriers_of(stream, payloads)
    # A redundant payload may repeat what is hidden, or hold it alone: its blocks are masked one by one below.
    quiet &= ~np.isin(packets["payload_type"], np.unique(events["payload_type"]))
    for number in np.unique(packets["payload_type"][quiet]).tolist():
        law = law_of(codec_of(number, payloads))
        _fill(data, packets[quiet & (packets["payload_type"] == number)], 0 if law is None else _SILENT_CODES[law])
    first = events[events["length"] > 0]
    first["length"] = np.where(first["length"] == REPORT_OCTETS, 1, first["length"])
    _fill(data, first, MASK_EVENT)
    return [
        Chunk(chunk.key, chunk.rows, octets.tobytes(), chunk.clock_skew)
        for chunk, octets in zip(stream.chunks, data, strict=True)
    ]


def _fill(data: list[NDArray[np.uint8]], packets: NDArray[np.void], value: int) -> None:
    """Set every octet of these payloads."""
    for index in np.unique(packets["chunk"]).tolist():
        own = packets[packets["chunk"] == index]
        length = own["length"].astype(np.int64)
        within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        data[index][np.repeat(own["offset"].astype(np.int64), length) + within] = value


def _masked_body(content_type: str, body: bytes) -> bytes:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("multipart/"):
        return _masked_parts(body)
    if "kpml" in media_type:
        return _KPML_DIGITS.sub(lambda found: found[1] + MASK_OCTET * len(found[2]) + found[3], body)
    if _is_dtmf(media_type):
        return _LINE.sub(_masked_line, body)
    return body


def _is_dtmf(media_type: str) -> bool:
    return "dtmf" in media_type or "digits" in media_type or media_type == "audio/telephone-event"


def _masked_parts(body: bytes) -> bytes:
    """Mask the parts of a multipart body; a part goes from the line of its boundary to the next."""
    pieces = re.split(rb"(?m)(^--)", body)
    return b"".join(_masked_part(piece) for piece in pieces)


def _masked_part(part: bytes) -> bytes:
    empty = re.search(rb"\r\n\r\n|\n\n|\r\r", part)
    if empty is None:
        return part
    found = _CONTENT_TYPE.search(part[: empty.start()])
    text = found[1].decode("utf-8", "replace") if found else ""
    return part[: empty.end()] + _masked_body("" if text.startswith("multipart/") else text, part[empty.end() :])


def _masked_line(line: re.Match[bytes]) -> bytes:
    name, equals, _ = line[0].partition(b"=")
    if equals and name.strip().lower() == b"duration":
        return line[0]
    start = line[0].rfind(b"=") + 1
    return line[0][:start] + re.sub(rb"[^\s]", MASK_OCTET, line[0][start:])


_LINE: Final = re.compile(rb"[^\r\n]+")
_CONTENT_TYPE: Final = re.compile(rb"(?im)^(?:content-type|c)[ \t]*:[ \t]*([^\r\n;]*)")
_KPML_DIGITS: Final = re.compile(rb"(?i)(\bdigits\s*=\s*[\"'])([^\"']*)([\"'])")
