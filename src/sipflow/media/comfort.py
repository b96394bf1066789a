"""Comfort noise (RFC 3389): the noise that stands for silence, the same octets each time it is rendered."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

OVERLOAD: Final = 32767.0  # 0 dBov is a square wave of the largest sample (RFC 3389, section 3.1)
# Long enough that what is cut off of a noise filter's answer is not heard, even of a narrow one.
_RESPONSE: Final = 512
_MOST_COEFFICIENTS: Final = 32
_STEADIEST: Final = 0.995
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


class ComfortNoise:
    """The noise of one payload, by place: any part of it can be rendered on its own, and parts fit together."""

    def __init__(self, payload: bytes, timestamp: int) -> None:
        """Read a payload: the level, then reflection coefficients, if any. `timestamp` (RTP) makes it this noise.

        An empty payload is silence; coefficients beyond the 32nd are taken as zero, as the RFC allows.
        """
        self.level_dbov = -(payload[0] & 0x7F) if payload else None
        self._seed = timestamp
        reflections = [_reflection(octet) for octet in payload[1 : 1 + _MOST_COEFFICIENTS]]
        self._response = _response(reflections)

    def samples(self, start: int, stop: int) -> NDArray[np.int16]:
        """Render samples [start, stop), counted from the packet's own place, mono."""
        if self.level_dbov is None:
            return np.zeros(stop - start, np.int16)
        before = len(self._response) - 1
        excitation = white(start - before, stop, self._seed)
        noise = np.convolve(excitation, self._response, "valid") if stop > start else excitation[:0]
        noise *= OVERLOAD * 10 ** (self.level_dbov / 20)
        return np.rint(noise).clip(-32768, 32767).astype(np.int16)


def white(start: int, stop: int, seed: int = 0) -> NDArray[np.float64]:
    """Give white noise of power 1 at places [start, stop), uniform within +-sqrt(3); each place has its own value.

    The generator is SplitMix64 by counter, so that neither platform nor library changes what a call sounds like.
    """
    place = np.arange(start, stop, dtype=np.int64).astype(np.uint64) + (np.uint64(seed & 0xFFFFFFFF) << np.uint64(32))
    mixed = (place + np.uint64(1)) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    unit = (mixed >> np.uint64(11)).astype(np.float64) / (1 << 53)
    noise: NDArray[np.float64] = (2 * unit - 1) * np.sqrt(3.0)
    return noise


def _reflection(octet: int) -> float:
    """Read a quantised coefficient (RFC 3389, section 3.2); kept inside the circle, where the filter is stable."""
    return float(np.clip(258 * (octet - 127) / 32768, -_STEADIEST, _STEADIEST))


def _response(reflections: list[float]) -> NDArray[np.float64]:
    """Give the impulse response of the all-pole lattice of these coefficients, of energy 1: it keeps the level."""
    backward = [0.0] * (len(reflections) + 1)
    answer = []
    for at in range(_RESPONSE if reflections else 1):
        forward = 1.0 if at == 0 else 0.0
        for stage in range(len(reflections), 0, -1):
            forward -= reflections[stage - 1] * backward[stage - 1]
            backward[stage] = backward[stage - 1] + reflections[stage - 1] * forward
        backward[0] = forward
        answer.append(forward)
    energy = sum(value * value for value in answer)
    return np.array(answer) / math.sqrt(energy)
