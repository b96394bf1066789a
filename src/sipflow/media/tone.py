"""The sound of a key: two sines at the power that its event names (ITU-T Q.23, RFC 4733)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow.media.digit import Digit

ROWS_HZ: Final = (697, 770, 852, 941)
COLUMNS_HZ: Final = (1209, 1336, 1477, 1633)
_KEYPAD: Final = ("123A", "456B", "789C", "*0#D")
FREQUENCIES: Final = {
    key: (row_hz, column_hz)
    for row_hz, keys in zip(ROWS_HZ, _KEYPAD, strict=True)
    for column_hz, key in zip(COLUMNS_HZ, keys, strict=True)
}
# A sine of 0 dBm0 lies 3.17 dB below the loudest that mu-law can carry (ITU-T G.711, table 5), whose peak is 32124.
PEAK_0_DBM0: Final = 32124 * 10 ** (-3.17 / 20)
DEFAULT_DBM0: Final = -10  # of a digit that names no volume
DEFAULT_MS: Final = 100.0  # of a digit that names no length
LEAST_MS: Final = 40.0  # shorter ones were cut by loss, and are not heard
_RAMP_S: Final = 0.005


def length(digit: Digit, rate: int) -> int:
    """Tell how many samples at `rate` [Hz] the digit sounds; 0 for what is no key."""
    if digit.symbol not in FREQUENCIES:
        return 0
    milliseconds = DEFAULT_MS if digit.duration_ms is None else max(digit.duration_ms, LEAST_MS)
    return round(milliseconds * rate / 1000)


def samples(digit: Digit, rate: int, start: int = 0, stop: int | None = None) -> NDArray[np.int16]:
    """Give samples [start, stop) of the digit at `rate` [Hz], to be added to the audio; by default all of it.

    Both sines together have the power of the event's volume, and swell and fade over 5 ms. Memory is that of the
    window asked for, whatever the digit's length.
    """
    whole = length(digit, rate)
    at = np.arange(max(start, 0), whole if stop is None else min(stop, whole))
    if not len(at):
        return np.zeros(0, np.int16)
    level = DEFAULT_DBM0 if digit.volume_dbm0 is None else digit.volume_dbm0
    peak = PEAK_0_DBM0 * 10 ** (min(level, 0) / 20) / np.sqrt(2)
    # Half a sample from the edge on either side, so that both ends are alike.
    edge = np.minimum(at + 0.5, whole - at - 0.5) / (_RAMP_S * rate)
    swell = np.sin(np.minimum(edge, 1.0) * np.pi / 2) ** 2
    row, column = (np.sin(2 * np.pi * hertz / rate * at) for hertz in FREQUENCIES[digit.symbol])
    sound: NDArray[np.int16] = np.round(peak * swell * (row + column)).astype(np.int16)
    return sound
