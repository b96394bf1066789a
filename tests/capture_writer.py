"""Writes capture files and the packets in them, octet by octet, for tests. Shares no code with the reader."""

import struct
from collections.abc import Sequence
from ipaddress import ip_address

ETHERNET = 1
Peer = tuple[str, int]


def pcap(
    frames: Sequence[tuple[int, bytes] | tuple[int, bytes, int]],
    *,
    order: str = "<",
    nano: bool = False,
    link: int = ETHERNET,
    snap: int = 65535,
) -> bytes:
    """Build a classic capture file of (time in us, or ns with `nano`; octets) pairs, or triples with a wire length."""
    per_second = 1_000_000_000 if nano else 1_000_000
    out = bytearray(struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snap, link))
    for time, data, *length in frames:
        whole = length[0] if length else len(data)
        out += struct.pack(order + "IIII", time // per_second, time % per_second, len(data), whole) + data
    return bytes(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Build one pcapng block, padded."""
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(
    link: int = ETHERNET, options: Sequence[tuple[int, bytes]] = (), order: str = "<", snap: int = 0
) -> bytes:
    body = struct.pack(order + "HHI", link, 0, snap)
    for code, value in options:
        body += struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)
    return block(1, body + (struct.pack(order + "HH", 0, 0) if options else b""), order)


def packet(ticks: int, data: bytes, which: int = 0, order: str = "<") -> bytes:
    body = struct.pack(order + "IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(6, body + data, order)


def simple_packet(data: bytes, order: str = "<") -> bytes:
    return block(3, struct.pack(order + "I", len(data)) + data, order)


def udp(src: Peer, dst: Peer, payload: bytes) -> bytes:
    """Build a UDP datagram with the addresses left to `ip`; ends are ("192.0.2.1", 5060)."""
    return struct.pack(">HHHH", src[1], dst[1], 8 + len(payload), 0) + payload


def ip(
    src: Peer, dst: Peer, payload: bytes, protocol: int = 17, identity: int = 1, offset: int = 0, more: bool = False
) -> bytes:
    """Build an IPv4 or IPv6 packet; `offset` in octets makes a fragment."""
    source, target = ip_address(src[0]), ip_address(dst[0])
    if source.version == 4:
        bits = offset // 8 | (0x2000 if more else 0)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), identity, bits, 64, protocol, 0)
        return head + source.packed + target.packed + payload
    if offset or more:
        payload = struct.pack(">BBHI", protocol, 0, offset | more, identity) + payload
        protocol = 44
    return struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + source.packed + target.packed + payload


def ethernet(octets: bytes, tags: Sequence[tuple[int, int]] = (), kind: int | None = None) -> bytes:
    kind = kind or (0x86DD if octets[0] >> 4 == 6 else 0x0800)
    stack = b"".join(struct.pack(">HH", tag, number) for tag, number in tags)
    return bytes(12) + stack + struct.pack(">H", kind) + octets


def frame(src: Peer, dst: Peer, payload: bytes) -> bytes:
    """Build an Ethernet frame with one UDP datagram."""
    return ethernet(ip(src, dst, udp(src, dst, payload)))


def rtp(sequence: int, ssrc: int = 0x11223344, payload_type: int = 8, payload: bytes = b"\xd5" * 160) -> bytes:
    head = 0x80, payload_type, sequence & 0xFFFF, (sequence * 160) & 0xFFFFFFFF, ssrc
    return struct.pack(">BBHII", *head) + payload


def sdp(address: str, port: int, *, extra: str = "", direction: str = "sendrecv") -> str:
    version = "IP6" if ":" in address else "IP4"
    return (
        f"v=0\r\no=- 1 1 IN {version} {address}\r\ns=-\r\nc=IN {version} {address}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n{extra}"
    )


def sip(start: str, call_id: str, cseq: str, body: str = "", *, from_tag: str = "from", to_tag: str = "") -> bytes:
    """Build a message; `cseq` as in "1 INVITE"."""
    lines = [
        start,
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-" + call_id,
        f"From: <sip:alice@example.com>;tag={from_tag}",
        "To: <sip:bob@example.com>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq}",
    ]
    lines += ["Content-Type: application/sdp"] if body else []
    return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode()
