"""The C core: what each function takes and gives."""

import numpy as np
from numpy.typing import NDArray

# --- media ---

def mix_g711(
    rows: NDArray[np.uint8],
    data: bytes,
    laws: NDArray[np.int16],
    start: int,
    out: NDArray[np.int16],
    channel: int,
) -> int:
    """Add G.711 packets to one channel of `out`, which shows samples [start, start + len(out)) of the time line.

    `rows` are PLACED rows of one chunk as octets, `data` that chunk's, `laws` the 16-bit value of each octet for
    mu-law and A-law, `out` is (samples, channels). Sums saturate. Gives the number of rows that do not lie in `data`.
    """
