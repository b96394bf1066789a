"""SipFlow datagrams the plain way: fields one after the other, as the byte tables of docs/WIRE.md list them.

An oracle for the C codec. It shares no code with it and cares for nothing but being obvious.
"""

from typing import NamedTuple


class FrameError(ValueError):
    """A frame or datagram that does not follow the format; the text is the name the recorder counts it under."""


class Frame(NamedTuple):
    """One packet frame; addresses in network order. Without metadata, leg is 0 and call_id empty."""

    kind: int
    family: int
    src: bytes
    src_port: int
    dst: bytes
    dst_port: int
    time_us: int
    client_id: int
    has_metadata: bool
    leg: int
    call_id: bytes
    payload: bytes


class Reader:
    """Takes octets from the front and refuses to read what is not there."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def take(self, count: int) -> bytes:
        """Give the next `count` octets."""
        if count > len(self.octets):
            raise FrameError("truncated")
        taken, self.octets = self.octets[:count], self.octets[count:]
        return taken

    def number(self, octets: int, signed: bool = False) -> int:
        """Give the next octets as a big-endian number."""
        return int.from_bytes(self.take(octets), "big", signed=signed)


def parse_frame(octets: bytes) -> Frame:
    """Read the frame at the start of `octets`; what follows it is ignored. Raises FrameError."""
    reader = Reader(octets)
    if reader.take(2) != b"\x53\x46":
        raise FrameError("bad_magic")
    version = reader.number(1)
    if version not in (2, 3):
        raise FrameError("bad_version")
    kind = reader.number(1)
    if kind not in (0, 1):
        raise FrameError("bad_kind")
    family = reader.number(1)
    if family not in (4, 6):
        raise FrameError("bad_family")
    address = 4 if family == 4 else 16
    src, src_port = reader.take(address), reader.number(2)
    dst, dst_port = reader.take(address), reader.number(2)
    time_us = reader.number(8)
    client_id = reader.number(4) if version == 3 else 0
    metadata = reader.take(reader.number(4))
    leg, call_id = parse_metadata(metadata) if metadata else (0, b"")
    payload = reader.take(reader.number(4))
    return Frame(
        kind, family, src, src_port, dst, dst_port, time_us, client_id, bool(metadata), leg, call_id, payload
    )  # fmt: skip


def parse_metadata(octets: bytes) -> tuple[int, bytes]:
    """Read leg and call id. Raises FrameError when they do not fill the block exactly."""
    reader = Reader(octets)
    try:
        leg = reader.number(4, signed=True)
        call_id = reader.take(reader.number(4))
    except FrameError:
        raise FrameError("bad_metadata") from None
    if reader.octets:
        raise FrameError("bad_metadata")
    try:
        call_id.decode()
    except UnicodeDecodeError:
        raise FrameError("bad_call_id") from None
    return leg, call_id


def parse(octets: bytes) -> tuple[list[Frame], list[str]]:
    """Read a datagram: its frames, and what is wrong with each other one. Raises FrameError for the whole."""
    if Reader(octets).take(2) != b"\x53\x47":
        return [parse_frame(octets)], []
    frames, refused = [], []
    for frame in split_batch(octets):
        try:
            frames.append(parse_frame(frame))
        except FrameError as reason:
            refused.append(str(reason))
    return frames, refused


def split_batch(octets: bytes) -> list[bytes]:
    """Cut a batch into frames. Raises FrameError when lengths, count and datagram disagree."""
    reader = Reader(octets)
    reader.take(2)
    if reader.number(1) != 1:
        raise FrameError("bad_version")
    count = reader.number(2)
    try:
        frames = [reader.take(reader.number(4)) for _ in range(count)]
    except FrameError:
        raise FrameError("bad_batch") from None
    if reader.octets:
        raise FrameError("bad_batch")
    return frames


def encode_frame(frame: Frame, version: int = 3) -> bytes:
    """Write a frame; version 2 has no client id."""
    metadata = b""
    if frame.has_metadata:
        metadata = frame.leg.to_bytes(4, "big", signed=True) + len(frame.call_id).to_bytes(4, "big") + frame.call_id
    return b"".join(
        (
            b"\x53\x46",
            bytes((version, frame.kind, frame.family)),
            frame.src,
            frame.src_port.to_bytes(2, "big"),
            frame.dst,
            frame.dst_port.to_bytes(2, "big"),
            frame.time_us.to_bytes(8, "big"),
            frame.client_id.to_bytes(4, "big") if version == 3 else b"",
            len(metadata).to_bytes(4, "big"),
            metadata,
            len(frame.payload).to_bytes(4, "big"),
            frame.payload,
        )
    )


def encode_batch(frames: list[bytes]) -> bytes:
    """Write frames as one datagram."""
    parts = [len(frame).to_bytes(4, "big") + frame for frame in frames]
    return b"\x53\x47\x01" + len(frames).to_bytes(2, "big") + b"".join(parts)
