"""The header of an RTP packet as Python sees it (RFC 3550, section 5.1)."""

import enum

import msgspec

from sipflow._fast import rtp_head, rtp_kind


class MediaKind(enum.IntEnum):
    """What came on a media port; the numbers are those of enum sf_rtp_kind (rtp.h)."""

    OTHER = 0
    RTP = 1
    RTCP = 2


class RtpHead(msgspec.Struct, frozen=True):
    """The fields of one packet; `payload` is what is left without CSRC list, extension and padding.

    `timestamp` counts in units of the codec's clock.
    """

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(packet: bytes) -> RtpHead | None:
    """Read a packet; None when it is not RTP version 2, or its lengths reach beyond it."""
    fields = rtp_head(packet)
    return None if fields is None else RtpHead(*fields)


def media_kind(packet: bytes) -> MediaKind:
    """Tell RTP from RTCP on the same port (RFC 5761, section 4) and from anything else."""
    return MediaKind(rtp_kind(packet))
