"""Chunks as the store hands them out, built from packets that a test writes down."""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import ROW_MARKER, ROW_VALID, RTP_ROW, Chunk, StreamKey

CHUNK_PACKETS = 100
T0_US = 1_780_000_000_000_000


class Rtp(NamedTuple):
    """One RTP packet as captured; `arrival_us` None means it was received when it was captured."""

    time_us: int
    sequence: int
    timestamp: int
    payload: bytes = b"\xff" * 160
    payload_type: int = 0
    marker: bool = False
    valid: bool = True
    arrival_us: int | None = None


def make_key(
    leg: int = 0,
    ssrc: int | None = 0x1234ABCD,
    src: str = "192.0.2.1",
    dst: str = "192.0.2.2",
    call_id: str = "call@test",
    client_id: int = 0,
) -> StreamKey:
    """Name a stream."""
    return StreamKey(call_id, leg, Endpoint(src, 10000), Endpoint(dst, 20000), ssrc, client_id)


def make_chunk(key: StreamKey, packets: Sequence[Rtp], *, clock_skew: bool = False) -> Chunk:
    """Write the packets, in this order, into one chunk: whole RTP packets as data, rows that point into it."""
    rows = np.zeros(len(packets), RTP_ROW)
    data = bytearray()
    for row, packet in zip(rows, packets, strict=True):
        head = struct.pack(
            ">BBHII",
            0x80,
            packet.payload_type | (0x80 if packet.marker else 0),
            packet.sequence & 0xFFFF,
            packet.timestamp & 0xFFFFFFFF,
            key.ssrc or 0,
        )
        row["time_us"] = packet.time_us
        row["arrival_us"] = packet.time_us if packet.arrival_us is None else packet.arrival_us
        row["offset"] = len(data)
        row["length"] = len(head) + len(packet.payload)
        row["flags"] = (ROW_VALID if packet.valid else 0) | (ROW_MARKER if packet.marker else 0)
        if packet.valid:
            row["payload_offset"] = len(data) + len(head)
            row["payload_length"] = len(packet.payload)
            row["timestamp"] = packet.timestamp & 0xFFFFFFFF
            row["sequence"] = packet.sequence & 0xFFFF
            row["payload_type"] = packet.payload_type
        data += head + packet.payload
    return Chunk(key, rows, bytes(data), clock_skew)


def make_chunks(key: StreamKey, packets: Iterable[Rtp], size: int = CHUNK_PACKETS) -> list[Chunk]:
    """Write the packets, in this order, into chunks of `size`."""
    listed = list(packets)
    return [make_chunk(key, listed[at : at + size]) for at in range(0, len(listed), size)]


def talk(
    audio: bytes,
    *,
    samples: int | Sequence[int] = 160,
    time_us: int = T0_US,
    sequence: int = 1000,
    timestamp: int = 160_000,
    payload_type: int = 0,
) -> list[Rtp]:
    """Cut G.711 audio into packets of `samples` (one number, or a pattern), captured exactly when they are due."""
    pattern = [samples] if isinstance(samples, int) else list(samples)
    packets: list[Rtp] = []
    at = 0
    while at < len(audio):
        size = pattern[len(packets) % len(pattern)]
        packets.append(
            Rtp(time_us + at * 125, sequence + len(packets), timestamp + at, audio[at : at + size], payload_type)
        )
        at += size
    return packets
