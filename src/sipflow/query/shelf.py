"""Bucket parts kept open between questions, and lent to one question at a time."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from sipflow.errors import StorageError
from sipflow.query.parts import OpenPart
from sipflow.storage.catalog import Part, Revision

T = TypeVar("T")

_IDLE_MAX = 64


class PartShelf:
    """Sealed parts that no question uses at the moment. Safe to use from several threads."""

    def __init__(self, root: Path, idle_max: int = _IDLE_MAX) -> None:
        """Keep at most `idle_max` parts of `root` open between questions."""
        self._root = root
        self._idle_max = idle_max
        self._lock = threading.Lock()
        # By path, the longest unused first; several of one path when several questions read it at once. One opened
        # before its media was erased must not be lent out afterwards.
        self._idle: OrderedDict[str, list[tuple[Revision, OpenPart]]] = OrderedDict()
        self._count = 0

    def reading(self) -> "Reading":
        """Give a question the parts it asks for."""
        return Reading(self)

    def take(self, part: Part) -> OpenPart:
        """Give a part to one thread, which owns it until it puts it back or closes it. Raises StorageError."""
        opened, stale = None, []
        if part.sealed:
            with self._lock:
                idle = self._idle.pop(part.path, [])
                self._count -= len(idle)
                same = [one for revision, one in idle if revision == part.revision]
                stale = [one for revision, one in idle if revision != part.revision]
                if same:
                    opened = same.pop()
                if same:
                    self._idle[part.path] = [(part.revision, one) for one in same]
                    self._count += len(same)
        for one in stale:
            one.close()
        return opened or OpenPart(self._root, part.path, sealed=part.sealed, erased_us=part.erased_us)

    def put_back(self, part: Part, opened: OpenPart) -> None:
        """Take back what was lent out as `part`.

        One that still grows is closed: the recorder cannot seal what a reader holds open.
        """
        surplus = [opened]
        if part.sealed:
            surplus = []
            with self._lock:
                self._idle.setdefault(part.path, []).append((part.revision, opened))
                self._idle.move_to_end(part.path)
                self._count += 1
                while self._count > self._idle_max:
                    path, idle = next(iter(self._idle.items()))
                    surplus.append(idle.pop(0)[1])
                    self._count -= 1
                    if not idle:
                        del self._idle[path]
        for one in surplus:
            one.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle = [opened for some in self._idle.values() for _, opened in some]
            self._idle.clear()
            self._count = 0
        for opened in idle:
            opened.close()


class Reading:
    """The parts one question reads, given back at its end; those that grow stay open so long. One thread at a time."""

    def __init__(self, shelf: PartShelf) -> None:
        """Use `PartShelf.reading`."""
        self._shelf = shelf
        self._growing: dict[str, tuple[Part, OpenPart]] = {}

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        for part, opened in self._growing.values():
            self._shelf.put_back(part, opened)
        self._growing.clear()

    def ask(self, part: Part, question: Callable[[OpenPart], T]) -> T:
        """Ask one part. Raises StorageError."""
        held = self._growing.get(part.path)
        opened = self._shelf.take(part) if held is None else held[1]
        try:
            answer = question(opened)
        except StorageError:
            # It may have been replaced under its name: whoever asks next opens it anew.
            self._growing.pop(part.path, None)
            opened.close()
            raise
        except BaseException:
            if part.path not in self._growing:
                opened.close()
            raise
        if opened.sealed:
            self._shelf.put_back(part, opened)
        else:
            self._growing[part.path] = held or (part, opened)
        return answer
