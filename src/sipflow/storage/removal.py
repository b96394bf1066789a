"""Removing the files of a part so that no crash leaves half a bucket that looks whole."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

from sipflow.errors import StorageError
from sipflow.storage.layout import DATA, DATABASE, DELETED, HOLD, PACKED, PACKING

# The index goes out of sight first: without it a directory is no bucket to any reader.
_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}.erasing", f"{DATABASE}.new", DATA, HOLD)


def remove_bucket(root: Path, path: str, number: int) -> None:
    """Remove the bucket at `path` under `root`, and directories above it that are empty then; gone already is well.

    Its files are renamed out of the tree first, then removed; `number` makes the hidden name their own. The directory
    itself is never moved: another part may be made below it at this instant. May be stopped at any instant and begun
    again. Raises StorageError.
    """
    directory, hidden = root / path, root / f"{DELETED}{number}"
    try:
        hidden.mkdir(mode=0o700, exist_ok=True)
        for name in (PACKING, PACKED):
            shutil.rmtree(directory / name, ignore_errors=True)
        for name in _FILES:
            with contextlib.suppress(FileNotFoundError):
                (directory / name).rename(hidden / name)
        _sync(root)
        for file in hidden.iterdir():
            # A reader that has it open would keep its space: it finds its end instead, and asks the catalog.
            file.chmod(0o600)
            os.truncate(file, 0)
        shutil.rmtree(hidden)
        _remove_empty(root, directory)
        _sync(root)
    except OSError as error:
        raise StorageError("delete", directory, error.strerror or str(error)) from None


def _remove_empty(root: Path, directory: Path) -> None:
    while directory != root:
        try:
            directory.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return
            raise
        directory = directory.parent


def _sync(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
