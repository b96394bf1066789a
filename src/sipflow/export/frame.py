"""IP packets with UDP inside, many at once: header and checksums of RFC 791, RFC 8200 and RFC 768."""

import struct
from ipaddress import ip_address
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow.wire.endpoint import Endpoint

_TTL: Final = 64
_UDP: Final = 17
_UDP_OCTETS: Final = 8
_WORD: Final = 0xFFFF
# The length fields of IP and UDP have 16 bits; that of IPv6 does not count its own header.
PAYLOAD_MAX: Final = 65535 - 20 - _UDP_OCTETS


def udp_packets(src: Endpoint, dst: Endpoint, payloads: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Wrap payloads of equal length, one per row, into IP packets from `src` to `dst`, one per row.

    Both must be of one family, or what is IPv4 becomes a mapped address (RFC 4291, section 2.5.5.2). A payload is at
    most PAYLOAD_MAX octets.
    """
    source, target = src.packed, dst.packed
    if len(source) != len(target):
        source, target = (ip if len(ip) == 16 else bytes(10) + b"\xff\xff" + ip for ip in (source, target))
    count, length = payloads.shape
    udp_length = _UDP_OCTETS + length
    head = _ip_head(source, target, udp_length) + struct.pack(">HHHH", src.port, dst.port, udp_length, 0)
    packets = np.empty((count, len(head) + length), np.uint8)
    packets[:, : len(head)] = np.frombuffer(head, np.uint8)
    packets[:, len(head) :] = payloads
    # The pseudo header: addresses, protocol, length; the length stands in the UDP header as well.
    fixed = _sum(source + target) + _UDP + udp_length + _sum(head[-_UDP_OCTETS:])
    sums = _folded(fixed + _sums(payloads)) ^ _WORD
    # RFC 768: a checksum of zero is written as all ones, because zero says that there is none.
    packets[:, len(head) - 2 : len(head)] = np.where(sums == 0, _WORD, sums).astype(">u2").view(np.uint8).reshape(-1, 2)
    return packets


def _ip_head(source: bytes, target: bytes, udp_length: int) -> bytes:
    if len(source) == 16:
        return struct.pack(">IHBB", 6 << 28, udp_length, _UDP, _TTL) + source + target
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + udp_length, 0, 0x4000, _TTL, _UDP, 0) + source + target
    check = int(_folded(np.array([_sum(head)], np.int64))[0]) ^ _WORD
    return head[:10] + struct.pack(">H", check) + head[12:]


def _sum(octets: bytes) -> int:
    return sum(struct.unpack(f">{len(octets) // 2}H", octets))


def _sums(payloads: NDArray[np.uint8]) -> NDArray[np.int64]:
    even, odd = payloads[:, 0::2].sum(axis=1, dtype=np.int64), payloads[:, 1::2].sum(axis=1, dtype=np.int64)
    total: NDArray[np.int64] = (even << 8) + odd
    return total


def _folded(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    for _ in range(3):
        sums = (sums & _WORD) + (sums >> 16)
    return sums


def is_ip(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint has an address that a packet can carry."""
    try:
        ip_address(endpoint.ip)
    except ValueError:
        return False
    return 0 <= endpoint.port <= 65535
