"""The two files of a part, as they are opened for questions: on this machine, or fetched from an archive."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from sipflow.errors import PartBusy, StorageError
from sipflow.storage.catalog import Part
from sipflow.storage.seal import broken_seal
from sipflow.storage.source import DataFile, DataSource
from sipflow.storage.swap import is_pair, pair_of

# Names files as they stand: any change to one of them makes another identity.
Identity: TypeAlias = tuple[object, ...]


class Opened(NamedTuple):
    """Data that is open, what names both files as they stand, and the octets of the index."""

    data: DataSource
    identity: Identity
    index_octets: int


class PartFiles(Protocol):
    """An index that lies on this machine, and data that may lie anywhere.

    `data_path` names the data in errors. `far` tells whether each read of the data may take long, so that it is worth
    telling what will be read.
    """

    database: Path
    data_path: Path
    far: bool

    def open_data(self) -> Opened:
        """Open the data, once the index is open. Raises StorageError."""
        ...

    def damage(self) -> str:
        """Tell in a sentence how the index differs from what it was when it was sealed; empty when it does not."""
        ...

    def withdrawn(self) -> bool:
        """Tell whether the index is on this machine no longer, so that it should not be kept open."""
        ...

    def allow(self, seconds: float) -> None:
        """Say how long the questions that follow may wait for the data altogether [s]."""
        ...


class RemoteParts(Protocol):
    """Parts whose files are no longer on this machine. Safe to ask from several threads."""

    patience_s: float

    def open(self, part: Part, seconds: float) -> PartFiles:
        """Give the files of an evicted part, waiting at most so long [s]. Raises StorageError, which says why not."""
        ...

    def expect(self, parts: Sequence[Part]) -> None:
        """Be told which parts will be asked for next, in this order."""
        ...

    def close(self) -> None:
        """Fetch no more."""
        ...


class LocalFiles:
    """The files of a part in a directory of this machine."""

    far = False

    def __init__(self, directory: Path, *, sealed: bool) -> None:
        """Find the files that count now, and open nothing yet. Raises StorageError when there are none."""
        self._directory = directory
        self._sealed = sealed
        self.data_path, self.database = pair_of(directory)
        try:
            self._index = self.database.stat()
        except OSError as error:
            raise StorageError("open", self.database, error.strerror or str(error)) from None

    def open_data(self) -> Opened:
        """Open the data, once the index is open. Raises StorageError; PartBusy when others took their place."""
        data = DataFile(self.data_path)
        opened = os.fstat(data.descriptor)
        if self._sealed and not is_pair(self._directory, self._index, opened):
            raise PartBusy("open", self._directory, "its files are being exchanged; ask again")
        identity = tuple(
            value
            for stat in (self._index, opened)
            for value in (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        )
        return Opened(data, identity, self._index.st_size)

    def damage(self) -> str:
        """Hold the index against its seal. Reads all of it."""
        return broken_seal(self._directory)

    def withdrawn(self) -> bool:
        """Tell that it is not: what was removed here is told by the catalog."""
        return False

    def allow(self, seconds: float) -> None:
        """Take no notice: a disk is not waited for."""
