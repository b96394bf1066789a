"""The typed face of the C core. Octets go in as bytes; what comes out is a copy."""

import numpy as np
from numpy.typing import NDArray

# (kind, family, src, src_port, dst, dst_port, time_us, client_id, has_metadata, leg, call_id, payload)
RawPacket = tuple[int, int, bytes, int, bytes, int, int, int, bool, int, bytes, bytes]

# ---- frames and datagrams (packet.h) ----

def parse_datagram(octets: bytes) -> tuple[list[RawPacket] | None, list[str]]:
    """Parse a datagram: its sound packets and the reason for each refused frame; None when refused whole."""

def encode_frame(
    version: int,
    kind: int,
    family: int,
    src: bytes,
    src_port: int,
    dst: bytes,
    dst_port: int,
    time_us: int,
    client_id: int,
    call_id: bytes,
    leg: int | None,
    payload: bytes,
) -> bytes:
    """Write one frame of version 2 or 3; raises ValueError for addresses that do not fit the family."""

# ---- SIP, RTP (sip.h, rtp.h) ----

# (is_request, method, uri, status, reason, call_id, from uri, from user, from tag, to uri, to user, to tag,
#  cseq, cseq method, user agent, via branch, content type, body offset)
RawSipHead = tuple[
    bool,
    bytes,
    bytes,
    int | None,
    bytes,
    bytes | None,
    bytes,
    bytes,
    bytes,
    bytes,
    bytes,
    bytes,
    int | None,
    bytes,
    bytes,
    bytes,
    bytes,
    int,
]

def sip_head(message: bytes) -> RawSipHead:
    """Scan the head of a SIP message; what is not there is empty or None."""

def sip_looks_like(octets: bytes) -> bool:
    """Tell whether octets begin like a SIP message."""

def rtp_kind(packet: bytes) -> int:
    """Tell what came on a media port: 0 something else, 1 RTP, 2 RTCP (RFC 5761)."""

def rtp_head(packet: bytes) -> tuple[bool, int, int, int, int, bytes] | None:
    """Read marker, payload type, sequence, timestamp, SSRC and payload; None when it is not sound RTP."""

# ---- G.711, checksum, placement ----

def g711_decode(codes: bytes, law: int) -> bytes:
    """Decode to native 16-bit samples; law 0 is mu-law, 1 A-law."""

def g711_encode(samples: bytes, law: int) -> bytes:
    """Encode native 16-bit samples; law 0 is mu-law, 1 A-law."""

def crc32c(octets: bytes, crc: int = 0) -> int:
    """Checksum octets by CRC-32C, continuing from `crc`."""

def jump_node(call_id: bytes, nodes: int) -> int:
    """Pick the node of a Call-ID; -1 when there is none."""

# ---- media ----

def mix_g711(rows: NDArray[np.uint8], data: bytes, start: int, out: NDArray[np.int16], channel: int) -> int:
    """Add G.711 packets to one channel of `out`, which shows samples [start, start + len(out)) of the time line.

    `rows` are the octets of PLACED rows (sipflow.media.placing) of one chunk, `data` is that chunk's, `out` is
    (samples, channels). Sums saturate. Gives the number of rows that do not lie in `data`.
    """
