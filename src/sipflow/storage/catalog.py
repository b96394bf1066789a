"""catalog.db: which bucket parts exist, and which of them may hold a Call-ID."""

import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow.errors import NewerFormat, StorageError
from sipflow.storage.index import Totals
from sipflow.storage.layout import CATALOG, DATABASE, PART, Period, directory_of, find_buckets, period_at

VERSION = 2
_SHARD_BITS = 12
# Of 28.8 million calls in 720 parts a shard holds 7,000: an unknown Call-ID names a wrong part once in 2,000 questions.
_PRINT_OCTETS = 3

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,       -- relative to the root
    start_us INTEGER NOT NULL,       -- the period of filing time it covers
    end_us INTEGER NOT NULL,
    state TEXT NOT NULL,             -- making (its files do not stand yet), open, sealing, sealed
    owner INTEGER NOT NULL DEFAULT 0, -- 0: the recorder; else the process id of an import
    t0_us INTEGER, t1_us INTEGER,    -- first and last time in it, once sealed
    calls INTEGER, sip_messages INTEGER, rtp_packets INTEGER, octets INTEGER
);
CREATE INDEX IF NOT EXISTS parts_time ON parts (t1_us);
-- For each of 4096 shards of the Call-ID space, the fingerprints of a part's calls, three octets each.
CREATE TABLE IF NOT EXISTS call_prints (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, prints BLOB NOT NULL,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""


class Part(NamedTuple):
    """One row of the catalog; times in microseconds, None while the part is open."""

    id: int
    path: str
    start_us: int
    end_us: int
    state: str
    owner: int
    t0_us: int | None
    t1_us: int | None
    calls: int | None
    sip_messages: int | None
    rtp_packets: int | None
    octets: int | None

    @property
    def sealed(self) -> bool:
        """Tell whether the part will never change again."""
        return self.state == "sealed"


_COLUMNS = ", ".join(Part._fields)


class _Known(NamedTuple):
    """The parts as the catalog listed them when it was of this `version` (PRAGMA data_version), newest first."""

    version: int | None
    parts: list[Part]
    open: list[Part]
    by_id: dict[int, Part]
    tables: frozenset[str]


class Catalog:
    """The catalog of one data root. One thread at a time; several processes may have it open."""

    def __init__(self, root: Path, *, readonly: bool = False) -> None:
        """Open the catalog, making it unless `readonly`. Raises StorageError, NewerFormat."""
        self.root = root
        self._readonly = readonly
        self._cached: _Known | None = None
        path = root / CATALOG
        mode = "ro" if readonly else "rwc"
        try:
            if not readonly:
                root.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
            )
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
        except (sqlite3.Error, OSError) as error:
            raise StorageError("open", path, str(error)) from None
        if version > VERSION:
            self._db.close()
            raise NewerFormat("open", path, f"catalog version {version}; this sipflow reads {VERSION}")
        if not readonly:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StorageError("write", self.root / CATALOG, str(error)) from None

    def claim(self, period: Period, owner: int = 0) -> Part:
        """Find the part that takes new packets of a period, or add one.

        The recorder (owner 0) goes on with its own open part; a part is never opened again once sealed, so late
        packets and imports make a numbered one beside it.
        """
        with self._transaction():
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM parts WHERE start_us = ? AND end_us = ? "
                "AND state IN ('making', 'open') AND owner = ?",
                [period.start_us, period.end_us, owner],
            ).fetchone()
            if row is not None:
                return Part(*row)
            path = self._free_path(directory_of(period))
            row = self._db.execute(
                "INSERT INTO parts (path, start_us, end_us, state, owner) VALUES (?, ?, ?, 'making', ?) "
                f"RETURNING {_COLUMNS}",
                [path, period.start_us, period.end_us, owner],
            ).fetchone()
        return Part(*row)

    def made(self, part: Part) -> None:
        """Show a claimed part to readers, now that its files stand."""
        with self._transaction():
            self._db.execute("UPDATE parts SET state = 'open' WHERE id = ? AND state = 'making'", [part.id])

    def sealing(self, part: Part) -> None:
        """Record that a part is not written any more: no claim finds it again."""
        with self._transaction():
            self._db.execute("UPDATE parts SET state = 'sealing' WHERE id = ?", [part.id])

    def lost(self, part: Part) -> None:
        """Forget a part whose files somebody removed."""
        with self._transaction():
            self._db.execute("DELETE FROM parts WHERE id = ?", [part.id])

    def _free_path(self, directory: Path) -> str:
        taken = {row[0] for row in self._db.execute("SELECT path FROM parts")}
        for number in range(10_000):
            path = directory if number == 0 else directory / f"{PART}{number:04d}"
            if path.as_posix() not in taken and not (self.root / path / DATABASE).exists():
                return path.as_posix()
        raise StorageError("add part", self.root / directory, "10,000 parts of one period exist")

    def sealed(self, part: Part, totals: Totals, call_ids: Iterable[str]) -> None:
        """Record that a part is sealed, with what it holds and the filter of its calls."""
        self.filtered(part, totals, b"".join(map(call_hash, call_ids)))

    def filtered(self, part: Part, totals: Totals, hashes: bytes) -> None:
        """Record that a part is sealed, given the hash of each of its calls (`call_hash`), one behind the other."""
        rows = [(shard, part.id, prints) for shard, prints in _by_shard(hashes)]
        with self._transaction():
            self._db.execute(
                "UPDATE parts SET state = 'sealed', owner = 0, calls = ?, sip_messages = ?, rtp_packets = ?, "
                "t0_us = ?, t1_us = ?, octets = ? WHERE id = ?",
                [*totals, part.id],
            )
            self._db.executemany("INSERT OR REPLACE INTO call_prints VALUES (?, ?, ?)", rows)

    def parts(self) -> list[Part]:
        """List all parts, those with the newest packets first, open ones before all."""
        return list(self._known().parts)

    def open_parts(self) -> list[Part]:
        """List the parts that still grow, or did when their process ended."""
        return [
            Part(*row)
            for row in self._read(f"SELECT {_COLUMNS} FROM parts WHERE state IN ('open', 'sealing') ORDER BY id")
        ]

    def parts_with(self, call_id: str) -> list[Part]:
        """List the parts that may hold a call: all open ones, and the sealed ones whose filter knows it."""
        # The list first: a part that is sealed in between stands in it as an open one, and is asked as such.
        known = self._known()
        full = call_hash(call_id)
        found = {part.id: part for part in known.open}
        for part_id in self._filtered(full, known.tables):
            part = known.by_id.get(part_id)
            if part is not None:
                found.setdefault(part_id, part)
        return list(found.values())

    def _filtered(self, full: bytes, tables: frozenset[str]) -> Iterator[int]:
        if "call_prints" in tables:
            shard, wanted = full[0] << 4 | full[1] >> 4, full[2 : 2 + _PRINT_OCTETS]
            # SQLite looks through the blobs by itself: one Python object for each of thousands of parts costs more.
            statement = "SELECT part, prints FROM call_prints WHERE shard = ? AND instr(prints, ?)"
            yield from (part for part, prints in self._read(statement, shard, wanted) if _holds(prints, wanted))
        if "call_filter" in tables:  # of parts sealed by version 1
            statement = "SELECT part, width, prints FROM call_filter WHERE shard = ?"
            for part, width, prints in self._read(statement, full[0]):
                if _holds(prints, full[1 : 1 + width]):
                    yield part

    def _known(self) -> "_Known":
        # Tells of every commit but those of this connection, and a reader makes none.
        version = self._read("PRAGMA data_version")[0][0] if self._readonly else None
        if self._cached is None or version is None or version != self._cached.version:
            statement = (
                f"SELECT {_COLUMNS} FROM parts WHERE state <> 'making' ORDER BY t1_us IS NOT NULL, t1_us DESC, id DESC"
            )
            parts = [Part(*row) for row in self._read(statement)]
            tables = frozenset(row[0] for row in self._read("SELECT name FROM sqlite_schema WHERE type = 'table'"))
            growing = [part for part in parts if not part.sealed]
            self._cached = _Known(version, parts, growing, {part.id: part for part in parts}, tables)
        return self._cached

    def _read(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError("read", self.root / CATALOG, str(error)) from None

    def reconcile(self) -> list[Path]:
        """Add buckets found on disk that the catalog does not know; gives their paths relative to the root.

        They are added as open: sealing them reads their calls and completes the row.
        """
        known = {row[0] for row in self._read("SELECT path FROM parts")}
        added = []
        for path in find_buckets(self.root):
            if path.as_posix() in known:
                continue
            period = period_at(path)
            with self._transaction():
                self._db.execute(
                    "INSERT INTO parts (path, start_us, end_us, state) VALUES (?, ?, ?, 'open')",
                    [path.as_posix(), period.start_us, period.end_us],
                )
            added.append(path)
        return added


def found_part(root: Path, path: Path) -> Part:
    """Describe a bucket that no catalog lists; read-only files are those of a sealed one."""
    sealed = (root / path / DATABASE).stat().st_mode & 0o200 == 0
    state, (start_us, end_us) = "sealed" if sealed else "open", period_at(path)
    return Part(0, path.as_posix(), start_us, end_us, state, 0, None, None, None, None, None, None)


def call_hash(call_id: str) -> bytes:
    """Hash a Call-ID as the filter of the catalog knows it: 8 octets."""
    return blake2b(call_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _by_shard(hashes: bytes) -> Iterator[tuple[int, bytes]]:
    """Sort hashes into shards; gives each shard that has any, and their fingerprints one behind the other."""
    octets = np.frombuffer(hashes, np.uint8).reshape(-1, 8)
    shards = octets[:, 0].astype(np.uint16) << 4 | octets[:, 1] >> 4
    order: NDArray[np.intp] = np.argsort(shards, kind="stable")
    shards = shards[order]
    prints = octets[order, 2 : 2 + _PRINT_OCTETS].tobytes()
    borders = [*np.flatnonzero(np.diff(shards, prepend=-1)).tolist(), len(shards)]
    for start, end in itertools.pairwise(borders):
        yield int(shards[start]), prints[start * _PRINT_OCTETS : end * _PRINT_OCTETS]


def _holds(prints: bytes, wanted: bytes) -> bool:
    at = prints.find(wanted)
    while at >= 0:
        if at % len(wanted) == 0:
            return True
        at = prints.find(wanted, at + 1)
    return False
