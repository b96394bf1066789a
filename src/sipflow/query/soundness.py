"""Whole-file checks of what is asked: small files at once, large ones on a thread, each once as long as it stands."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

from sipflow.thread import NamedThread

# A file this small is read in about a millisecond; a larger one would keep a question waiting.
AT_ONCE_OCTETS = 4 << 20
_REMEMBERED = 20_000
_PAUSE_SECONDS = 0.02


class Soundness:
    """Remembers what checks found wrong. Safe to ask from several threads."""

    def __init__(self, at_once_octets: int = AT_ONCE_OCTETS) -> None:
        """Check files up to `at_once_octets` while the question waits, larger ones on a thread of their own."""
        self._at_once = at_once_octets
        self._found: OrderedDict[Hashable, str] = OrderedDict()
        self._due: deque[tuple[Hashable, Callable[[], str]]] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def wrong(
        self, key: Hashable, octets: int, check: Callable[[], str], beside: Callable[[], str] | None = None
    ) -> str:
        """Tell what `check` finds wrong with a file, in a sentence; empty when nothing is, or not known yet.

        `key` names the file as it stands now: another key is another state of it, which is checked anew. `beside` is
        the check for when no question waits for it, if that is another.
        """
        with self._wake:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
            if octets > self._at_once:
                self._put(key, "")
                self._due.append((key, beside or check))
                self._start()
                self._wake.notify()
                return ""
        found = check()
        with self._wake:
            self._put(key, found)
        return found

    def known(self, key: Hashable) -> str:
        """Tell what was found wrong with a file, in a sentence; empty when nothing was, or nobody looked."""
        with self._wake:
            return self._found.get(key, "")

    def settle(self, seconds: float) -> bool:
        """Wait until all checks are done; tells whether they are."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._due, seconds)

    def close(self) -> None:
        """Check no more."""
        with self._wake:
            self._closed = True
            self._due.clear()
            self._wake.notify_all()

    def _put(self, key: Hashable, found: str) -> None:
        self._found[key] = found
        while len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = NamedThread(target=self._run, name="soundness", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._due or self._closed)
                if self._closed:
                    return
                key, check = self._due[0]
            found = check()
            with self._wake:
                self._put(key, found)
                if self._due:
                    self._due.popleft()
                self._wake.notify_all()
            time.sleep(_PAUSE_SECONDS)
