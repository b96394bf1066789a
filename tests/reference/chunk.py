"""Pool memory in plain Python: chunks and arenas as the receiver lays them down (_fast/chunk.h)."""

import struct
from typing import NamedTuple

# Checksums are left 0: whoever encodes or reads records does not look at them, who takes them from a pool does.
IDENTITY = struct.Struct("=4xIiIHHBBBB16s16sH6x")
RTP_RECORD = struct.Struct("=4xHHqq")
SIP_RECORD = struct.Struct("=4xIqqIiHHHBB16s16sB7x")


class Stream(NamedTuple):
    """Whose packets a chunk holds; addresses are 4 or 16 octets."""

    call_id: bytes = b"a84b4c76e66710@192.0.2.4"
    leg: int | None = 0
    client_id: int = 7
    src: bytes = b"\xc0\x00\x02\x01"
    src_port: int = 40000
    dst: bytes = b"\xc0\x00\x02\x02"
    dst_port: int = 50000
    ssrc: int | None = 0x11223344
    clock_skew: bool = False


class Datagram(NamedTuple):
    """One packet of a stream."""

    time_us: int
    arrival_us: int
    octets: bytes


class Sip(NamedTuple):
    """One SIP message in an arena."""

    call_id: bytes
    time_us: int
    arrival_us: int
    payload: bytes
    leg: int | None = None
    client_id: int = 0
    src: bytes = b"\xc0\x00\x02\x01"
    src_port: int = 5060
    dst: bytes = b"\xc0\x00\x02\x02"
    dst_port: int = 5060
    clock_skew: bool = False


def padded(octets: bytes) -> bytes:
    """Fill up to a multiple of eight octets."""
    return octets + bytes(-len(octets) % 8)


def chunk_memory(stream: Stream, datagrams: list[Datagram]) -> bytes:
    """Lay down a stream's chunk."""
    identity = IDENTITY.pack(
        stream.client_id,
        stream.leg or 0,
        stream.ssrc or 0,
        stream.src_port,
        stream.dst_port,
        4 if len(stream.src) == 4 else 6,
        stream.ssrc is not None,
        stream.clock_skew,
        stream.leg is not None,
        stream.src,
        stream.dst,
        len(stream.call_id),
    )
    records = [
        padded(RTP_RECORD.pack(len(one.octets), 0, one.time_us, one.arrival_us) + one.octets) for one in datagrams
    ]
    return padded(identity + stream.call_id) + b"".join(records)


def arena_memory(messages: list[Sip]) -> bytes:
    """Lay down an arena of SIP messages."""
    records = [
        SIP_RECORD.pack(
            len(one.payload),
            one.time_us,
            one.arrival_us,
            one.client_id,
            one.leg or 0,
            one.src_port,
            one.dst_port,
            len(one.call_id),
            4 if len(one.src) == 4 else 6,
            one.leg is not None,
            one.src,
            one.dst,
            one.clock_skew,
        )
        + one.call_id
        + one.payload
        for one in messages
    ]
    return b"".join(padded(record) for record in records)


def rtp(sequence: int, timestamp: int, payload: bytes, payload_type: int = 0, ssrc: int = 0x11223344) -> bytes:
    """Write an RTP packet without CSRC list, extension or padding."""
    return struct.pack(">BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload
