"""Packets on their way to a bucket, made as the recorder makes them: pool, encoder, portions."""

import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sipflow._fast import Intake, Pool, Portion
from sipflow.storage.encoder import Encoder
from sipflow.storage.layout import Period, Subdirs
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

A, B = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
_POOL_OCTETS = 16 << 20


def invite(call_id: str, time_us: int, method: str = "INVITE") -> Packet:
    """Write a request of a call, from alice to bob."""
    text = (
        f"{method} sip:bob@example.com SIP/2.0\r\nCall-ID: {call_id}\r\nFrom: <sip:alice@example.com>;tag=a\r\n"
        f"To: <sip:bob@example.com>{'' if method == 'INVITE' else ';tag=b'}\r\nCSeq: 1 {method}\r\n\r\n"
    )
    return Packet(
        kind=Kind.SIP, src=A, dst=B, time_us=time_us, client_id=1, call_id=call_id, leg=0, payload=text.encode()
    )


def media(call_id: str, time_us: int, sequence: int = 1, ssrc: int = 7) -> Packet:
    """Write an RTP packet of a call."""
    octets = struct.pack(">BBHII", 0x80, 0, sequence, sequence * 160, ssrc) + bytes(160)
    return Packet(Kind.RTP, A, B, time_us, octets, call_id, leg=0, client_id=1)


def portions_of(packets: Iterable[Packet], subdirs: Subdirs = Subdirs.HOURLY) -> list[tuple[Period, Portion]]:
    """Encode packets, each filed by its capture time."""
    with tempfile.TemporaryDirectory() as scratch:
        pool = Pool.open(str(Path(scratch) / "pool"), _POOL_OCTETS, 1)
        intake = Intake(pool, 0, 1_000_000, 0, True, True)
        encoder = Encoder(pool, subdirs)
        found = []
        for packet in packets:
            intake.put(
                packet.kind, packet.src.family, packet.src.packed, packet.src.port, packet.dst.packed, packet.dst.port,
                packet.time_us, packet.client_id, packet.call_id.encode(), packet.leg, packet.payload, packet.time_us,
            )  # fmt: skip
            if min(pool.free_chunks()) < 4:
                intake.drain()
                found += _taken(pool, encoder)
        intake.drain()
        return found + _taken(pool, encoder)


def _taken(pool: Pool, encoder: Encoder) -> list[tuple[Period, Portion]]:
    found = []
    while chunks := pool.take(64, 0):
        found += encoder.encode(chunks).portions
        pool.release(chunks)
    return found
