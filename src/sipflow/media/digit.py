"""A key that was pressed in a call, however it was sent."""

import enum
from typing import Final

import msgspec

from sipflow.wire.endpoint import Endpoint

KEYS: Final = "0123456789*#ABCD"  # by event code (RFC 4733, section 3.2)
FLASH: Final = "flash"
# RFC 2833's flash, which RFC 4733 reserves; fax and modem tones of RFC 4734; call progress tones of RFC 2833.
_OTHER_EVENTS: Final = {
    16: FLASH,
    32: "ANS",
    33: "/ANS",
    34: "ANSam",
    35: "/ANSam",
    36: "CNG",
    66: "dial tone",
    70: "ringing tone",
    72: "busy tone",
    73: "congestion tone",
}


class Source(enum.StrEnum):
    """How a digit was sent."""

    RFC4733 = "rfc4733"
    INFO = "info"
    INBAND = "inband"


class Digit(msgspec.Struct, frozen=True):
    """One key that was pressed, or another event of the line.

    `symbol` is one of KEYS, "flash", or the event's name or number; `time_us` is when it began, as captured.
    `duration_ms` is None when nobody said, `volume_dbm0` the power of the whole tone where one is known. `complete`
    tells that its end was seen, `assumed` that no SDP said that these packets are events. `ssrc` is None for what did
    not come by RTP.
    """

    symbol: str
    time_us: int
    duration_ms: float | None
    source: Source
    leg: int | None
    src: Endpoint
    ssrc: int | None = None
    volume_dbm0: int | None = None
    complete: bool = True
    assumed: bool = False

    @property
    def end_us(self) -> int:
        """Tell when it ended; the time of its beginning when its length is not known."""
        return self.time_us + round((self.duration_ms or 0.0) * 1000)


def name_of(event: int) -> str:
    """Name an event code of RFC 4733: a key, another name, or "event N"."""
    return KEYS[event] if event < len(KEYS) else _OTHER_EVENTS.get(event, f"event {event}")
