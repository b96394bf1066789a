"""How payloads become samples: who decodes them, and what became of those that could not be."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sipflow.errors import Undecodable
from sipflow.media.codec import Codec
from sipflow.media.decoder import decoder_of
from sipflow.media.decoding_process import Decoded


class StreamDecoder(Protocol):
    """Decodes the payloads of one stream, batch by batch, in order. One thread at a time."""

    rate: int
    """Rate of the samples given [Hz]."""

    def decode(self, payloads: bytes, lengths: NDArray[np.uint32]) -> Decoded:
        """Decode payloads that lie one after the other. Raises DecodingFault; the next ones may still be decoded."""
        ...

    def close(self) -> None:
        """Let the decoder go."""
        ...


class InProcess:
    """Decodes in this process: for payloads that can be trusted; see decoding_process.py for all others."""

    def __init__(self, codec: Codec) -> None:
        """Begin a stream. Raises Undecodable."""
        self._decoder = decoder_of(codec)
        self.rate = self._decoder.rate

    def decode(self, payloads: bytes, lengths: NDArray[np.uint32]) -> Decoded:
        """Decode payloads that lie one after the other."""
        bad = self._decoder.bad
        ends = np.cumsum(lengths, dtype=np.int64).tolist()
        pieces = [
            self._decoder.decode(payloads[end - length : end])
            for end, length in zip(ends, lengths.tolist(), strict=True)
        ]
        counts = np.array([len(piece) for piece in pieces], np.uint32)
        return Decoded(self.rate, np.concatenate([np.zeros(0, np.int16), *pieces]), counts, self._decoder.bad - bad)

    def close(self) -> None:
        """Let the decoder go."""
        self._decoder.reset()


@dataclass(slots=True)
class Decoding:
    """The decoders of one recording: `open` begins a stream of a codec, or raises Undecodable.

    `conceal` fills lost packets of up to a second by what was heard before. `reasons` collects why some codecs and some
    packets are silent.
    """

    open: Callable[[Codec], StreamDecoder] = InProcess
    conceal: bool = False
    reasons: list[str] = field(default_factory=list)
    _rates: dict[Codec, int | None] = field(default_factory=dict)

    def rate_of(self, codec: Codec) -> int | None:
        """Tell the rate of a codec's samples [Hz]; None, with a reason, when it cannot be decoded."""
        if codec not in self._rates:
            try:
                decoder = self.open(codec)
            except Undecodable as error:
                self._rates[codec] = None
                self.reasons.append(str(error))
            else:
                self._rates[codec] = decoder.rate
                decoder.close()
        return self._rates[codec]
