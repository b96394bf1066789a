"""What is counted part by part, once each; large parts beside the questions, on a thread of its own."""

import threading
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from sipflow.errors import StorageError
from sipflow.query.answer import Fault
from sipflow.query.asking import Asking
from sipflow.query.parts import OpenPart
from sipflow.query.remembered import Remembered
from sipflow.storage.catalog import Part
from sipflow.thread import NamedThread

# A part that still grows is counted anew after so long, not for every look.
FRESH_SECONDS: Final = 10.0
# As much index as is counted while the question waits: some thousand calls.
AT_ONCE_OCTETS: Final = 4 << 20
_PARTS_REMEMBERED: Final = 2000
_PAUSE_SECONDS: Final = 0.5

T = TypeVar("T")
Key: TypeAlias = tuple[object, ...]


class Counted(NamedTuple, Generic[T]):
    """What a part counts, what could not be read for it, and the files it was made of, None for a part that grows."""

    total: T
    faults: tuple[Fault, ...] = ()
    identity: Hashable = None


class Room:
    """How much index may still be counted while a question waits."""

    def __init__(self, octets: int = AT_ONCE_OCTETS) -> None:
        self._octets = octets

    def take(self, octets: int) -> bool:
        """Take some of it; tells whether there was so much."""
        if octets > self._octets:
            return False
        self._octets -= octets
        return True


class Enumerator(Generic[T]):
    """Counts parts, each for what is asked of it. Safe to ask from several threads."""

    def __init__(self, asking: Callable[[], AbstractContextManager[Asking]], nothing: Callable[[], T]) -> None:
        """Count nothing yet; `asking` opens a question for the thread that counts, `nothing` is of an unread part."""
        self._asking = asking
        self._nothing = nothing
        self._counted: Remembered[Key, Counted[T]] = Remembered(_PARTS_REMEMBERED)
        self._wake = threading.Condition()
        self._due: dict[Key, Callable[[Asking], object]] = {}  # in the order in which they were asked for
        self._thread: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """Count no more; waits for the part that is being counted."""
        with self._wake:
            self._closed = True
            self._due.clear()
            self._wake.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def settle(self, seconds: float) -> bool:
        """Wait until all that is due has been counted; tells whether it is."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._due, seconds)

    def count(
        self, asking: Asking, part: Part, what: Hashable, ask: Callable[[OpenPart], T], room: Room
    ) -> Counted[T] | None:
        """Give what `ask` counts in a part, remembered as `what`; None when it has not been counted yet.

        What finds no `room` is counted beside; of a part that grows the latest count is given meanwhile.
        """
        key = part.path, part.revision, what
        # What has a fault is tried again, as what grows is counted again.
        known = self._counted.find(key)
        fresh = self._counted.find(key, FRESH_SECONDS)
        if known is not None and (fresh is not None or (part.sealed and not known.faults)):
            return known
        if room.take(asking.index_octets(part)):
            return self._take(asking, part, key, ask)
        with self._wake:
            self._due.setdefault(key, lambda own: self._take(own, part, key, ask))
            self._start()
            self._wake.notify_all()
        return known

    def _take(self, asking: Asking, part: Part, key: Key, ask: Callable[[OpenPart], T]) -> Counted[T]:
        before = len(asking.faults)
        total, identity = self._nothing(), None
        try:
            total, identity = asking.ask(part, lambda opened: (ask(opened), opened.identity if part.sealed else None))
        except StorageError as error:
            asking.faults.append(asking.fault(part, str(error)))
        # What retention removed is simply no longer counted.
        faults = tuple(fault for fault in asking.faults[before:] if fault.expired_us is None)
        del asking.faults[before:]
        found = Counted(total, faults, identity)
        self._counted.keep(key, found)
        return found

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = NamedThread(target=self._run, name="census", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        # Not at a lower priority: it would hold the interpreter's lock while it waits for a busy processor.
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._due or self._closed)
                if self._closed:
                    return
                key, take = next(iter(self._due.items()))
            start = time.monotonic()
            with self._asking() as asking:
                take(asking)
            with self._wake:
                self._due.pop(key, None)
                self._wake.notify_all()
                # Half of the time is left to whoever asks.
                self._wake.wait_for(lambda: self._closed, min(time.monotonic() - start, _PAUSE_SECONDS))
