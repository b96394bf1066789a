"""HEP frames as senders write them, for tests: chunk by chunk, from the tables of the specification."""

import struct
import zlib
from ipaddress import ip_address

from sipflow.wire.endpoint import Endpoint

SIP, RTP, RTCP, LOG = 1, 4, 5, 100


def chunk(kind: int, body: bytes, vendor: int = 0) -> bytes:
    """Write one chunk: vendor, type, its own length with these six octets, body."""
    return struct.pack(">HHH", vendor, kind, 6 + len(body)) + body


def frame(*chunks: bytes) -> bytes:
    """Write a frame of version 3."""
    body = b"".join(chunks)
    return b"HEP3" + struct.pack(">H", 6 + len(body)) + body


def hep3(
    payload: bytes,
    src: Endpoint,
    dst: Endpoint,
    time_us: int,
    *,
    protocol: int = SIP,
    agent: int = 2001,
    key: str = "",
    correlation: str = "",
    packed: bool = False,
) -> bytes:
    """Wrap a payload as Kamailio does, with a key and a correlation id where they are given."""
    version = ip_address(src.ip).version
    chunks = [
        chunk(1, bytes([2 if version == 4 else 10])),
        chunk(2, b"\x11"),
        chunk(3 if version == 4 else 5, src.packed),
        chunk(4 if version == 4 else 6, dst.packed),
        chunk(7, src.port.to_bytes(2, "big")),
        chunk(8, dst.port.to_bytes(2, "big")),
        chunk(9, (time_us // 1_000_000).to_bytes(4, "big")),
        chunk(10, (time_us % 1_000_000).to_bytes(4, "big")),
        chunk(11, bytes([protocol])),
        chunk(12, agent.to_bytes(4, "big")),
    ]
    if key:
        chunks.append(chunk(14, key.encode()))
    if correlation:
        chunks.append(chunk(17, correlation.encode()))
    chunks.append(chunk(16, zlib.compress(payload)) if packed else chunk(15, payload))
    return frame(*chunks)


def hep2(payload: bytes, src: Endpoint, dst: Endpoint, time_us: int, agent: int = 2001) -> bytes:
    """Wrap a payload as captagent does in version 2: the time as a struct of a little-endian machine."""
    version = ip_address(src.ip).version
    head = struct.pack(">BBBBHH", 2, 16 if version == 4 else 40, 2 if version == 4 else 10, 17, src.port, dst.port)
    return head + src.packed + dst.packed + struct.pack("<IIHH", *divmod(time_us, 1_000_000), agent, 0) + payload
