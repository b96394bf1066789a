"""SipFlow datagrams: packets to octets and back (docs/WIRE.md)."""

from collections.abc import Iterable
from typing import NamedTuple

from sipflow._fast import encode_frame, parse_datagram
from sipflow.errors import WireError
from sipflow.wire.endpoint import Endpoint, from_packed
from sipflow.wire.packet import Kind, Packet

BATCH_HEAD = b"\x53\x47\x01"
BATCH_MAX = 65535  # frames; the count has 16 bits
VERSIONS = (2, 3)


class Parsed(NamedTuple):
    """The packets of a datagram, and a reason for each frame of it that was refused."""

    packets: list[Packet]
    refused: list[str]


def decode_datagram(octets: bytes) -> Parsed:
    """Read a single frame or a batch. Raises WireError when the whole datagram must be refused."""
    packets, refused = parse_datagram(octets)
    if packets is None:
        raise WireError(refused[0])
    return Parsed(
        [
            Packet(
                Kind(kind),
                from_packed(src, src_port),
                from_packed(dst, dst_port),
                time_us,
                payload,
                call_id.decode(),
                leg if has_leg else None,
                client_id,
            )
            for kind, _, src, src_port, dst, dst_port, time_us, client_id, has_leg, leg, call_id, payload in packets
        ],
        refused,
    )


def encode_packet(packet: Packet, version: int = 3) -> bytes:
    """Write one frame. Addresses of mixed family are both written as IPv6, the odd one mapped (RFC 4291, 2.5.5.2).

    Raises ValueError for a version other than 2 and 3, OverflowError for a number that does not fit its field.
    """
    if version not in VERSIONS:
        raise ValueError(f"version: found {version}; allowed: 2, 3")
    src, dst = same_family(packet.src, packet.dst)
    return encode_frame(
        version, packet.kind, src.family, src.packed, src.port, dst.packed, dst.port, packet.time_us,
        packet.client_id, packet.call_id.encode(), packet.leg, packet.payload,
    )  # fmt: skip


def encode_batch(frames: Iterable[bytes]) -> bytes:
    """Pack frames into one datagram; the caller keeps it within what a datagram may hold.

    Raises ValueError for more than 65535 frames.
    """
    listed = list(frames)
    if len(listed) > BATCH_MAX:
        raise ValueError(f"frames: found {len(listed)}; allowed: 0 to {BATCH_MAX}")
    body = b"".join(len(frame).to_bytes(4, "big") + frame for frame in listed)
    return BATCH_HEAD + len(listed).to_bytes(2, "big") + body


def same_family(src: Endpoint, dst: Endpoint) -> tuple[Endpoint, Endpoint]:
    """Bring two ends to one family, as a frame has only one: an odd IPv4 address becomes a mapped IPv6 one."""
    return (src, dst) if src.family == dst.family else (_mapped(src), _mapped(dst))


def _mapped(end: Endpoint) -> Endpoint:
    return end if end.family == 6 else Endpoint(f"::ffff:{end.ip}", end.port)
