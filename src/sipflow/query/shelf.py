"""Bucket parts kept open between questions, and lent to one question at a time."""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from sipflow.clock import format_time
from sipflow.errors import PartBusy, StorageError
from sipflow.query.part_files import RemoteParts
from sipflow.query.parts import OpenPart
from sipflow.storage.catalog import Part, Revision

T = TypeVar("T")

_IDLE_MAX = 64
# A part may be packed just as it is opened, which takes two renames; then it is opened again.
_EXCHANGED_MAX = 8
# So many indexes are fetched from the archive beside the one that is being asked.
_AHEAD = 4


class PartShelf:
    """Sealed parts that no question uses at the moment. Safe to use from several threads."""

    def __init__(self, root: Path, idle_max: int = _IDLE_MAX, remote: RemoteParts | None = None) -> None:
        """Keep at most `idle_max` parts of `root` open between questions; `remote` has those that are evicted."""
        self._root = root
        self._remote = remote
        self._idle_max = idle_max
        self._lock = threading.Lock()
        # By path, the longest unused first; several of one path when several questions read it at once. One opened
        # before its media was erased must not be lent out afterwards.
        self._idle: OrderedDict[str, list[tuple[Revision, OpenPart]]] = OrderedDict()
        self._count = 0

    def reading(self) -> "Reading":
        """Give a question the parts it asks for."""
        return Reading(self, 0.0 if self._remote is None else self._remote.patience_s)

    def expect(self, parts: Sequence[Part]) -> None:
        """Be told which parts are taken next, so that those that are far away come side by side."""
        if self._remote is not None:
            self._remote.expect([part for part in parts if part.evicted_us is not None])

    def take(self, part: Part, seconds: float = 0.0) -> OpenPart:
        """Give a part to one thread, which owns it until it puts it back or closes it. Raises StorageError.

        For one that was evicted the archive is waited for, but no longer than so long [s].
        """
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
        if opened is None:
            opened = self._open(part, seconds)
        opened.files.allow(seconds)
        return opened

    def _open(self, part: Part, seconds: float) -> OpenPart:
        if part.evicted_us is None:
            return self._open_here(part)
        if self._remote is None:
            raise StorageError(
                "open", part.archive_key or part.path,
                f"it is in the archive since {format_time(part.evicted_us)[:16].replace('T', ' ')} UTC, and "
                "[sipflow.upload], which says where that is, is not configured here",
            )  # fmt: skip
        files = self._remote.open(part, seconds)
        return OpenPart(self._root, part.path, sealed=True, erased_us=part.erased_us, files=files)

    def _open_here(self, part: Part) -> OpenPart:
        for _ in range(_EXCHANGED_MAX):
            with contextlib.suppress(PartBusy):
                return OpenPart(self._root, part.path, sealed=part.sealed, erased_us=part.erased_us)
        return OpenPart(self._root, part.path, sealed=part.sealed, erased_us=part.erased_us)

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
                if opened.files.far:
                    surplus += self._withdrawn()
                while self._count > self._idle_max:
                    path, idle = next(iter(self._idle.items()))
                    surplus.append(idle.pop(0)[1])
                    self._count -= 1
                    if not idle:
                        del self._idle[path]
        for one in surplus:
            one.close()

    def _withdrawn(self) -> list[OpenPart]:
        """Take out what the cache of the archive has given up: open it would still take room on the disk."""
        gone: list[OpenPart] = []
        for path, idle in list(self._idle.items()):
            kept = []
            for one in idle:
                if one[1].files.withdrawn():
                    gone.append(one[1])
                else:
                    kept.append(one)
            self._count -= len(idle) - len(kept)
            self._idle[path] = kept
            if not kept:
                del self._idle[path]
        return gone

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

    def __init__(self, shelf: PartShelf, patience_s: float) -> None:
        """Use `PartShelf.reading`; the archive is waited for so long [s], all parts of the question together."""
        self._shelf = shelf
        self._patience_s = patience_s
        self._ahead: list[Part] = []
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
        if part in self._ahead:
            del self._ahead[: self._ahead.index(part) + 1]
            self._shelf.expect(self._ahead[:_AHEAD])
        began = time.monotonic()
        try:
            return self._ask(part, held, question)
        finally:
            if part.evicted_us is not None:
                self._patience_s = max(0.0, self._patience_s - (time.monotonic() - began))

    def expect(self, parts: Sequence[Part]) -> None:
        """Be told which parts are asked next, in this order: those in the archive come a few at a time."""
        self._ahead = [part for part in parts if part.evicted_us is not None]
        self._shelf.expect(self._ahead[:_AHEAD])

    def _ask(self, part: Part, held: tuple[Part, OpenPart] | None, question: Callable[[OpenPart], T]) -> T:
        opened = self._shelf.take(part, self._patience_s) if held is None else held[1]
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
