"""The codecs that calls speak: how their packets look, and what a session description says of them."""

from dataclasses import dataclass

from sipflow.errors import ConfigError

PTIMES = (10, 20, 30, 40, 60)  # ms


@dataclass(frozen=True)
class Codec:
    """A codec: its payload type, the clock of its RTP timestamps, the packet times it can have [ms].

    A codec that is `framed` has one frame in each packet, of any length; else an octet is a sample of 8 kHz.
    """

    name: str
    payload_type: int
    clock: int = 8000
    channels: int = 1
    ptimes: tuple[int, ...] = PTIMES
    framed: bool = False
    parameters: str = ""

    @property
    def ticks(self) -> int:
        """Tell how many ticks of its clock a sample of 8 kHz lasts."""
        return self.clock // 8000

    @property
    def mapping(self) -> str:
        """Write it as a=rtpmap does (RFC 8866, section 6.6)."""
        return f"{self.name}/{self.clock}" + (f"/{self.channels}" if self.channels > 1 else "")


# RFC 3551, table 4, for payload types below 96. The clock of G.722 is 8000 though it samples at 16000 (section 4.5.2).
PCMU, PCMA, G722 = Codec("PCMU", 0), Codec("PCMA", 8), Codec("G722", 9)
G729 = Codec("G729", 18, framed=True, parameters="annexb=no")
AMR = Codec("AMR", 96, ptimes=(20, 40, 60), framed=True, parameters="octet-align=1")  # RFC 4867
OPUS = Codec("opus", 111, 48000, 2, (10, 20, 40, 60), framed=True, parameters="useinbandfec=1")  # RFC 7587

SPOKEN = (PCMU, PCMA, G722, G729, AMR, OPUS)
_OFFERED_ONLY = (Codec("GSM", 3), Codec("iLBC", 97, parameters="mode=30"))
BY_TYPE = {codec.payload_type: codec for codec in (*SPOKEN, *_OFFERED_ONLY)}

Choices = tuple[tuple[Codec, float], ...]


def parse_codecs(text: str, option: str = "--codec") -> Choices:
    """Read codecs and, if wanted, weights: PCMU,G722 or PCMA=70,opus=30. Raises ConfigError that names the option."""
    by_name = {codec.name.lower(): codec for codec in SPOKEN}
    found: list[tuple[Codec, float]] = []
    for part in text.split(","):
        name, equals, weight = part.strip().partition("=")
        try:
            codec, share = by_name[name.lower()], float(weight) if equals else 1.0
        except (KeyError, ValueError):
            codec, share = PCMU, -1.0
        if not 0 < share < 1e9 or codec in [known for known, _ in found]:
            names = ", ".join(codec.name for codec in SPOKEN)
            raise ConfigError(option, part, f"NAME[=WEIGHT],… of {names}, each once, weights above 0")
        found.append((codec, share))
    return tuple(found)


def parse_ptimes(text: str, codecs: Choices, option: str = "--ptime") -> tuple[int, ...]:
    """Read packet times in ms, which every one of `codecs` must be able to have. Raises ConfigError."""
    found: list[int] = []
    for part in text.split(","):
        number = int(part) if part.strip().isascii() and part.strip().isdigit() else 0
        if number not in PTIMES or number in found:
            raise ConfigError(option, part, f"of {', '.join(map(str, PTIMES))} [ms], each once")
        for codec, _ in codecs:
            if number not in codec.ptimes:
                raise ConfigError(option, part, f"for {codec.name} {', '.join(map(str, codec.ptimes))} [ms]")
        found.append(number)
    return tuple(found)
