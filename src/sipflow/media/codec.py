"""What a payload type stands for: an encoding and its RTP clock, as session descriptions name them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sipflow.wire.sdp import STATIC_CODECS

EVENT: Final = "telephone-event"
COMFORT_NOISE: Final = "CN"


class Codec(NamedTuple):
    """An encoding as SDP names it, its RTP clock [Hz], its channels, and what a=fmtp says of it.

    The clock counts timestamps. It is not the rate of the samples for every encoding: G722 counts at 8000 and samples
    at 16000 (RFC 3551, section 4.5.2), opus always counts at 48000 (RFC 7587); that is the decoder's to know.
    """

    name: str
    clock: int
    channels: int = 1
    parameters: str = ""


# What SDP said of the payload types of one stream, or of a whole call.
Payloads = Mapping[int, Codec]

# RFC 3551, tables 4 and 5; 19 was comfort noise before RFC 3389 gave it 13.
STATIC: Final[Payloads] = {
    **{number: Codec(codec.name, codec.clock_rate, codec.channels) for number, codec in STATIC_CODECS.items()},
    19: Codec(COMFORT_NOISE, 8000),
}
# Names compare without regard to case (RFC 8866, section 6.6); where senders differ, this is how IANA writes them.
_SPELLINGS: Final[Mapping[str, str]] = {
    name.lower(): name
    for name in (
        *(codec.name for codec in STATIC.values()),
        *("AMR", "AMR-WB", "AMR-WB+", "BV16", "BV32", "CLEARMODE", "EVRC", "EVRCB", "EVRCWB", "EVS"),
        *("G719", "G7221", "G726-16", "G726-24", "G726-32", "G726-40", "AAL2-G726-16", "AAL2-G726-24"),
        *("AAL2-G726-32", "AAL2-G726-40", "G729D", "G729E", "G7291", "GSM-EFR", "GSM-HR-08", "iLBC", "isac"),
        *("L8", "L16", "L20", "L24", "LPC", "mpeg4-generic", "MP4A-LATM", "opus", "PCMA-WB", "PCMU-WB", "RED"),
        *("SILK", "SMV", "speex", "t140", "telephone-event", "tone", "UEMCLIP", "VDVI", "vorbis"),
        *("H263-1998", "H263-2000", "H264", "H265", "VP8", "VP9", "AV1", "rtx", "ulpfec", "flexfec"),
    )
}
# Other names that senders give the same encoding.
_SYNONYMS: Final[Mapping[str, str]] = {
    "g711u": "PCMU",
    "g711a": "PCMA",
    "g.711u": "PCMU",
    "g.711a": "PCMA",
    "g723.1": "G723",
    "g7231": "G723",
    "g729a": "G729",
    "g729b": "G729",
    "g729ab": "G729",
    "g.729": "G729",
}
# RTCP on the media port looks like these RTP payload types (RFC 5761, section 4): they never carry media.
RTCP_TYPES: Final = range(72, 77)
# Nobody announced it: telephony's usual clock.
DEFAULT_CLOCK: Final = 8000


def canonical(name: str) -> str:
    """Spell an encoding name as the field does; a name nobody registered stays as it was written."""
    folded = name.strip().lower()
    return _SPELLINGS.get(folded) or _SYNONYMS.get(folded) or name.strip()


def codec_of(payload_type: int, payloads: Payloads | None = None) -> Codec:
    """Name the codec of a payload type: by SDP, else by RFC 3551, else "payload type N" at 8 kHz.

    What is unknown stays unknown: no payload type is ever taken for one of the same size or the same sound.
    """
    said = payloads.get(payload_type) if payloads else None
    if said is not None and said[1] > 0:
        codec = Codec(*said)
        return codec._replace(name=canonical(codec.name))
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


def is_signal(codec: Codec) -> bool:
    """Tell what carries no speech: events and comfort noise."""
    return is_event(codec) or is_comfort_noise(codec)


def law_of(codec: Codec) -> int | None:
    """Give 0 for mu-law and 1 for A-law of one channel at 8 kHz (ITU-T G.711), None for everything else."""
    if codec.clock != DEFAULT_CLOCK or codec.channels != 1:
        return None
    return {"PCMU": 0, "PCMA": 1}.get(canonical(codec.name))
