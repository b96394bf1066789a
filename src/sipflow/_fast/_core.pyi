"""The typed face of the C core. Octets go in as bytes; what comes out is a copy."""

from typing import Any, TypeAlias, TypedDict

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

# ---- load: talkers and the sender (talker.h, sender.h) ----

TALKER_TAIL: int
SENDER_BUDGET: int

_Octets: TypeAlias = bytes | bytearray | memoryview | NDArray[Any]

class Talker:
    """One RTP stream to be spoken; borrows the octets of the bank and of the steps for as long as it lives."""

    def __init__(
        self,
        head: bytes,
        bank: _Octets,
        start: int,
        loop: int,
        position: int,
        *,
        capture_us: int,
        count: int,
        ssrc: int,
        timestamp: int,
        sequence: int,
        samples: int,
        payload_type: int,
        event_type: int = 101,
        steps: _Octets | None = None,
    ) -> None:
        """Set up `count` packets of `samples` octets each.

        `head` is a frame with an empty payload, `bank[start:]` holds a G.711 loop of `loop` octets and TALKER_TAIL
        more, `steps` one record of 16 octets per packet (talker.h). Raises ValueError naming what does not fit.
        """
    def packets(self) -> list[tuple[int, bytes]]:
        """Give every packet of the stream: capture time [us since the epoch] and the RTP packet."""

class Sent(TypedDict):
    """What a sender did so far (sender.h)."""

    sip: int
    rtp: int
    datagrams: int
    octets: int
    errors: int
    unsent: int
    ticks: int
    late_ticks: int
    worst_us: int
    cpu_ns: int
    wall_ns: int
    last_errno: int

class Sender:
    """Sends talkers and frames at their times through a connected UDP socket; one thread at a time."""

    def __init__(
        self,
        fd: int,
        origin_us: int,
        *,
        speed: float,
        single: bool = False,
        offload: bool = False,
        budget: int = ...,
        tick_us: int = 1000,
    ) -> None:
        """Begin a clock that stands at `origin_us` (capture time) when run is first called; speed 0 is unpaced.

        `offload` lets the kernel cut datagrams, where it can (UDP_SEGMENT); batches are then padded to `budget`.
        """
    def add_talker(self, talker: Talker) -> None:
        """Take over a copy of a talker. Raises ValueError when it begins before the origin."""
    def add_frame(self, time_us: int, frame: bytes) -> None:
        """Send `frame` once, when the clock stands at `time_us`. Raises ValueError for a time before the origin."""
    def run(self, until_us: int) -> None:
        """Send until the clock stands at `until_us`; releases the GIL."""
    @property
    def left(self) -> int:
        """Tell how many streams and frames are not done."""
    @property
    def sent(self) -> Sent:
        """Tell what was sent so far."""
