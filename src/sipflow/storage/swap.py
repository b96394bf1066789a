"""A sealed bucket's two files exchanged for two others, as one: whoever looks, and whenever it ends, sees one pair.

The new pair is made in `.packing` inside the bucket's directory. Renaming that to `.packed` is the instant at which it
takes the old one's place: from then on a file that is in there counts, and the one beside is over. Then both are
renamed over the old ones. A process that ends anywhere in between leaves the old pair, or the new one of which some
files are still in `.packed`; `settle` finishes that.
"""

import contextlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple, TypeAlias

from sipflow.errors import StorageError
from sipflow.storage.layout import DATA, DATABASE, PACKED, PACKING, find_buckets

# What tells a file from another that stands in its place: device, inode, size, time of change.
Identity: TypeAlias = tuple[int, int, int, int]


class Pair(NamedTuple):
    """The two files of a bucket."""

    data: Path
    database: Path

    @property
    def identity(self) -> tuple[Identity, Identity]:
        """Tell which files stand there now. Raises OSError."""
        return _identity(self.data), _identity(self.database)


def pair_of(directory: Path) -> Pair:
    """Give the files of a bucket as they count now; asked again after opening both, it must say the same."""
    data, database = (
        packed if (packed := directory / PACKED / name).exists() else directory / name for name in (DATA, DATABASE)
    )
    return Pair(data, database)


def is_pair(directory: Path, database: os.stat_result, data: os.stat_result) -> bool:
    """Tell whether two files that were opened are still those that count. Raises StorageError."""
    try:
        now = pair_of(directory).identity
    except OSError as error:
        raise StorageError("open", directory, error.strerror or str(error)) from None
    return [one[:2] for one in now] == [(one.st_dev, one.st_ino) for one in (data, database)]


def _identity(file: Path) -> Identity:
    stat = file.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def make_room(directory: Path) -> Path:
    """Make the directory in which a new pair is written, empty; what an earlier try left there is thrown away.

    Raises StorageError.
    """
    beside = directory / PACKING
    try:
        discard(directory)
        beside.mkdir(mode=0o700)
    except OSError as error:
        raise StorageError("make", beside, error.strerror or str(error)) from None
    return beside


def discard(directory: Path) -> bool:
    """Throw a pair in the making away; tells whether there was one."""
    found = (directory / PACKING).exists()
    shutil.rmtree(directory / PACKING, ignore_errors=True)
    return found


def swap_in(directory: Path) -> None:
    """Let the finished pair in `.packing`, both files synced and read-only, take the place of the old one.

    The caller keeps everybody else who writes there away (`sweep_lock`). Raises StorageError; the pair then is the old
    one or the new one, as `pair_of` says.
    """
    try:
        _sync(directory / PACKING)
        (directory / PACKING).rename(directory / PACKED)
        _sync(directory)
    except OSError as error:
        raise StorageError("replace", directory, error.strerror or str(error)) from None
    settle(directory)


def settle(directory: Path) -> bool:
    """Finish an exchange that was begun; tells whether there was one. Raises StorageError."""
    packed = directory / PACKED
    if not packed.is_dir():
        return False
    try:
        for name in (DATA, DATABASE):
            with contextlib.suppress(FileNotFoundError):
                (packed / name).rename(directory / name)
        _sync(directory)
        packed.rmdir()
        _sync(directory)
    except OSError as error:
        raise StorageError("replace", directory, error.strerror or str(error)) from None
    return True


def settle_all(root: Path) -> list[Path]:
    """Finish what was begun in all buckets of a root that nobody writes; gives their paths. Raises StorageError.

    A pair that was still in the making is thrown away.
    """
    settled = []
    for path in find_buckets(root, DATA, DATABASE):
        if settle(root / path):
            settled.append(path)
        discard(root / path)
    return settled


def _sync(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
