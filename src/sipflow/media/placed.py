"""One packet on a call's time line."""

from typing import Final

import numpy as np

# In the C layout of struct sf_placed (mix.h): `start` and `length` in samples, `chunk` an index of whatever `offset`
# counts in: octets of G.711, samples of what was decoded before; `law` a Law, `cause` a Cause (carried.py).
PLACED: Final = np.dtype(
    [
        ("start", "<i8"),
        ("chunk", "<u4"),
        ("offset", "<u4"),
        ("length", "<u4"),
        ("law", "u1"),
        ("cause", "u1"),
        ("unused", "<u2"),
    ]
)
