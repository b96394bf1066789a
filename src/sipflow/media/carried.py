"""What each payload of a stream is: sound and by which codec, or silence and why."""

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow.media.codec import Codec, codec_of, is_comfort_noise, is_event, law_of
from sipflow.media.decoding import Decoding
from sipflow.media.span import Span
from sipflow.wire.sdp import Crypto

G711_RATE: Final = 8000
# SRTP's authentication tags (RFC 3711, 4.2.1; RFC 4568, 6.2; RFC 7714, 13.1), and the share of packets that show one.
_TAG_OCTETS: Final = (10, 4, 16)
_MOST: Final = 0.9


class Cause(enum.IntEnum):
    """Why there is no audio before a packet."""

    PAUSE = 0  # nothing was sent: the numbers go on without a hole
    LOST = 1  # numbers are missing
    EVENT = 2  # RFC 4733 events took the place of audio
    COMFORT_NOISE = 3
    UNDECODED = 4  # a codec that is not decoded here, or a payload that it refused
    RESTART = 5  # the sender began again
    ENCRYPTED = 6  # SRTP whose keys are not in the call's SDP
    HOLD = 7  # nothing was sent, and SDP had said so


class Law(enum.IntEnum):
    """How a packet becomes samples; the numbers are those of enum sf_placed_law (mix.h)."""

    ULAW = 0
    ALAW = 1
    LINEAR = 2  # decoded before, in a Spool


class Carried(NamedTuple):
    """What some packets of a stream carry: audio when `cause` is None, else why they are silent.

    `law` is LINEAR where a decoder is needed, `rate` [Hz] that of the samples, 0 where they have none of their own.
    `cryptos` are the keys of packets that must be decrypted first.
    """

    codec: Codec
    cause: Cause | None
    law: Law = Law.LINEAR
    rate: int = 0
    cryptos: tuple[Crypto, ...] = ()

    @property
    def is_noise(self) -> bool:
        """Tell comfort noise, which sounds and yet is no speech."""
        return is_comfort_noise(self.codec)

    @property
    def refused(self) -> Cause:
        """Tell why a packet of this kind is silent when it gave no samples."""
        if self.cryptos:
            return Cause.ENCRYPTED
        return Cause.COMFORT_NOISE if self.is_noise else Cause.UNDECODED

    @property
    def written(self) -> str:
        """Name it for people; G.711 at another rate than 8 kHz is the one case where the name alone would mislead."""
        name = self.codec.name
        odd = name.upper() in ("PCMU", "PCMA") and self.codec.clock != G711_RATE
        written = f"{name}/{self.codec.clock}" if odd else name
        return f"{written} (encrypted)" if self.cause == Cause.ENCRYPTED or self.cryptos else written


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What the packets of a stream carry: per packet the index of one of `kinds`."""

    kinds: tuple[Carried, ...]
    of: NDArray[np.uint8]

    @property
    def counted(self) -> list[tuple[Carried, int]]:
        """Count the packets of each kind."""
        return list(zip(self.kinds, np.bincount(self.of, minlength=len(self.kinds)).tolist(), strict=True))

    @property
    def rate(self) -> int:
        """Tell the highest rate of its audio [Hz], 0 when it has none."""
        return max((kind.rate for kind, count in self.counted if count), default=0)

    @property
    def silent(self) -> Counter[str]:
        """Count the packets that are no speech here, by encoding name."""
        found: Counter[str] = Counter()
        for kind, count in self.counted:
            if count and (kind.cause is not None or kind.is_noise):
                found[kind.written] += count
        return found

    def select(self, values: Sequence[int]) -> NDArray[np.uint8]:
        """Give for each packet the value of its kind, one of `values`, which are below 256."""
        return np.array(values, np.uint8)[self.of]


def contents(packets: NDArray[np.void], said: Sequence[Span], decoding: Decoding) -> Contents:
    """Tell what each packet (PACKET rows) carries by what SDP said at its time."""
    kinds: dict[Carried, int] = {}
    of = np.zeros(len(packets), np.uint8)
    for index, span in enumerate(said):
        within = _within(packets, said, index)
        types = packets["payload_type"][within]
        table = np.zeros(256, np.uint8)
        for number in np.flatnonzero(np.bincount(types, minlength=1)).tolist():
            codec = codec_of(number, span.payloads)
            if not span.announced and _has_tags(codec, packets[within][types == number]):
                carried = Carried(codec, Cause.ENCRYPTED)
            else:
                carried = _carried(codec, span, decoding)
            table[number] = kinds.setdefault(carried, len(kinds))
        of[within] = table[types]
    return Contents(tuple(kinds), of)


def _has_tags(codec: Codec, packets: NDArray[np.void]) -> bool:
    """Tell SRTP that nobody announced by its authentication tags, which codecs of an octet a tick make visible."""
    if law_of(codec) is None and codec.name.upper() != "G722":
        return False
    neighbours = np.flatnonzero(np.diff(packets["extended"]) == 1)
    ticks = (packets["timestamp"][neighbours + 1] - packets["timestamp"][neighbours]).astype(np.int64)
    surplus = packets["length"][neighbours].astype(np.int64) - ticks
    return bool(len(surplus)) and any(np.mean(surplus == octets) > _MOST for octets in _TAG_OCTETS)


def _carried(codec: Codec, said: Span, decoding: Decoding) -> Carried:
    # RFC 4733 events under SRTP are encrypted as well, but silence all the same.
    if is_event(codec):
        return Carried(codec, Cause.EVENT)
    if said.secure and not said.cryptos:
        return Carried(codec, Cause.ENCRYPTED)
    cryptos = said.cryptos if said.secure else ()
    law = law_of(codec)
    if law is not None:
        return Carried(codec, None, Law(law), G711_RATE, cryptos)
    if is_comfort_noise(codec):
        return Carried(codec, None, cryptos=cryptos)
    rate = decoding.rate_of(codec)
    return Carried(codec, Cause.UNDECODED) if rate is None else Carried(codec, None, Law.LINEAR, rate, cryptos)


def _within(packets: NDArray[np.void], said: Sequence[Span], index: int) -> slice | NDArray[np.bool_]:
    """Choose the packets of the time of one announcement."""
    if len(said) == 1:
        return slice(None)
    time_us = packets["time_us"]
    until = said[index + 1].from_us if index + 1 < len(said) else np.iinfo(np.int64).max
    since = said[index].from_us if index else np.iinfo(np.int64).min
    return (time_us >= since) & (time_us < until)
