"""What of single calls waits for its upload: on the disk, bounded, in a file that a killed process leaves sound."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from sipflow.errors import StorageError

DIRECTORY: Final = ".upload"
FILE: Final = "calls.db"
# Some hundred octets each. Beyond it no ends of calls are looked for: their rows stand in the index, and wait there.
WAITING_MAX: Final = 100_000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS waiting (
    id         INTEGER PRIMARY KEY,
    call_id    TEXT NOT NULL,
    start_us   INTEGER NOT NULL,  -- of the call: its date is in the names
    kind       TEXT NOT NULL,     -- media or signaling
    key        TEXT NOT NULL,
    file       TEXT NOT NULL,
    since_us   INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_us    INTEGER NOT NULL,
    UNIQUE (call_id, kind, key)
);
CREATE INDEX IF NOT EXISTS waiting_next ON waiting (next_us);
-- How far each part was looked through, and the calls that have not ended yet.
CREATE TABLE IF NOT EXISTS followed (part TEXT PRIMARY KEY, number INTEGER NOT NULL, ended INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS under_way (
    call_id TEXT PRIMARY KEY, part TEXT NOT NULL, number INTEGER NOT NULL, start_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL, changed_us INTEGER NOT NULL, ended_us INTEGER
);
CREATE INDEX IF NOT EXISTS under_way_part ON under_way (part);
CREATE TABLE IF NOT EXISTS taken (call_id TEXT PRIMARY KEY, at_us INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS taken_at ON taken (at_us);
CREATE TABLE IF NOT EXISTS totals (name TEXT PRIMARY KEY, count INTEGER NOT NULL);
"""


class CallFile(NamedTuple):
    """A file of a call as it shall be uploaded; `start_us` is when the call began."""

    call_id: str
    start_us: int
    kind: str
    key: str
    name: str


class Waiting(NamedTuple):
    """A file that waits since `since_us`, after so many attempts."""

    id: int
    file: CallFile
    since_us: int
    attempts: int


class UploadCounts(msgspec.Struct, frozen=True):
    """What became of files of single calls, since the queue was made; `oldest_us` is since when one waits.

    `nothing` are calls without sound or without messages; `given_up` those that failed for too long, or are gone.
    """

    media: int = 0
    signaling: int = 0
    nothing: int = 0
    failures: int = 0
    given_up: int = 0
    waiting: int = 0
    oldest_us: int | None = None


class UploadQueue:
    """The queue of a data root. Any number of threads, one process."""

    def __init__(self, root: Path, most: int = WAITING_MAX) -> None:
        """Open the queue, making it. Raises StorageError."""
        self.directory = root / DIRECTORY
        self._path = self.directory / FILE
        self._most = most
        self._lock = threading.RLock()
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            self._path.touch(mode=0o600)
        except OSError as error:
            raise StorageError("open", self._path, error.strerror or str(error)) from None
        with self._failing("open"):
            self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10.0)
            # A killed process costs nothing; a power cut at most the last upload, which is then made once more.
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Change several things at once, or none of them when something is raised. Raises StorageError."""
        with self._lock, self._failing("write"):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Ask the file. Raises StorageError."""
        with self._lock, self._failing("read"):
            return self._database.execute(statement, values).fetchall()

    @property
    def room(self) -> int:
        """Tell how many more may wait."""
        return max(0, self._most - self.counts().waiting)

    def add(self, file: CallFile, at_us: int, next_us: int) -> bool:
        """Let a file wait until `next_us`, if there is room; one that waits already is not added again."""
        with self.changing() as database:
            if self.room == 0:
                return False
            enter(database, file, at_us, next_us)
        return True

    def due(self, now_us: int, most: int) -> list[Waiting]:
        """List what is to be tried now, the longest waiting first."""
        rows = self.rows(
            "SELECT id, call_id, start_us, kind, key, file, since_us, attempts FROM waiting WHERE next_us <= ? "
            "ORDER BY next_us LIMIT ?",
            (now_us, most),
        )
        # The schema fixes the types.
        return [Waiting(number, CallFile(*file), since_us, tries) for number, *file, since_us, tries in rows]

    def done(self, number: int, total: str) -> None:
        """Forget what was uploaded or given up, and count it under a name of UploadCounts."""
        with self.changing() as database:
            database.execute("DELETE FROM waiting WHERE id = ?", (number,))
            count(database, total)

    def failed(self, number: int, next_us: int) -> None:
        """Try again at a later time, and count the failure."""
        with self.changing() as database:
            database.execute("UPDATE waiting SET attempts = attempts + 1, next_us = ? WHERE id = ?", (next_us, number))
            count(database, "failures")

    def count(self, total: str) -> None:
        """Count what did not have to wait."""
        with self.changing() as database:
            count(database, total)

    def counts(self) -> UploadCounts:
        """Give all totals."""
        known = {str(name): number for name, number in self.rows("SELECT name, count FROM totals")}
        ((waiting, oldest_us),) = self.rows("SELECT count(*), min(since_us) FROM waiting")
        return msgspec.convert({**known, "waiting": waiting, "oldest_us": oldest_us}, UploadCounts)

    @contextmanager
    def _failing(self, op: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(op, self._path, str(error)) from None


def enter(database: sqlite3.Connection, file: CallFile, at_us: int, next_us: int) -> None:
    """Enter a file into the queue, within a change."""
    database.execute(
        "INSERT INTO waiting (call_id, start_us, kind, key, file, since_us, next_us) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (*file, at_us, next_us),
    )


def count(database: sqlite3.Connection, total: str) -> None:
    """Count one more, within a change."""
    database.execute("INSERT INTO totals VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1", (total,))
