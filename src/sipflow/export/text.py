"""A call as text for people and as lines of JSON for programs."""

from collections.abc import Iterator

import msgspec

from sipflow.clock import format_time
from sipflow.export.parcel import Parcel
from sipflow.query.answer import Flow
from sipflow.query.transcript import transcribe


def as_text(parcel: Parcel) -> Iterator[bytes]:
    """Write each message under a line with its number, time and ends; the messages are exact, octet for octet."""
    for note in parcel.notes:
        yield f"# {note}\n".encode()
    for number, message in enumerate(parcel.messages, 1):
        moment = format_time(message.time_us).replace("T", " ").rstrip("Z")
        yield f"{number}  {moment} UTC  {message.src} -> {message.dst}\n".encode()
        yield message.payload
        yield b"\n\n" if message.payload.endswith(b"\n") else b"\n\n\n"


def as_lines(parcel: Parcel) -> Iterator[bytes]:
    """Write each message as the API does, one JSON object per line."""
    for entry in transcribe(Flow(parcel.call_id, list(parcel.messages), [])).messages:
        yield msgspec.json.encode(entry) + b"\n"
