"""A server watched while it works: memory at its highest, and what lies in the pool, moment by moment."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from bench.running import Memory, Running, memory_of

_EVERY_SECONDS = 0.25


class Watch:
    """Samples a server from a thread, from `with` to its end."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self._pids = (server.recorder, server.reader)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.recorder = self.reader = Memory(0, 0)
        self.pending: list[tuple[float, int]] = []  # seconds, packets in the pool

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            recorder, reader = (memory_of(pid) for pid in self._pids)
            self.recorder = Memory(*map(max, self.recorder, recorder))
            self.reader = Memory(*map(max, self.reader, reader))
            self.pending.append((time.monotonic(), self._server.pending()))

    def growth(self, since: float, until: float) -> float:
        """Tell how fast the backlog grew between two moments [packets per second]; 0 for too few samples."""
        return slope([one for one in self.pending if since <= one[0] <= until])


def slope(samples: Sequence[tuple[float, int]]) -> float:
    """Fit a line through samples of (seconds, value); gives its rise per second."""
    if len(samples) < 3:
        return 0.0
    at, value = np.array(samples, float).T
    return float(np.polyfit(at - at[0], value, 1)[0])
