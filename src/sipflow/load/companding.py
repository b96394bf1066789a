"""G.711 encoding of synthesised sound (ITU-T G.711)."""

import numpy as np
from numpy.typing import NDArray


def encode_mulaw(pcm: NDArray[np.int16]) -> bytes:
    """Encode 16-bit samples as mu-law octets."""
    level = np.minimum(np.abs(pcm.astype(np.int32)) + 132, 32767)
    segment = np.floor(np.log2(level)).astype(np.int32) - 7
    step = (level >> (segment + 3)) & 15
    return bytes(~(np.where(pcm < 0, 0x80, 0) | segment << 4 | step).astype(np.uint8) & 0xFF)


def encode_alaw(pcm: NDArray[np.int16]) -> bytes:
    """Encode 16-bit samples as A-law octets."""
    wide = pcm.astype(np.int32) >> 3
    level = np.where(wide < 0, -wide - 1, wide)
    segment = np.where(level < 32, 0, np.floor(np.log2(np.maximum(level, 1))).astype(np.int32) - 4)
    step = (level >> np.maximum(segment, 1)) & 15
    return bytes(((segment << 4 | step) ^ np.where(wide < 0, 0x55, 0xD5)).astype(np.uint8))
