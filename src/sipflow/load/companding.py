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


def _mulaw_table() -> NDArray[np.int16]:
    code = ~np.arange(256) & 0xFF
    level = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
    return np.where(code & 0x80, -level, level).astype(np.int16)


def _alaw_table() -> NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    segment = code >> 4 & 7
    level = ((code & 15) << 4) + 8 + np.where(segment > 0, 256, 0) << np.maximum(segment - 1, 0)
    return np.where(code & 0x80, level, -level).astype(np.int16)


_TABLES = {0: _mulaw_table(), 8: _alaw_table()}


def decode(payload_type: int, octets: bytes) -> NDArray[np.int16]:
    """Decode G.711 octets of payload type 0 (mu-law) or 8 (A-law) to 16-bit samples."""
    return _TABLES[payload_type][np.frombuffer(octets, np.uint8)]
