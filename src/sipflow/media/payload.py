"""Payloads whose frames libav takes as they stand: what makes one well-formed. Each gives None when it is not."""

import struct
from typing import Final

GSM_OCTETS: Final = 33
G728_OCTETS: Final = 5  # 2.5 ms: four code words of 10 bits
G723_OCTETS: Final = (24, 20, 4, 1)  # by the low two bits of a frame: 6.3 kbit/s, 5.3 kbit/s, SID, nothing sent
_GSM_MAGIC: Final = 0xD
_DVI4_HEAD: Final = 4
_DVI4_STEPS: Final = 89
# A frame may be of 5 bits, and sound 20 ms: what exceeds a datagram's usual size would become minutes.
_SPEEX_MOST_OCTETS: Final = 1500


def as_it_stands(payload: bytes) -> bytes | None:
    """Take any octets."""
    return payload


def gsm(payload: bytes) -> bytes | None:
    """Take GSM full rate frames (RFC 3551, section 4.5.8)."""
    whole = len(payload) % GSM_OCTETS == 0 and all(octet >> 4 == _GSM_MAGIC for octet in payload[::GSM_OCTETS])
    return payload if whole else None


def g723(payload: bytes) -> bytes | None:
    """Take G.723.1 frames, each as long as its first octet says (RFC 3551, section 4.5.3)."""
    at = 0
    while at < len(payload):
        at += G723_OCTETS[payload[at] & 3]
    return payload if at == len(payload) else None


def g728(payload: bytes) -> bytes | None:
    """Take G.728 frames (RFC 3551, section 4.5.5)."""
    return payload if len(payload) % G728_OCTETS == 0 else None


def dvi4(payload: bytes) -> bytes | None:
    """Take one DVI4 block: predicted value, step index, an octet unused, code words (RFC 3551, section 4.5.1)."""
    return payload if len(payload) > _DVI4_HEAD and payload[2] < _DVI4_STEPS else None


def speex(payload: bytes) -> bytes | None:
    """Take Speex frames (RFC 5574): they follow each other bit by bit, so that only a decoder finds their ends."""
    return payload if len(payload) <= _SPEEX_MOST_OCTETS else None


def speex_head(rate: int) -> bytes:
    """Make the header that a decoder wants before the first frame: mono, any number of frames in a payload.

    `rate` is one of 8000, 16000 and 32000 [Hz]. Source: the Speex manual, section "Ogg file format".
    """
    mode = (8000, 16000, 32000).index(rate)
    most_frames = 10
    fields = (1, 80, rate, mode, 4, 1, -1, 160 << mode, 1, most_frames, 0, 0, 0)
    return b"Speex   " + b"1.2".ljust(20, b"\0") + struct.pack("<13i", *fields)
