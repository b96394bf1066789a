"""What the payload of a datagram is, told from its first octets."""

import enum
import re
from typing import NamedTuple

RTP_HEADER = 12
# Services whose messages may begin like RTP, as the query number of DNS and NetBIOS is arbitrary.
SERVICES = frozenset({53, 67, 68, 69, 123, 137, 138, 161, 162, 500, 514, 5353, 5355})


class Content(enum.Enum):
    """What a payload was recognised as; the values other than SIP and RTP are keys of import_report.REASONS."""

    SIP = "sip"
    RTP = "rtp"
    HEP = "hep"
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
    if is_sip(payload):
        return Content.SIP
    if len(payload) < 4 or not payload.strip(b"\r\n\0 "):
        return Content.KEEPALIVE
    # RFC 7983 tells what may share a port with RTP by the first octet.
    first = payload[0]
    if first >> 6 == 2:
        return _media(payload, ports, cut)
    if first < 4 and _is_stun(payload):
        return Content.STUN
    if is_hep(payload):
        return Content.HEP
    return Content.DTLS if 20 <= first <= 63 and payload[1] == 0xFE else Content.OTHER


def _media(payload: bytes, ports: tuple[int, int], cut: bool) -> Content:
    if not SERVICES.isdisjoint(ports):
        return Content.OTHER
    if _is_rtcp(payload):
        return Content.RTCP
    return Content.RTP if _is_rtp(payload, cut) else Content.OTHER


def rtp_head(payload: bytes) -> RtpHead:
    """Read the header of a payload recognised as RTP."""
    return RtpHead(payload[1] & 0x7F, int.from_bytes(payload[2:4], "big"), int.from_bytes(payload[8:12], "big"))


def is_sip(payload: bytes) -> bool:
    """Tell whether a payload begins with a SIP start line (RFC 3261, section 7), empty lines before it allowed."""
    return _START.match(payload, 0, START_MAX) is not None


def start_line(payload: bytes) -> str:
    """Give the start line as text, for people."""
    line = payload.lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r")
    return line[:120].decode("utf-8", "replace")


def is_hep(payload: bytes) -> bool:
    """Tell whether a payload is a HEP version 3 packet."""
    return payload[:4] == b"HEP3"


START_MAX = 16_384
# Method, target and version, or version and status. Blanks are taken as found, and any version: RFC 4475 has both
# in messages that a receiver must see to be able to refuse them.
_START = re.compile(
    rb"[\r\n]*"
    rb"(?:SIP/\d{1,3}\.\d{1,3}[ \t]+\d{3}"
    rb"|[!%'*+\-.`\w~]{1,64}[ \t]+[^\s][^\r\n]{0,16000}[ \t]SIP/\d{1,3}\.\d{1,3}[ \t]*[\r\n])",
    re.IGNORECASE,
)


def _is_rtcp(payload: bytes) -> bool:
    # RFC 5761, section 4: these packet types would be RTP with a marker and payload types that are never given out.
    if len(payload) < 8 or not (200 <= payload[1] <= 213 or 192 <= payload[1] <= 195):
        return False
    # RFC 3550, section 6.4.1: the length counts 32-bit words after the first. A capture may have cut the rest.
    return int.from_bytes(payload[2:4], "big") <= 1500 // 4


def _is_rtp(payload: bytes, cut: bool) -> bool:
    if len(payload) < RTP_HEADER:
        return False
    header = RTP_HEADER + (payload[0] & 15) * 4
    if payload[0] & 16:
        if len(payload) < header + 4:
            return False
        header += 4 + int.from_bytes(payload[header + 2 : header + 4], "big") * 4
    if header > len(payload):
        return False
    # The number of padding octets stands last: a capture that cut the packet does not have it.
    return cut or not payload[0] & 32 or 0 < payload[-1] <= len(payload) - header


def _is_stun(payload: bytes) -> bool:
    # RFC 8489, section 5: the length counts what follows the header of 20 octets. RFC 3489 knew no magic cookie.
    if len(payload) < 20:
        return False
    length = int.from_bytes(payload[2:4], "big")
    return payload[4:8] == b"\x21\x12\xa4\x42" or length + 20 == len(payload)
