"""What a payload type stands for: encoding name and RTP clock."""

from collections.abc import Mapping
from typing import Final, NamedTuple

EVENT: Final = "telephone-event"
COMFORT_NOISE: Final = "CN"


class Codec(NamedTuple):
    """An encoding as SDP names it and its RTP clock [Hz]."""

    name: str
    clock: int


# What SDP said: payload type -> (encoding name, clock). A plain tuple does as well as a Codec.
Payloads = Mapping[int, tuple[str, int]]

# RFC 3551, tables 4 and 5; 19 was comfort noise before RFC 3389 gave it 13.
STATIC: Final[Mapping[int, Codec]] = {
    0: Codec("PCMU", 8000),
    3: Codec("GSM", 8000),
    4: Codec("G723", 8000),
    5: Codec("DVI4", 8000),
    6: Codec("DVI4", 16000),
    7: Codec("LPC", 8000),
    8: Codec("PCMA", 8000),
    9: Codec("G722", 8000),
    10: Codec("L16", 44100),
    11: Codec("L16", 44100),
    12: Codec("QCELP", 8000),
    13: Codec(COMFORT_NOISE, 8000),
    14: Codec("MPA", 90000),
    15: Codec("G728", 8000),
    16: Codec("DVI4", 11025),
    17: Codec("DVI4", 22050),
    18: Codec("G729", 8000),
    19: Codec(COMFORT_NOISE, 8000),
    25: Codec("CelB", 90000),
    26: Codec("JPEG", 90000),
    28: Codec("nv", 90000),
    31: Codec("H261", 90000),
    32: Codec("MPV", 90000),
    33: Codec("MP2T", 90000),
    34: Codec("H263", 90000),
}
# RTCP on the media port looks like these RTP payload types (RFC 5761, section 4): they never carry media.
RTCP_TYPES: Final = range(72, 77)
# Nobody announced it: telephony's usual clock.
DEFAULT_CLOCK: Final = 8000


def codec_of(payload_type: int, payloads: Payloads | None = None) -> Codec:
    """Name the codec of a payload type: by SDP, else by RFC 3551, else "payload type N" at 8 kHz."""
    said = payloads.get(payload_type) if payloads else None
    if said is not None and said[1] > 0:
        return Codec(*said)
    return STATIC.get(payload_type) or Codec(f"payload type {payload_type}", DEFAULT_CLOCK)


def is_known(payload_type: int, payloads: Payloads | None = None) -> bool:
    """Tell whether SDP or RFC 3551 says what this payload type is."""
    return payload_type in STATIC or bool(payloads and payload_type in payloads)


def is_event(codec: Codec) -> bool:
    """Tell RFC 4733 events, whose timestamp stands still for the length of a digit."""
    return codec.name.lower() == EVENT


def is_comfort_noise(codec: Codec) -> bool:
    """Tell RFC 3389 comfort noise."""
    return codec.name.upper() == COMFORT_NOISE


def law_of(codec: Codec) -> int | None:
    """Give 0 for mu-law and 1 for A-law at 8 kHz (ITU-T G.711), None for everything that is not decoded here."""
    if codec.clock != DEFAULT_CLOCK:
        return None
    return {"PCMU": 0, "PCMA": 1}.get(codec.name.upper())
