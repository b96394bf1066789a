"""Payloads that hold a sample in each octet or two: L16, L8, and G.711 at other clocks than telephony's."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

_CODES: Final = np.arange(256, dtype=np.int32)
Widen = Callable[[bytes], "NDArray[np.int16] | None"]


def linear(widen: Widen, channels: int) -> Widen:
    """Give what decodes payloads of `channels` interleaved samples to their mean; None for a broken-off sample."""
    if channels == 1:
        return widen

    def decode(payload: bytes) -> NDArray[np.int16] | None:
        samples = widen(payload)
        if samples is None or len(samples) % channels:
            return None
        mixed: NDArray[np.int16] = samples.reshape(-1, channels).mean(axis=1).astype(np.int16)
        return mixed

    return decode


def l16(payload: bytes) -> NDArray[np.int16] | None:
    """Read 16-bit samples in network order (RFC 3551, section 4.5.11)."""
    return None if len(payload) % 2 else np.frombuffer(payload, ">i2").astype(np.int16)


def l8(payload: bytes) -> NDArray[np.int16] | None:
    """Read 8-bit samples around 128 (RFC 3551, section 4.5.10)."""
    return (np.frombuffer(payload, np.uint8).astype(np.int16) - 128) * np.int16(256)


def mu_law(payload: bytes) -> NDArray[np.int16] | None:
    """Expand mu-law (ITU-T G.711)."""
    return _MU_LAW[np.frombuffer(payload, np.uint8)]


def a_law(payload: bytes) -> NDArray[np.int16] | None:
    """Expand A-law (ITU-T G.711)."""
    return _A_LAW[np.frombuffer(payload, np.uint8)]


def _mu_table() -> NDArray[np.int16]:
    code = ~_CODES & 0xFF
    size = ((((code & 15) << 3) + 132) << (code >> 4 & 7)) - 132
    return np.where(code & 0x80, -size, size).astype(np.int16)


def _a_table() -> NDArray[np.int16]:
    code = _CODES ^ 0x55
    chord, step = code >> 4 & 7, (code & 15) << 4
    size = np.where(chord == 0, step + 8, (step + 264) << np.maximum(chord - 1, 0))
    return np.where(code & 0x80, size, -size).astype(np.int16)


_MU_LAW: Final = _mu_table()
_A_LAW: Final = _a_table()
