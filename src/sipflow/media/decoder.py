"""Decoders of everything that is not G.711 at 8 kHz: one RTP payload in, its samples out."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sipflow.errors import Undecodable
from sipflow.media import linear, payload
from sipflow.media.amr import amr_payload
from sipflow.media.codec import Codec
from sipflow.media.concealment import Memory
from sipflow.media.g729 import G729
from sipflow.media.ilbc import Ilbc
from sipflow.media.libav import EMPTY, Libav, g726_opener, opener

Render = Callable[[bytes], "NDArray[np.int16] | None"]
Unpack = Callable[[bytes], "bytes | None"]
_WIDEST_CHANNELS: Final = 8


class Decoder(Protocol):
    """What turns the payloads of one stream into samples, in order. One thread at a time."""

    rate: int
    """Rate of the samples given [Hz]; it is not always the RTP clock."""
    bad: int
    """Payloads that were malformed, and gave no sample."""

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """Give the samples (mono) of one payload, whatever number of frames; none for a malformed one."""
        ...

    def conceal(self, samples: int) -> NDArray[np.int16]:
        """Give samples in place of a lost packet; the next of the same loss go on fading."""
        ...

    def reset(self) -> None:
        """Forget the stream: the next payload is the first of another."""
        ...


class PayloadDecoder:
    """A Decoder made of a function from payload to samples."""

    def __init__(self, rate: int, start: Callable[[], Render]) -> None:
        """Decode at `rate` [Hz] by what `start` gives, anew for each stream."""
        self.rate = rate
        self.bad = 0
        self._start = start
        self.reset()

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """Give the samples of one payload, see Decoder."""
        samples = self._render(payload) if payload else EMPTY
        if samples is None:
            self.bad += 1
            return EMPTY
        self._memory.remember(samples)
        return samples

    def conceal(self, samples: int) -> NDArray[np.int16]:
        """Give samples in place of a lost packet, see concealment.py."""
        return self._memory.conceal(samples)

    def reset(self) -> None:
        """Forget the stream; `bad` counts on."""
        self._render = self._start()
        self._memory = Memory(self.rate)


def decoder_of(codec: Codec) -> Decoder:
    """Give a decoder for the payloads of one stream.

    Raises Undecodable, whose reason names the codec, and says what is missing.
    """
    make = _MAKERS.get(codec.name.upper())
    if make is None:
        raise Undecodable(f"{codec.name}: no decoder for it is known here")
    return make(codec)


def _framed(unpack: Unpack, start: Callable[[], Libav]) -> Callable[[], Render]:
    def begin() -> Render:
        decode = start()

        def render(octets: bytes) -> NDArray[np.int16] | None:
            frames = unpack(octets)
            return None if frames is None else decode(frames)

        return render

    return begin


def _fixed(rate: int, unpack: Unpack, *names: str) -> Callable[[Codec], Decoder]:
    """Make codecs that have one rate and no modes."""
    return lambda codec: PayloadDecoder(rate, _framed(unpack, opener(codec.name, names, rate)))


def _amr(rate: int, *names: str) -> Callable[[Codec], Decoder]:
    return lambda codec: PayloadDecoder(rate, _framed(amr_payload(codec), opener(codec.name, names, rate)))


def _g726(name: str, bits: int) -> Callable[[Codec], Decoder]:
    return lambda codec: PayloadDecoder(8000, _framed(payload.as_it_stands, g726_opener(codec.name, name, bits)))


def _g729(codec: Codec) -> Decoder:
    start = opener(codec.name, ("g729",), 8000)
    return PayloadDecoder(8000, lambda: G729(start()))


def _ilbc(codec: Codec) -> Decoder:
    by_mode = {mode: opener(codec.name, ("ilbc",), 8000, bit_rate=rate) for mode, rate in ((20, 15200), (30, 13333))}
    return PayloadDecoder(8000, lambda: Ilbc(by_mode, codec.parameters))


def _speex(codec: Codec) -> Decoder:
    if codec.clock not in (8000, 16000, 32000):
        raise Undecodable(f"{codec.name}/{codec.clock}: its clock is 8000, 16000 or 32000 (RFC 5574)")
    start = opener(codec.name, ("speex",), codec.clock, extradata=payload.speex_head(codec.clock))
    return PayloadDecoder(codec.clock, _framed(payload.speex, start))


def _dvi4(codec: Codec) -> Decoder:
    start = opener(codec.name, ("adpcm_ima_smjpeg",), codec.clock)
    return PayloadDecoder(codec.clock, _framed(payload.dvi4, start))


def _linear(widen: linear.Widen) -> Callable[[Codec], Decoder]:
    def make(codec: Codec) -> Decoder:
        if not 1 <= codec.channels <= _WIDEST_CHANNELS:
            raise Undecodable(f"{codec.name}: {codec.channels} channels are not decoded; 1 to {_WIDEST_CHANNELS} are")
        return PayloadDecoder(codec.clock, lambda: linear.linear(widen, codec.channels))

    return make


# By encoding name in capitals. Little-endian G.726 is RFC 3551's packing, the other that of ATM (its section 4.5.4).
_MAKERS: Final[Mapping[str, Callable[[Codec], Decoder]]] = {
    "AMR": _amr(8000, "libopencore_amrnb", "amrnb"),
    "AMR-WB": _amr(16000, "libopencore_amrwb", "amrwb"),
    "DVI4": _dvi4,
    "G722": _fixed(16000, payload.as_it_stands, "g722"),
    "G723": _fixed(8000, payload.g723, "g723_1"),
    "G728": _fixed(8000, payload.g728, "g728"),
    "G729": _g729,
    "G721": _g726("g726le", 4),
    "GSM": _fixed(8000, payload.gsm, "gsm", "libgsm"),
    "ILBC": _ilbc,
    "L8": _linear(linear.l8),
    "L16": _linear(linear.l16),
    "OPUS": _fixed(48000, payload.as_it_stands, "libopus", "opus"),
    "PCMA": _linear(linear.a_law),
    "PCMU": _linear(linear.mu_law),
    "SPEEX": _speex,
    **{f"G726-{8 * bits}": _g726("g726le", bits) for bits in (2, 3, 4, 5)},
    **{f"AAL2-G726-{8 * bits}": _g726("g726", bits) for bits in (2, 3, 4, 5)},
}
