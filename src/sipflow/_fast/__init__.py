"""The C core: one extension, re-exported here; nothing else imports it."""

from sipflow._fast._core import (
    crc32c,
    encode_frame,
    g711_decode,
    g711_encode,
    jump_node,
    mix_g711,
    parse_datagram,
    rtp_head,
    rtp_kind,
    sip_head,
    sip_looks_like,
)

ULAW = 0
ALAW = 1

__all__ = [
    "ALAW",
    "ULAW",
    "crc32c",
    "encode_frame",
    "g711_decode",
    "g711_encode",
    "jump_node",
    "mix_g711",
    "parse_datagram",
    "rtp_head",
    "rtp_kind",
    "sip_head",
    "sip_looks_like",
]
