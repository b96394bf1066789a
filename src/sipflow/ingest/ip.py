"""IPv4 (RFC 791) and IPv6 (RFC 8200) packets, with packets inside packets opened."""

from typing import NamedTuple

from sipflow.ingest.frame import Refusal

ICMP, IP_IN_IP, TCP, UDP, IPV6_IN_IP, ICMP_6, SCTP = 1, 4, 6, 17, 41, 58, 132
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTH, _NO_NEXT, _DESTINATION, _MOBILITY = 0, 43, 44, 51, 59, 60, 135
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _DESTINATION, _MOBILITY})
EXTENSIONS_MAX = 8
TUNNELS_MAX = 4


class Fragment(NamedTuple):
    """Which part of which datagram a packet carries; `offset` in octets, `more` follow behind it."""

    identity: int
    offset: int
    more: bool


class IpPacket(NamedTuple):
    """One packet: addresses in network order; `cut` when the capture holds less than the header says."""

    src: bytes
    dst: bytes
    protocol: int
    payload: bytes
    fragment: Fragment | None
    cut: bool


def parse_ip(data: bytes, at: int) -> IpPacket | Refusal:
    """Read the packet that begins at `at`, or the innermost one of up to four inside each other.

    Checksums are not looked at: captures on the sending machine are full of ones the network card had yet to fill in.
    """
    for _ in range(TUNNELS_MAX):
        version = data[at] >> 4 if len(data) > at else 0
        packet = _four(data, at) if version == 4 else _six(data, at) if version == 6 else None
        if packet is None:
            return Refusal("bad_ip", f"IP version {version}; allowed: 4, 6")
        if isinstance(packet, Refusal) or packet.fragment or packet.protocol not in (IP_IN_IP, IPV6_IN_IP):
            return packet
        data, at = packet.payload, 0
    return Refusal("ip_protocol", f"more than {TUNNELS_MAX} IP packets inside each other")


def _four(data: bytes, at: int) -> IpPacket | Refusal:
    left = len(data) - at
    header = (data[at] & 15) * 4
    if header < 20 or left < header:
        return Refusal("bad_ip", f"an IPv4 header of {header} octets in {left}; allowed: from 20 on")
    total = int.from_bytes(data[at + 2 : at + 4], "big")
    # Segmentation offload leaves the total 0: the frame says how long it is.
    total = total or left
    if total < header:
        return Refusal("bad_ip", f"a total length of {total} octets; allowed: from the header's {header} on")
    bits = int.from_bytes(data[at + 6 : at + 8], "big")
    offset, more = (bits & 0x1FFF) * 8, bool(bits & 0x2000)
    fragment = Fragment(int.from_bytes(data[at + 4 : at + 6], "big"), offset, more) if offset or more else None
    return IpPacket(
        src=data[at + 12 : at + 16],
        dst=data[at + 16 : at + 20],
        protocol=data[at + 9],
        payload=data[at + header : at + total],
        fragment=fragment,
        cut=total > left,
    )


def _six(data: bytes, at: int) -> IpPacket | Refusal:
    left = len(data) - at
    if left < 40:
        return Refusal("bad_ip", f"{left} octets; allowed: an IPv6 header of 40")
    length = int.from_bytes(data[at + 4 : at + 6], "big") or left - 40
    end = at + 40 + min(length, left - 40)
    protocol, here, fragment = data[at + 6], at + 40, None
    for _ in range(EXTENSIONS_MAX):
        if protocol not in _EXTENSIONS and protocol not in (_FRAGMENT, _AUTH):
            break
        if end - here < 8:
            return Refusal("bad_ip", "an IPv6 extension header that is cut short")
        following = data[here]
        if protocol == _FRAGMENT:
            bits = int.from_bytes(data[here + 2 : here + 4], "big")
            offset, more = bits & 0xFFF8, bool(bits & 1)
            # An atomic fragment (RFC 6946) is a whole datagram.
            if offset or more:
                fragment = Fragment(int.from_bytes(data[here + 4 : here + 8], "big"), offset, more)
            here += 8
            protocol = following
            if fragment:
                break
            continue
        here += (data[here + 1] + 2) * 4 if protocol == _AUTH else (data[here + 1] + 1) * 8
        protocol = following
    if here > end:
        return Refusal("bad_ip", "an IPv6 extension header that is cut short")
    return IpPacket(
        src=data[at + 8 : at + 24],
        dst=data[at + 24 : at + 40],
        protocol=protocol,
        payload=data[here:end],
        fragment=fragment,
        cut=length > left - 40,
    )
