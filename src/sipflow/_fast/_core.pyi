"""The typed face of the C core."""

from typing import Any, TypeAlias, TypedDict

from numpy.typing import NDArray

# --- load: frames, talkers, the sender ---

TALKER_TAIL: int
SENDER_BUDGET: int

_Octets: TypeAlias = bytes | bytearray | memoryview | NDArray[Any]

def frame_encode(
    kind: int,
    src: bytes,
    src_port: int,
    dst: bytes,
    dst_port: int,
    time_us: int,
    payload: bytes,
    call_id: bytes = b"",
    leg: int | None = None,
    client_id: int = 0,
) -> bytes:
    """Write one SipFlow frame of version 3; addresses are 4 or 16 octets in network order."""

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
        budget: int = ...,
        tick_us: int = 1000,
    ) -> None:
        """Begin a clock that stands at `origin_us` (capture time) when run is first called; speed 0 is unpaced."""
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
