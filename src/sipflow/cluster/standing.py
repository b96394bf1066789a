"""Whether a node is asked and waited for: one that is silent is left out until a probe finds it again."""

import threading
import time
from typing import Final

from sipflow.clock import format_time, now_us

# So many questions in a row without an answer in time, and the node is left out for a while, though probes reach it.
MISSED_MAX: Final = 3
REST_S: Final = 5.0


class Standing:
    """How a node has answered lately. Safe to use from several threads."""

    def __init__(self) -> None:
        """Expect answers until it turns out otherwise."""
        self._lock = threading.Lock()
        self._why = ""
        self._since_us = 0
        self._missed = 0
        self._slow = 0
        self._rest_until_s = 0.0

    @property
    def is_tardy(self) -> bool:
        """Tell whether it answers in time, but of late always so slowly that nobody should wait who need not."""
        with self._lock:
            return self._slow >= MISSED_MAX

    @property
    def fault(self) -> str:
        """Say why the node is not asked; empty when it is."""
        with self._lock:
            if self._why:
                # The same words each time: an answer that is put together names each fault once.
                return f"has not answered since {format_time(self._since_us)[11:19]} UTC: {self._why}"
            if time.monotonic() < self._rest_until_s:
                return f"answers too slowly, and is left out for {REST_S:.0f} s at a time"
            return ""

    def heard(self, *, slow: bool | None = None) -> None:
        """Note an answer to a question; whether it was slow, None for questions that may take long."""
        with self._lock:
            self._missed, self._why = 0, ""
            if slow is not None:
                self._slow = self._slow + 1 if slow else 0

    def missed(self) -> None:
        """Note a question without an answer in time: it may have been a long one."""
        with self._lock:
            self._missed += 1
            if self._missed >= MISSED_MAX:
                # After its rest it has one try.
                self._missed, self._rest_until_s = MISSED_MAX - 1, time.monotonic() + REST_S

    def gone(self, why: str) -> None:
        """Note that nobody answers there."""
        with self._lock:
            if not self._why:
                self._since_us = now_us()
            self._why = why

    def found(self) -> None:
        """Note an answer to a probe."""
        with self._lock:
            self._why = ""
