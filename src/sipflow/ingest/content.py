"""What the payload of a datagram is, told from its first octets."""

import enum
from typing import NamedTuple

from sipflow._fast import rtp_head as sound_rtp_head
from sipflow._fast import rtp_kind
from sipflow.wire.sip import looks_like_sip

# What rtp_kind says of RTCP.
RTP_CONTROL = 2
# Services whose messages may begin like RTP, as the query number of DNS and NetBIOS is arbitrary.
SERVICES = frozenset({53, 67, 68, 69, 123, 137, 138, 161, 162, 500, 514, 5353, 5355})


class Content(enum.Enum):
    """What a payload was recognised as; the values other than SIP and RTP are keys of import_report.REASONS."""

    SIP = "sip"
    RTP = "rtp"
    RTCP = "rtcp"
    STUN = "stun"
    DTLS = "dtls"
    KEEPALIVE = "keepalive"
    OTHER = "other_udp"


class RtpHead(NamedTuple):
    """The fields of an RTP header that tell streams apart (RFC 3550, section 5.1)."""

    payload_type: int
    sequence: int
    ssrc: int


def recognise(payload: bytes, ports: tuple[int, int], cut: bool) -> Content:
    """Tell what a UDP payload is; RTP here only means that every field of its header is plausible."""
    if looks_like_sip(payload):
        return Content.SIP
    if len(payload) < 4 or not payload.strip(b"\r\n\0 "):
        return Content.KEEPALIVE
    # RFC 7983 tells what may share a port with RTP by the first octet.
    first = payload[0]
    if first >> 6 == 2:
        return _media(payload, ports, cut)
    if first < 4 and _is_stun(payload):
        return Content.STUN
    return Content.DTLS if 20 <= first <= 63 and payload[1] == 0xFE else Content.OTHER


def _media(payload: bytes, ports: tuple[int, int], cut: bool) -> Content:
    if not SERVICES.isdisjoint(ports):
        return Content.OTHER
    kind = rtp_kind(payload)
    if kind == RTP_CONTROL:
        return Content.RTCP
    # The number of padding octets stands last: a capture that cut the packet does not have it.
    return Content.RTP if kind and (cut or sound_rtp_head(payload) is not None) else Content.OTHER


def rtp_head(payload: bytes) -> RtpHead:
    """Read the header of a payload recognised as RTP."""
    return RtpHead(payload[1] & 0x7F, int.from_bytes(payload[2:4], "big"), int.from_bytes(payload[8:12], "big"))


def start_line(payload: bytes) -> str:
    """Give the start line as text, for people."""
    line = payload.lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r")
    return line[:120].decode("utf-8", "replace")


def is_hep(payload: bytes) -> bool:
    """Tell whether a payload is a HEP version 3 packet."""
    return payload[:4] in (b"HEP3", b"EEP3")


def _is_stun(payload: bytes) -> bool:
    # RFC 8489, section 5: the length counts what follows the header of 20 octets. RFC 3489 knew no magic cookie.
    if len(payload) < 20:
        return False
    length = int.from_bytes(payload[2:4], "big")
    return payload[4:8] == b"\x21\x12\xa4\x42" or length + 20 == len(payload)
