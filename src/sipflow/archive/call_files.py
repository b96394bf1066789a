"""The table of calls as files on this machine: one for each part, made of its index or fetched from the archive."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol

from sipflow.archive.cache import FileCache
from sipflow.archive.columns import TABLE_VERSION, Partition, partition_of
from sipflow.archive.live_rows import write_live
from sipflow.archive.parquet import write_table
from sipflow.errors import ArchiveError, StorageError
from sipflow.query.answer import Fault
from sipflow.query.history import History
from sipflow.query.window import Window
from sipflow.storage.layout import DATABASE
from sipflow.storage.part import Part
from sipflow.storage.seal import broken_seal

# What a row of calls takes in a file, at most: room is made for so much before it is known.
_ROW_OCTETS: Final = 200
_LEAST_OCTETS: Final = 64 << 10

Progress = Callable[[int, int], None]  # done, total


class CallFile(NamedTuple):
    """A file of the table and where its rows belong; `live` ones hold whole calls, whatever parts say of them."""

    path: Path
    partition: Partition
    live: bool = False


class ArchivedTable(NamedTuple):
    """A file of the table that an archive holds; `identity` changes with its content."""

    partition: Partition
    identity: str
    octets: int


class CallArchive(Protocol):
    """The files of the table that an archive holds; `where` names it for people."""

    where: str

    def tables(self, window: Window) -> Iterable[ArchivedTable]:
        """List those that may hold calls of a window. Raises ArchiveError."""
        ...

    def fetch(self, table: ArchivedTable, target: BinaryIO) -> None:
        """Write the octets of one. Raises ArchiveError."""
        ...


class CallFiles:
    """Collects the files of a window; to be closed, which removes what was made for one question only."""

    def __init__(self, history: History, root: Path, node: str, cache: FileCache) -> None:
        """Read `history`, which is that of `root`; its parts are those of `node`."""
        self._history = history
        self._root = root
        self._node = node
        self._cache = cache
        self._passing = tempfile.TemporaryDirectory(prefix="sipflow-sql-")
        self.faults: list[Fault] = []

    def close(self) -> None:
        """Remove the files that show what was live."""
        self._passing.cleanup()

    def collect(self, window: Window, archive: CallArchive | None, progress: Progress | None = None) -> list[CallFile]:
        """Give the files that may hold calls of a window; what could not be read is added to `faults`.

        Raises StorageError when nothing can be written, or when the cache cannot hold what is needed.
        """
        # The pool first: what is committed meanwhile is then seen twice, and not missed.
        live, faults = self._history.live_calls()
        self.faults += faults
        parts, faults = self._history.parts()
        self.faults += faults
        live_file = Path(self._passing.name) / "live.parquet"
        with live_file.open("wb") as file:
            write_live(live, self._node, file)
        found = [CallFile(live_file, Partition("", 0, self._node, ""), live=True)]
        wanted: list[Callable[[], CallFile | None]] = []
        # A part whose files have gone to the archive is listed here, and read there.
        here = [part for part in parts if part.evicted_us is None]
        standing = {(self._node, part.path) for part in here}
        wanted += [partial(self._of_part, part) for part in here if _touches(part, window)]
        if archive is not None:
            wanted += [partial(self._of_archive, archive, one) for one in self._archived(archive, window, standing)]
        for done, get in enumerate(wanted):
            if progress is not None:
                progress(done, len(wanted))
            one = get()
            found += [] if one is None else [one]
        if progress is not None:
            progress(len(wanted), len(wanted))
        gone = [one.path for one in found if not one.path.exists()]
        if gone:
            raise StorageError(
                "keep", self._cache.directory,
                f"{len(wanted)} tables of calls are needed at once, and it holds {len(gone)} of them no more; "
                "ask for less with --since and --until, or give it more room with --cache-size",
            )  # fmt: skip
        return found

    def _of_part(self, part: Part) -> CallFile | None:
        """Make the file of a part that stands here; one that cannot be read is a fault."""
        database = self._root / part.path / DATABASE
        try:
            if not part.sealed:
                return self._of_open(part, database)
            partition = partition_of(self._node, part.path)
            stat = database.stat()
            name = _name(partition, f"{stat.st_dev}.{stat.st_ino}.{stat.st_size}.{stat.st_mtime_ns}")
            path = self._cache.find(name)
            if path is None:
                wrong = broken_seal(database.parent)
                if wrong:
                    self.faults.append(Fault(part.path, f"{wrong}; `sipflow reindex` makes it anew"))
                octets = _LEAST_OCTETS + _ROW_OCTETS * (part.calls or 0)
                path = self._cache.put(name, octets, lambda file: _written(database, self._node, file))
            return CallFile(path, partition)
        except StorageError as error:
            self.faults.append(Fault(part.path, str(error)))
        except OSError as error:
            self.faults.append(Fault(part.path, error.strerror or str(error)))
        return None

    def _of_open(self, part: Part, database: Path) -> CallFile:
        # Read whole and let go of: a bucket cannot be sealed while anybody has its index open.
        path = Path(self._passing.name) / f"open-{part.id}-{hashlib.blake2b(part.path.encode()).hexdigest()[:16]}"
        with path.open("wb") as file:
            write_table(database, self._node, file, sealed=False)
        # A root without directories has one part, of no date.
        whole = part.path.strip(".") == ""
        return CallFile(path, Partition("", 0, self._node, "") if whole else partition_of(self._node, part.path))

    def _archived(self, archive: CallArchive, window: Window, standing: set[tuple[str, str]]) -> list[ArchivedTable]:
        """List what only the archive has; one that does not answer is a fault."""
        try:
            tables = list(archive.tables(window))
        except ArchiveError as error:
            self.faults.append(Fault(archive.where, str(error)))
            return []
        return [one for one in tables if (one.partition.node, one.partition.part) not in standing]

    def _of_archive(self, archive: CallArchive, table: ArchivedTable) -> CallFile | None:
        name = _name(table.partition, table.identity)
        path = self._cache.find(name)
        if path is None:
            try:
                path = self._cache.put(name, table.octets, partial(archive.fetch, table))
            except ArchiveError as error:
                self.faults.append(Fault(archive.where, str(error)))
                return None
        return CallFile(path, table.partition)


def _written(database: Path, node: str, file: BinaryIO) -> None:
    write_table(database, node, file)


def _name(partition: Partition, identity: str) -> str:
    """Name a file of the cache: another state of a part, another version of the table have other names."""
    told = "\0".join((str(TABLE_VERSION), partition.node, partition.part, identity))
    return f"calls-{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}.parquet"


def _touches(part: Part, window: Window) -> bool:
    """Tell whether a part may hold calls of a window."""
    first_us = part.start_us if part.t0_us is None else part.t0_us
    last_us = part.end_us if part.t1_us is None else part.t1_us
    return (window.end_us is None or first_us <= window.end_us) and (
        window.start_us is None or last_us >= window.start_us
    )
