"""Who packs a sealed part, who exchanges its files, and who copies them: locks of these files (flock(2)).

A lock goes with the process that holds it, however that ends. A packer that waits for an idle machine keeps nobody from
copying: only the exchange does, which takes milliseconds.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sipflow.errors import PartBusy, StorageError
from sipflow.storage.swap import pair_of

_BUSY = "another process packs or copies it"


def part_lock(directory: Path) -> AbstractContextManager[int]:
    """Keep others from packing a part, by a lock of its index; gives the descriptor. Raises PartBusy, StorageError."""
    return _locked(directory, "database", fcntl.LOCK_EX, "pack", _BUSY)


def swap_lock(directory: Path) -> AbstractContextManager[int]:
    """Keep others from copying the files of a part, by a lock of its data. Raises PartBusy, StorageError."""
    return _locked(directory, "data", fcntl.LOCK_EX, "pack", _BUSY)


def copy_lock(directory: Path) -> AbstractContextManager[int]:
    """Keep the files of a part from being exchanged while they are copied; any number may hold it.

    Raises PartBusy while they are being exchanged, StorageError.
    """
    return _locked(directory, "data", fcntl.LOCK_SH, "copy", "its files are being exchanged")


@contextmanager
def _locked(directory: Path, which: str, kind: int, what: str, busy: str) -> Iterator[int]:
    path: Path = getattr(pair_of(directory), which)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError("open", path, error.strerror or str(error)) from None
    try:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except OSError:
            raise PartBusy(what, directory, busy) from None
        # The lock is that of a file: of one that was exchanged since it was opened, it keeps nobody away.
        if not os.path.samestat(os.fstat(file), _stat(getattr(pair_of(directory), which))):
            raise PartBusy(what, directory, "its files were just exchanged")
        yield file
    finally:
        os.close(file)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise StorageError("open", path, error.strerror or str(error)) from None
