"""Packets as Python sees them: one captured SIP message, or one RTP packet on its way in."""

import enum

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.wire.endpoint import Endpoint

# SIP that names no call is kept under this id, so that it is seen and counted rather than lost.
UNIDENTIFIED = "unidentified@sipflow"


class Kind(enum.IntEnum):
    """What a packet carries; the numbers are those of the wire format."""

    SIP = 0
    RTP = 1


class Packet(msgspec.Struct, frozen=True):
    """One mirrored packet, whatever source it came from.

    `time_us` is the sender's capture time; `leg` is None when the sender named none; `client_id` 0 is unknown.
    """

    kind: Kind
    src: Endpoint
    dst: Endpoint
    time_us: int
    payload: bytes
    call_id: str = ""
    leg: int | None = None
    client_id: int = 0


class Message(msgspec.Struct, frozen=True):
    """One stored SIP message: exactly the octets that were captured, and where they were seen."""

    call_id: str
    time_us: int
    arrival_us: int
    src: Endpoint
    dst: Endpoint
    payload: bytes
    leg: int | None = None
    client_id: int = 0
    clock_skew: bool = False

    @property
    def text(self) -> str:
        """Give the message as text; octets that are not UTF-8 become U+FFFD."""
        return self.payload.decode("utf-8", "replace")


# One RTP packet of a Chunk, in the C layout of struct sf_rtp_row (columns.h). offset/length are the whole RTP packet in
# Chunk.data, payload_* what is left of it without header, CSRC list, extension and padding (RFC 3550, section 5.1).
RTP_ROW = np.dtype(
    [
        ("time_us", "<i8"),
        ("arrival_us", "<i8"),
        ("offset", "<u4"),
        ("length", "<u4"),
        ("payload_offset", "<u4"),
        ("payload_length", "<u4"),
        ("timestamp", "<u4"),
        ("sequence", "<u2"),
        ("payload_type", "u1"),
        ("flags", "u1"),
    ]
)
ROW_MARKER = 1  # the RTP marker bit was set
ROW_VALID = 2  # a well-formed RTP version 2 packet; without it only times, offset and length mean something


class StreamKey(msgspec.Struct, frozen=True):
    """What makes a media stream: one sender, one direction, one SSRC of one call.

    `ssrc` is None for datagrams that are not RTP (RTCP on the same port among them).
    """

    call_id: str
    leg: int
    src: Endpoint
    dst: Endpoint
    ssrc: int | None
    client_id: int = 0


class Chunk:
    """Up to a few seconds of one stream, in order of arrival: `rows` (RTP_ROW) point into `data`.

    This one is in memory; a subclass may fetch its content where it is stored, each time it is asked: take both parts
    with content() when both are wanted.
    """

    __slots__ = ("_data", "_rows", "clock_skew", "key")

    def __init__(self, key: StreamKey, rows: NDArray[np.void], data: bytes, clock_skew: bool = False) -> None:
        """Take rows and the octets they point into; `clock_skew` tells that it was filed by arrival."""
        self.key = key
        self.clock_skew = clock_skew
        self._rows = rows
        self._data = data

    def content(self) -> tuple[NDArray[np.void], bytes]:
        """Give rows and data. Raises StorageError when they cannot be read any more."""
        return self._rows, self._data

    @property
    def rows(self) -> NDArray[np.void]:
        """Give the packets (RTP_ROW). Raises StorageError as content() does."""
        return self.content()[0]

    @property
    def data(self) -> bytes:
        """Give the octets of all packets. Raises StorageError as content() does."""
        return self.content()[1]

    @property
    def packets(self) -> int:
        """Tell how many packets it holds."""
        return len(self._rows)

    @property
    def last_us(self) -> int:
        """Tell when the last of its packets was captured."""
        return int(self._rows["time_us"].max())

    def first_us(self, *, by_arrival: bool = False) -> int:
        """Tell when its first packet was captured, or received."""
        return int(self._rows["arrival_us" if by_arrival else "time_us"][0])
