"""One process at a time: a file whose lock says who may (flock(2)); it goes with the process, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sipflow.errors import RootBusy, StorageError


@contextmanager
def exclusive(path: Path, root: Path, busy: str) -> Iterator[None]:
    """Hold the lock of a file of a root, which is made when it is not there; its directory is not.

    Raises RootBusy with the sentence `busy` when another process has it, StorageError.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError("open", path, error.strerror or str(error)) from None
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RootBusy("lock", root, busy) from None
        yield
    finally:
        os.close(file)
