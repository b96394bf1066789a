"""UDP datagrams out of the frames of a capture file."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sipflow.ingest import content
from sipflow.ingest.fragments import Fragments
from sipflow.ingest.frame import Frame, Refusal
from sipflow.ingest.ip import ICMP, ICMP_6, SCTP, TCP, UDP, IpPacket, parse_ip
from sipflow.ingest.link import find_ip
from sipflow.wire.sip import looks_like_sip

# An address in network order and a port.
Peer = tuple[bytes, int]


class Datagram(NamedTuple):
    """One whole UDP datagram: time and number of the frame that completed it, `frames` how many it came in.

    `cut` when the capture holds less of it than was on the wire. What came out of HEP is `wrapped`, has the number of
    its sender, and the call that the sender names if it is media.
    """

    number: int
    time_us: int
    src: Peer
    dst: Peer
    payload: bytes
    frames: int
    cut: bool
    wrapped: bool = False
    call_id: str = ""
    client_id: int = 0


class Refused(NamedTuple):
    """`frames` frames up to `number` that yield no datagram, and why."""

    number: int
    time_us: int
    frames: int
    why: Refusal


def datagrams(frames: Iterable[Frame]) -> Iterator[Datagram | Refused]:
    """Turn frames into datagrams in order of completion; every frame is in exactly one of the values given."""
    fragments = Fragments()
    number, time_us, lost = 0, 0, 0
    for frame in frames:
        number, time_us = frame.number, frame.time_us
        at = find_ip(frame.link, frame.data)
        packet = at if isinstance(at, Refusal) else parse_ip(frame.data, at)
        if isinstance(packet, Refusal):
            yield Refused(number, time_us, 1, packet)
            continue
        count = 1
        if packet.fragment is not None:
            whole = fragments.add(packet, time_us)
            if fragments.lost > lost:
                yield Refused(number, time_us, fragments.lost - lost, _LOST)
                lost = fragments.lost
            if whole is None:
                continue
            packet, count = whole
        result = _datagram(packet, frame, count)
        yield Refused(number, time_us, count, result) if isinstance(result, Refusal) else result
    if fragments.close() > lost:
        yield Refused(number, time_us, fragments.lost - lost, _LOST)


_LOST = Refusal("fragments_missing")


def _datagram(packet: IpPacket, frame: Frame, count: int) -> Datagram | Refusal:
    octets = packet.payload
    if packet.protocol != UDP:
        return _no_udp(packet)
    if len(octets) < 8:
        return Refusal("bad_udp", f"{len(octets)} octets; allowed: from the header's 8 on")
    length = int.from_bytes(octets[4:6], "big")
    if 0 < length < 8:
        return Refusal("bad_udp", f"a length of {length}; allowed: from the header's 8 on")
    # 0 is a jumbogram, or a length the network card had yet to fill in: everything that is there.
    length = length or len(octets)
    return Datagram(
        number=frame.number,
        time_us=frame.time_us,
        src=(packet.src, int.from_bytes(octets[0:2], "big")),
        dst=(packet.dst, int.from_bytes(octets[2:4], "big")),
        payload=octets[8:length],
        frames=count,
        cut=packet.cut or length > len(octets),
    )


def _no_udp(packet: IpPacket) -> Refusal:
    if packet.protocol == TCP:
        return _tcp(packet.payload)
    if packet.protocol == SCTP:
        return Refusal("sctp")
    if packet.protocol in (ICMP, ICMP_6):
        return Refusal("icmp")
    return Refusal("ip_protocol", f"IP protocol {packet.protocol}")


def _tcp(octets: bytes) -> Refusal:
    payload = octets[(octets[12] >> 4) * 4 :] if len(octets) > 12 else b""
    if looks_like_sip(payload):
        return Refusal("sip_over_tcp", content.start_line(payload))
    return Refusal("hep" if content.is_hep(payload) else "tcp")
