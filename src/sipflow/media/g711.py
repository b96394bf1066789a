"""G.711: the 16-bit value of every octet (ITU-T G.711, tables 1a to 2b, left-justified to 16 bits)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray


def _mu_law() -> NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.uint8)
    chord, step = (code >> 4) & 7, (code & 15).astype(np.int32)
    magnitude = (((step << 3) + 132) << chord) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law() -> NDArray[np.int16]:
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    chord, step = ((code >> 4) & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = np.where(chord == 0, (step << 4) + 8, ((step << 4) + 264) << np.maximum(chord - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


# Row 0 mu-law, row 1 A-law, as in PLACED.law.
LAWS: Final = np.stack([_mu_law(), _a_law()])
