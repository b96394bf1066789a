"""What is played in place of a lost packet: the last pitch period again, fading (after ITU-T G.711, Appendix I)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

FULL_MS: Final = 10
SILENT_MS: Final = 60
# Pitch of 66 to 200 Hz, looked for over the last 20 ms; shorter lags would buzz.
_SHORTEST_MS: Final = 5
_LONGEST_MS: Final = 15
_WINDOW_MS: Final = 20
HISTORY_MS: Final = _WINDOW_MS + _LONGEST_MS


def conceal(history: NDArray[np.int16], samples: int, rate: int, after: int = 0) -> NDArray[np.int16]:
    """Continue `history` (the last HISTORY_MS before the loss, or less) for `samples` at `rate` [Hz].

    `after` counts the samples of this loss that were concealed already: the first 10 ms sound in full, from there the
    level falls in a line to silence at 60 ms, which all that follows is. Without history all is silence.
    """
    out = np.zeros(samples, np.int16)
    at = np.arange(after, min(after + samples, rate * SILENT_MS // 1000))
    if not len(history) or not len(at):
        return out
    history = history[-(rate * HISTORY_MS // 1000) :]
    period = history[-_pitch(history.astype(np.float64), rate) :]
    full, silent = rate * FULL_MS / 1000, rate * SILENT_MS / 1000
    gain = np.minimum(1.0, (silent - at) / (silent - full))
    out[: len(at)] = np.rint(period[at % len(period)] * gain)
    return out


def _pitch(history: NDArray[np.float64], rate: int) -> int:
    """Find the lag [samples] at which the end of the history is most like itself (normalised correlation)."""
    shortest, longest = rate * _SHORTEST_MS // 1000, rate * _LONGEST_MS // 1000
    window = min(rate * _WINDOW_MS // 1000, len(history) - longest)
    if window < shortest:
        return len(history)
    end = history[-window:]
    lags = np.arange(shortest, longest + 1)
    earlier = np.lib.stride_tricks.sliding_window_view(history, window)[len(history) - window - lags]
    energy = np.einsum("ij,ij->i", earlier, earlier)
    likeness = earlier @ end / np.sqrt(np.maximum(energy, 1.0))
    return int(lags[np.argmax(likeness)])


class Memory:
    """The last HISTORY_MS that were heard of one stream, and how far its present loss is concealed."""

    def __init__(self, rate: int) -> None:
        """Remember samples at `rate` [Hz]."""
        self._rate = rate
        self._kept = rate * HISTORY_MS // 1000
        self._pieces: list[NDArray[np.int16]] = []
        self._concealed = 0

    def remember(self, samples: NDArray[np.int16]) -> None:
        """Take what was just heard."""
        if not len(samples):
            return
        self._concealed = 0
        self._pieces.append(samples)
        while sum(map(len, self._pieces[1:])) >= self._kept:
            del self._pieces[0]

    def conceal(self, samples: int) -> NDArray[np.int16]:
        """Give the next `samples` of the loss, see conceal."""
        history = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int16)
        heard = conceal(history, samples, self._rate, self._concealed)
        self._concealed += samples
        return heard
