"""How fast counters grow, measured between the looks that people take at them."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

SPAN_S: Final = 5.0
_BETWEEN_S = 0.5  # two looks closer than this are one
_FIRST_WAIT_S = 0.3
_STALE_S = 30.0


class Look(NamedTuple):
    """Counters by name at one moment of the monotonic clock [s]."""

    at_s: float
    counters: Mapping[str, int]


class RateMeter:
    """Remembers a few looks at ever growing counters. Safe to use from several threads."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Measure what `read` gives."""
        self._read = read
        self._looks: deque[Look] = deque(maxlen=64)
        self._lock = threading.Lock()

    def rates(self) -> dict[str, float]:
        """Give the growth of each counter a second over the last seconds; waits a moment when nobody looked before."""
        before = self._look()
        now = self._latest()
        if now.at_s - before.at_s < _FIRST_WAIT_S / 2:
            time.sleep(_FIRST_WAIT_S)
            now = Look(time.monotonic(), self._read())
        span_s = now.at_s - before.at_s
        # A counter that fell belongs to another recorder: it began anew.
        return {
            name: max(0, value - before.counters.get(name, 0)) / span_s
            for name, value in now.counters.items()
            if name in before.counters
        }

    def _latest(self) -> Look:
        with self._lock:
            return self._looks[-1]

    def _look(self) -> Look:
        """Look once more, and give the look to compare with: the oldest inside the span, else the newest before it."""
        now = Look(time.monotonic(), self._read())
        with self._lock:
            if not self._looks or now.at_s - self._looks[-1].at_s >= _BETWEEN_S:
                self._looks.append(now)
            while now.at_s - self._looks[0].at_s > _STALE_S:
                self._looks.popleft()
            inside = [look for look in self._looks if now.at_s - look.at_s <= SPAN_S]
            return inside[0] if len(inside) > 1 or len(self._looks) == len(inside) else self._looks[-len(inside) - 1]
