"""G.729 payloads: frames of 10 octets, and after them perhaps a silence descriptor of 2 (RFC 3551, section 4.5.6)."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow.media.comfort import white

FRAME_OCTETS: Final = 10
SID_OCTETS: Final = 2
FRAME_SAMPLES: Final = 80


class G729:
    """Decodes the speech of one stream by libav, and the silence between by the level its descriptor gives.

    libav has no annex B. The noise is white: the descriptor's spectrum is left out, its level is that of the
    excitation, which the spectrum would raise.
    """

    def __init__(self, speech: Callable[[bytes], "NDArray[np.int16] | None"]) -> None:
        """Take a decoder of whole frames."""
        self._speech = speech
        self._silent = 0

    def __call__(self, payload: bytes) -> NDArray[np.int16] | None:
        """Decode one payload at 8 kHz; None when it is malformed."""
        rest = len(payload) % FRAME_OCTETS
        if rest not in (0, SID_OCTETS):
            return None
        speech = self._speech(payload[: len(payload) - rest])
        if speech is None or not rest:
            return speech
        noise = white(self._silent, self._silent + FRAME_SAMPLES) * level(payload[-SID_OCTETS:])
        self._silent += FRAME_SAMPLES
        return np.concatenate([speech, np.rint(noise).clip(-32768, 32767).astype(np.int16)])


def level(descriptor: bytes) -> float:
    """Give the RMS of a descriptor's excitation in units of 16-bit samples.

    Its gain has 5 bits before the last: -12 dB, then every 4 dB from -4 to 16, then every 2 dB to 66 (G.729, B.4.2.1).
    """
    gain = descriptor[1] >> 1 & 31
    if gain == 0:
        return float(10 ** (-12 / 20))
    return float(10 ** ((4 * gain - 8 if gain <= 6 else 2 * gain + 4) / 20))
