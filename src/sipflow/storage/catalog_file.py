"""The file of catalog.db: opened, brought up to date, read row by checked row, and written in transactions."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sipflow.errors import NewerFormat, StorageError
from sipflow.storage.catalog_schema import COLUMNS_OF, COMPUTE_CRC, FORMER, SCHEMA, UPGRADES, VERSION, part_crc
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.layout import CATALOG
from sipflow.storage.row_crc import row_crc

_ROWS_A_TURN = 64


class CatalogFile:
    """The database of one catalog. One thread at a time; several processes may have it open.

    `old` tells of a catalog of version 1, which only a reader meets; `columns` and `crc` are what to select for a part
    and its checksum, and `filter_crc` for a row of the filter that version 1 wrote.
    """

    def __init__(self, root: Path, *, readonly: bool, rest_seconds: float = 0) -> None:
        """Open the file, making it unless `readonly`, but never its root. Raises StorageError, NewerFormat.

        Whoever walks filters rests for `rest_seconds` after each turn of a fifth of a millisecond.
        """
        self.path = root / CATALOG
        self.readonly = readonly
        self._rest_seconds = rest_seconds
        self._interrupted = False
        mode = "ro" if readonly else "rwc"
        try:
            if not readonly:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.Error, OSError) as error:
            raise StorageError("open", self.path, str(error)) from None
        try:
            self._prepare()
        except UNREADABLE as error:
            self._db.close()
            raise StorageError("open", self.path, str(error)) from None
        except StorageError:
            self._db.close()
            raise

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise NewerFormat(
                "open", self.path,
                f"catalog version {version} was written by a later sipflow, this one reads {VERSION}; start that "
                "one, or let `sipflow reindex` make the catalog anew",
            )  # fmt: skip
        self._read_as(version if self.readonly else VERSION)
        if self.readonly:
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.create_function("row_crc", -1, row_crc, deterministic=True)
        self._db.create_function("part_crc", -1, part_crc, deterministic=True)
        if version in UPGRADES:
            with self.transaction():
                # Another process may have done it meanwhile.
                for statement in UPGRADES.get(self._db.execute("PRAGMA user_version").fetchone()[0], ()):
                    self._db.execute(statement)
        self._db.executescript(SCHEMA)

    def _read_as(self, version: int) -> None:
        # A reader takes what it meets as it stands; version 1 had no checksums. A writer may bring it up meanwhile.
        self.old = version == 1
        self.columns, self.crc = COLUMNS_OF[version or VERSION], "NULL" if self.old else "crc"

    def look_again(self) -> None:
        """Find out whether a writer brought the catalog up to date meanwhile. Raises StorageError."""
        if self.readonly:
            self._read_as(self.read("PRAGMA user_version")[0][0])

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def interrupt(self) -> None:
        """Let what another thread reads here fail."""
        # Two of them: SQLite stops only a statement that runs just now.
        self._interrupted = True
        self._db.interrupt()

    # --- writing, inside a transaction ---

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is written inside, with the checksums it needs, or nothing of it. Raises StorageError."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute(COMPUTE_CRC)
            self._db.execute("COMMIT")
        except UNREADABLE as error:
            raise StorageError("write", self.path, str(error)) from None
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def write(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Run one statement; gives what it returns. Raises what `transaction` turns into StorageError."""
        return self._db.execute(statement, values)

    def write_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each of many rows. Raises what `transaction` turns into StorageError."""
        self._db.executemany(statement, rows)

    # --- reading ---

    def read(self, statement: str, *values: object) -> list[Any]:
        """Give all rows of a question. Raises StorageError."""
        try:
            return self._db.execute(statement, values).fetchall()
        except UNREADABLE as error:
            raise StorageError("read", self.path, str(error)) from None

    def of_parts(self, table: str, columns: str, parts: Sequence[int]) -> Iterator[Any]:
        """Walk the rows of a filter that are of some parts, all of them when none is named. Raises StorageError."""
        chosen = f"WHERE part IN ({', '.join('?' * len(parts))})" if parts else ""
        try:
            rows = self._db.execute(f"SELECT {columns} FROM {table} {chosen}", parts)
            while some := rows.fetchmany(_ROWS_A_TURN):
                yield from some
                # A thread that waits for the interpreter's lock needs a moment to wake up: of no rest it has nothing.
                if self._rest_seconds:
                    time.sleep(self._rest_seconds)
                if self._interrupted:
                    raise sqlite3.OperationalError("interrupted")
        except UNREADABLE as error:
            raise StorageError("read", self.path, str(error)) from None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read inside be of one moment. Raises StorageError."""
        self.read("BEGIN")
        try:
            yield
        finally:
            self.read("ROLLBACK")

    def version(self) -> int:
        """Give a number that changes when another process commits. Raises StorageError."""
        found: int = self.read("PRAGMA data_version")[0][0]
        return found

    def has_former(self) -> bool:
        """Tell whether version 1 left its filter here. Raises StorageError."""
        return bool(self.read("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", FORMER))

    def sound(self, row: Any, crc_of: Callable[..., int] = row_crc) -> Any:
        """Give the columns of a row without its checksum, which must hold where there is one. Raises StorageError."""
        *columns, crc = row
        if crc is not None and crc_of(*columns) != crc:
            raise self.unsound()
        return columns

    def unsound(self) -> StorageError:
        """Make the error that tells of a checksum that does not hold."""
        return StorageError("read", self.path, "the checksum of a row does not hold")
