"""Who may exchange the files of a sealed part, and who copies them meanwhile: the lock of its data.raw (flock(2)).

It goes with the process that holds it, however that ends.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sipflow.errors import PartBusy, StorageError
from sipflow.storage.swap import pair_of


def part_lock(directory: Path) -> AbstractContextManager[int]:
    """Keep others from packing a part, and from copying its files elsewhere meanwhile; gives the descriptor.

    Raises PartBusy, StorageError.
    """
    return _locked(directory, fcntl.LOCK_EX, "pack", "another process packs or copies it")


def copy_lock(directory: Path) -> AbstractContextManager[int]:
    """Keep the files of a part from being exchanged while they are copied; any number may. Gives the descriptor.

    Raises PartBusy while it is being packed, StorageError.
    """
    return _locked(directory, fcntl.LOCK_SH, "copy", "it is being packed")


@contextmanager
def _locked(directory: Path, kind: int, what: str, busy: str) -> Iterator[int]:
    file = _opened(directory)
    try:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except OSError:
            raise PartBusy(what, directory, busy) from None
        # The lock is that of a file: of one that was exchanged since it was opened, it keeps nobody away.
        if not os.path.samestat(os.fstat(file), _stat(directory)):
            raise PartBusy(what, directory, "its files were just exchanged")
        yield file
    finally:
        os.close(file)


def _opened(directory: Path) -> int:
    data = pair_of(directory).data
    try:
        return os.open(data, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError("open", data, error.strerror or str(error)) from None


def _stat(directory: Path) -> os.stat_result:
    data = pair_of(directory).data
    try:
        return data.stat()
    except OSError as error:
        raise StorageError("open", data, error.strerror or str(error)) from None
