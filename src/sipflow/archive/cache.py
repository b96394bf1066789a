"""Whole files fetched from the archive, kept on this machine: so much of them, the longest unused removed first."""

import contextlib
import fcntl
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sipflow.errors import StorageError

# The name of a file that is being written; whoever writes it holds a lock on it.
_UNFINISHED = ".fetching-"


class _Kept(NamedTuple):
    """A file of the cache; the most recently used has the latest time."""

    used_ns: int
    octets: int
    path: Path


class FileCache:
    """A directory of files that can be fetched again. Safe to use from several threads, and several processes.

    A file appears whole, by rename; one whose writer was killed is removed by the next process that opens the cache.
    What stands was whole when it was written: whoever reads it after a power cut holds it against a checksum first.
    """

    def __init__(self, directory: Path, octets: int) -> None:
        """Keep at most `octets` in `directory`, but always the file put last. Makes nothing yet."""
        self.directory = directory
        self._limit = octets
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._swept = False

    def find(self, name: str) -> Path | None:
        """Give a file that is kept, which is then the latest used; None when it is not."""
        path = self.directory / name
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def put(self, name: str, octets: int, write: Callable[[BinaryIO], None]) -> Path:
        """Keep what `write` writes, `octets` of it, under a name; others make room first. Raises StorageError.

        When `write` raises nothing is kept.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock:
                self._sweep()
                self._make_room(octets)
            unfinished = self.directory / f"{_UNFINISHED}{os.getpid()}-{next(self._numbers)}"
            with unfinished.open("xb", buffering=0) as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    write(file)
                    os.fchmod(file.fileno(), 0o400)
                    unfinished.rename(self.directory / name)
                except BaseException:
                    unfinished.unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise StorageError("write", self.directory / name, error.strerror or str(error)) from None
        return self.directory / name

    def drop(self, name: str) -> None:
        """Remove a file; whoever has it open goes on reading it."""
        with contextlib.suppress(OSError):
            (self.directory / name).unlink()

    def _sweep(self) -> None:
        """Remove what processes that are gone left unfinished."""
        if self._swept:
            return
        for path in self.directory.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        self._swept = True

    def _make_room(self, octets: int) -> None:
        kept = sorted(self._kept())
        total = octets + sum(one.octets for one in kept)
        for one in kept:
            if total <= self._limit:
                break
            if not one.path.name.startswith(_UNFINISHED):
                self.drop(one.path.name)
                total -= one.octets

    def _kept(self) -> list[_Kept]:
        found = []
        for path in self.directory.iterdir():
            with contextlib.suppress(OSError):  # another process has just removed it
                stat = path.stat()
                found.append(_Kept(stat.st_mtime_ns, stat.st_size, path))
        return found
