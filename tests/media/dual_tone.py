"""Keys as audio, made without the product's own tones."""

import numpy as np
from numpy.typing import NDArray

from chunks import make_chunks, make_key, talk
from sipflow._fast import g711_encode
from sipflow.media.stream import Stream, streams

PAD = "123A456B789C*0#D"
ROWS = (697, 770, 852, 941)
COLUMNS = (1209, 1336, 1477, 1633)
PEAK = 22300  # of a sine of 0 dBm0


def dial(
    keys: str,
    *,
    level: float = -10.0,
    on: float = 0.04,
    off: float = 0.04,
    lead: float = 0.1,
    shift: float = 0.0,
    twist: float = 0.0,
    rng: np.random.Generator | None = None,
) -> NDArray[np.float64]:
    """Sound keys at 8 kHz: `level` is both tones' power [dBm0], `twist` column over row [dB], times in seconds."""
    rng = np.random.default_rng(1) if rng is None else rng
    row_power = 10 ** (level / 10) / (1 + 10 ** (twist / 10))
    column_power = 10 ** (level / 10) - row_power
    time = np.arange(round(on * 8000)) / 8000
    pieces = [np.zeros(round(lead * 8000))]
    for key in keys:
        row, column = divmod(PAD.index(key), 4)
        phases = rng.uniform(0, 2 * np.pi, 2)
        low = np.sqrt(row_power) * np.sin(2 * np.pi * ROWS[row] * (1 + shift) * time + phases[0])
        high = np.sqrt(column_power) * np.sin(2 * np.pi * COLUMNS[column] * (1 + shift) * time + phases[1])
        pieces += [PEAK * (low + high), np.zeros(round(off * 8000))]
    return np.concatenate(pieces)


def spoken(sound: NDArray[np.float64], law: int = 0, lost: frozenset[int] = frozenset(), leg: int = 0) -> Stream:
    """Send sound in packets of 20 ms of G.711, without the `lost` ones."""
    octets = g711_encode(np.clip(np.round(sound), -32768, 32767).astype(np.int16).tobytes(), law)
    packets = [packet for i, packet in enumerate(talk(octets, payload_type=8 * law)) if i not in lost]
    (stream,) = streams(make_chunks(make_key(leg, ssrc=77 + leg), packets))
    return stream
