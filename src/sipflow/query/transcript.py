"""A flow in the form that leaves the process: every message with its place in the ladder, octets kept exact."""

import base64
import binascii

import msgspec

from sipflow.clock import format_time
from sipflow.query.answer import Fault, Flow
from sipflow.query.ladder import draw
from sipflow.wire.endpoint import parse_endpoint
from sipflow.wire.packet import Message


class Entry(msgspec.Struct, frozen=True):
    """One message: when and where it was seen, how the ladder shows it, and what it says.

    `time` is `time_us` in RFC 3339; `delta_us` counts from the message before; `source` and `target` are lanes. `text`
    is the message with U+FFFD for what is not UTF-8; only then `base64` holds the exact octets.
    """

    time: str
    time_us: int
    arrival_us: int
    delta_us: int
    src: str
    dst: str
    source: int
    target: int
    label: str
    kind: str
    repeat: bool
    text: str
    base64: str | None = None
    leg: int | None = None
    client_id: int = 0
    clock_skew: bool = False


class Transcript(msgspec.Struct, frozen=True):
    """A call's messages in order; `lanes` are its endpoints, `partial` is true when `faults` hid some of it."""

    call_id: str
    lanes: list[str]
    messages: list[Entry]
    partial: bool
    faults: list[Fault]


def transcribe(flow: Flow) -> Transcript:
    """Write a flow out."""
    ladder = draw(flow.messages)
    entries = []
    for message, arrow in zip(flow.messages, ladder.arrows, strict=True):
        text = message.text
        exact = text.encode("utf-8") == message.payload
        entries.append(
            Entry(
                format_time(message.time_us),
                message.time_us,
                message.arrival_us,
                arrow.delta_us,
                str(message.src),
                str(message.dst),
                arrow.source,
                arrow.target,
                arrow.label,
                arrow.kind,
                arrow.repeat,
                text,
                None if exact else base64.b64encode(message.payload).decode("ascii"),
                message.leg,
                message.client_id,
                message.clock_skew,
            )
        )
    return Transcript(flow.call_id, [str(lane) for lane in ladder.lanes], entries, bool(flow.faults), flow.faults)


def read_back(transcript: Transcript) -> Flow:
    """Give the flow that a transcript was written from. Raises ValueError when it was not written by `transcribe`."""
    return Flow(
        transcript.call_id,
        [_message(transcript.call_id, entry) for entry in transcript.messages],
        transcript.faults,
    )


def _message(call_id: str, entry: Entry) -> Message:
    try:
        payload = entry.text.encode() if entry.base64 is None else base64.b64decode(entry.base64, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None
    return Message(
        call_id,
        entry.time_us,
        entry.arrival_us,
        parse_endpoint(entry.src),
        parse_endpoint(entry.dst),
        payload,
        entry.leg,
        entry.client_id,
        entry.clock_skew,
    )
