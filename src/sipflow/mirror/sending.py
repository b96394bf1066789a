"""The outbox with the threads that serve it: one that sends, and companions that look names up and report."""

import os
import random
import threading
import weakref
from collections.abc import Callable
from threading import Event

from sipflow._fast import Intake, Outbox
from sipflow.thread import NamedThread

Companion = Callable[[Event], None]

_CLIENT_IDS = random.SystemRandom()


def new_client_id() -> int:
    """Draw the number by which nodes tell the packets of this process from those of others; never 0."""
    return _CLIENT_IDS.randrange(1, 1 << 32)


class Sending:
    """An outbox that starts its threads with the first packet and begins anew in the child of a fork."""

    def __init__(
        self, *, nodes: int = 1, sockets: int = 1, budget: int, packets: int, intake: Intake | None = None
    ) -> None:
        """Make the outbox: `packets` may wait in each lane, datagrams have `budget` octets; nothing runs yet."""
        self.outbox = Outbox(
            new_client_id(), nodes=nodes, sockets=sockets, budget=budget, packets=packets, offload=True,
            start=self._start, intake=intake,
        )  # fmt: skip
        self.local = intake is not None
        self.in_child = False
        self._companions: list[tuple[str, Companion]] = []
        self._lock = threading.Lock()
        self._thread: NamedThread | None = None
        self._stopping = Event()
        _EVERY.add(self)

    def accompany(self, name: str, companion: Companion) -> None:
        """Let something run beside the sending, in a thread of its own; it ends when the event is set."""
        self._companions.append((name, companion))

    def close(self, timeout_secs: float) -> None:
        """Send what waits, for so long at most, and end all threads."""
        self._stopping.set()
        self.outbox.stop(int(timeout_secs * 1000))
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        _EVERY.discard(self)

    def forked(self) -> None:
        """Begin anew: no thread has survived, and what waits is the parent's to send."""
        self.in_child = True
        self.outbox.forked(new_client_id(), "forked" if self.local else None)
        # A thread of the parent may have held the lock.
        self._lock, self._thread, self._stopping = threading.Lock(), None, Event()

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._stopping.is_set():
                return
            # Daemons: a program that ends must not wait for us; captures are closed then.
            for name, companion in self._companions:
                NamedThread(target=companion, args=(self._stopping,), name=name, daemon=True).start()
            self._thread = NamedThread(target=self.outbox.run, name="sipflow-send", daemon=True)
            self._thread.start()


_EVERY: "weakref.WeakSet[Sending]" = weakref.WeakSet()


def _begin_all_anew() -> None:
    for sending in list(_EVERY):
        sending.forked()


os.register_at_fork(after_in_child=_begin_all_anew)
