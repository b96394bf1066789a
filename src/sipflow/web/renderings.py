"""The few compressed recordings that were asked for last, so that a player's many ranges are cut from one of them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from sipflow.media.rendering import Rendering

MAX_COUNT: Final = 16
MAX_OCTETS: Final = 512 << 20
LIFETIME_S: Final = 600.0


class _Kept(NamedTuple):
    rendering: Rendering
    until_s: float


class Renderings:
    """Keeps renderings by key for a while; the longest unused go first. Serves any number of threads.

    One that goes while it is read lives on until it has been read.
    """

    def __init__(
        self, max_count: int = MAX_COUNT, max_octets: int = MAX_OCTETS, lifetime_s: float = LIFETIME_S
    ) -> None:
        self._max_count = max_count
        self._max_octets = max_octets
        self._lifetime_s = lifetime_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._turns: dict[Hashable, threading.Lock] = {}

    def find(self, key: Hashable) -> Rendering | None:
        """Give what is kept under a key."""
        with self._lock:
            self._drop_old()
            kept = self._kept.get(key)
            if kept is None:
                return None
            self._kept.move_to_end(key)
            return kept.rendering

    def make(self, key: Hashable, render: Callable[[], Rendering]) -> Rendering:
        """Give what is kept under a key, or render it; who asks for the same meanwhile waits for the one rendering."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        try:
            with turn:
                found = self.find(key)
                if found is None:
                    found = render()
                    self._keep(key, found)
                return found
        finally:
            with self._lock:
                self._turns.pop(key, None)

    @property
    def octets(self) -> int:
        """Tell how much disk is taken by what is kept."""
        with self._lock:
            self._drop_old()
            return self._octets()

    def _keep(self, key: Hashable, rendering: Rendering) -> None:
        with self._lock:
            self._kept[key] = _Kept(rendering, time.monotonic() + self._lifetime_s)
            while len(self._kept) > self._max_count or self._octets() > self._max_octets:
                self._kept.popitem(last=False)
        # Disk is given back also when nobody asks any more.
        timer = threading.Timer(self._lifetime_s, self._expire)
        timer.daemon = True
        timer.start()

    def _expire(self) -> None:
        with self._lock:
            self._drop_old()

    def _drop_old(self) -> None:
        now_s = time.monotonic()
        for key in [key for key, kept in self._kept.items() if kept.until_s <= now_s]:
            del self._kept[key]

    def _octets(self) -> int:
        return sum(kept.rendering.length_octets for kept in self._kept.values())
