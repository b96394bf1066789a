"""iLBC payloads: frames of 20 or 30 ms, all of one mode (RFC 3952)."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow.media.libav import Libav
from sipflow.media.parameters import parameter

FRAME_OCTETS: Final = {20: 38, 30: 50}


class Ilbc:
    """Decodes one stream in the mode that was announced, or else in the one that its payloads fit."""

    def __init__(self, openers: Mapping[int, Callable[[], Libav]], parameters: str) -> None:
        """Take what opens a decoder for each mode [ms], and a=fmtp, whose default is 30 ms."""
        self._openers = openers
        self._running: dict[int, Libav] = {}
        announced = 20 if parameter(parameters, "mode") == "20" else 30
        self._modes = (announced, 50 - announced)

    def __call__(self, payload: bytes) -> NDArray[np.int16] | None:
        """Decode one payload at 8 kHz; None when it is malformed."""
        for mode in self._modes:
            size = FRAME_OCTETS[mode]
            if len(payload) % size == 0:
                if mode not in self._running:
                    self._running[mode] = self._openers[mode]()
                return self._frames(self._running[mode], payload, size)
        return None

    @staticmethod
    def _frames(decode: Libav, payload: bytes, size: int) -> NDArray[np.int16] | None:
        # libav decodes the first frame of a packet and says that it took them all.
        frames = [decode(payload[at : at + size]) for at in range(0, len(payload), size)]
        heard = [frame for frame in frames if frame is not None]
        return np.concatenate(heard) if len(heard) == len(frames) else None
