"""catalog.db: which bucket parts exist or did, and which of them may hold a Call-ID."""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from sipflow.clock import DAY_US, now_us
from sipflow.errors import NewerFormat, StorageError
from sipflow.storage.index import Totals
from sipflow.storage.layout import CATALOG, DATABASE, PART, Period, directory_of, find_buckets, period_at
from sipflow.storage.sealed import call_ids, erased_us, is_sealed, totals

VERSION = 2
# Two octets of fingerprint name a wrong bucket once in 65,536 calls; beyond this many calls in a shard, four are kept.
_NARROW_MAX = 512
# That a call has expired is told for so long; then its fingerprint goes as well.
REMEMBERED_US = 400 * DAY_US
# What version 2 added to a part.
_ADDED = ("sip_octets", "rtp_octets", "imported_us", "erased_us", "deleted_us")

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,       -- relative to the root
    start_us INTEGER NOT NULL,       -- the period of filing time it covers
    end_us INTEGER NOT NULL,
    state TEXT NOT NULL,             -- making (its files do not stand yet), open, sealed; deleting, deleted
    owner INTEGER NOT NULL DEFAULT 0, -- 0: the recorder; else the process id of an import
    t0_us INTEGER, t1_us INTEGER,    -- first and last time in it, once sealed
    calls INTEGER, sip_messages INTEGER, rtp_packets INTEGER, octets INTEGER,
    {", ".join(f"{name} INTEGER" for name in _ADDED)}
);
CREATE INDEX IF NOT EXISTS parts_time ON parts (t1_us);
CREATE INDEX IF NOT EXISTS parts_deleted ON parts (end_us) WHERE deleted_us IS NOT NULL;
-- For each of 256 shards of the Call-ID space, the fingerprints of a part's calls, width octets each.
CREATE TABLE IF NOT EXISTS call_filter (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, width INTEGER NOT NULL, prints BLOB NOT NULL,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
-- The same of parts that are deleted, with their calls known more surely.
CREATE TABLE IF NOT EXISTS expired_filter (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, width INTEGER NOT NULL, prints BLOB NOT NULL,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""


# What changes whenever an opened part must be opened anew.
Revision: TypeAlias = tuple[bool, int | None, int | None]


class Part(NamedTuple):
    """One row of the catalog; times in microseconds, None while the part is open.

    `octets` are those of data.raw and the index; `rtp_octets` those of its stream blocks, `sip_octets` the rest, None
    until somebody counted. `erased_us` is when its media was given up: with octets of RTP left, that is not done yet.
    """

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
    sip_octets: int | None = None
    rtp_octets: int | None = None
    imported_us: int | None = None
    erased_us: int | None = None
    deleted_us: int | None = None

    @property
    def sealed(self) -> bool:
        """Tell whether the part will never change again."""
        return self.state == "sealed"

    @property
    def revision(self) -> Revision:
        """Give what tells this state of the part's files from another."""
        return self.sealed, self.erased_us, None if self.erased_us is None else self.rtp_octets


_COLUMNS = ", ".join(Part._fields)
_COLUMNS_1 = ", ".join(f"NULL AS {name}" if name in _ADDED else name for name in Part._fields)


class Catalog:
    """The catalog of one data root. One thread at a time; several processes may have it open."""

    def __init__(self, root: Path, *, readonly: bool = False) -> None:
        """Open the catalog, making it unless `readonly`. Raises StorageError, NewerFormat."""
        self.root = root
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
        # A reader takes version 1 as it stands; a writer brings it up to date.
        self._columns = _COLUMNS_1 if version == 1 and readonly else _COLUMNS
        if not readonly:
            self._db.execute("PRAGMA journal_mode = WAL")
            if version == 1:
                self._upgrade()
            self._db.executescript(_SCHEMA)

    def _upgrade(self) -> None:
        with self._transaction():
            # Another process may have done it meanwhile.
            if self._db.execute("PRAGMA user_version").fetchone()[0] == 1:
                for name in _ADDED:
                    self._db.execute(f"ALTER TABLE parts ADD COLUMN {name} INTEGER")
                self._db.execute("PRAGMA user_version = 2")

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
                f"SELECT {_COLUMNS} FROM parts WHERE start_us = ? AND end_us = ? AND state IN ('making', 'open') "
                "AND owner = ?",
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

    def _free_path(self, directory: Path) -> str:
        taken = {row[0] for row in self._db.execute("SELECT path FROM parts")}
        for number in range(10_000):
            path = directory if number == 0 else directory / f"{PART}{number:04d}"
            if path.as_posix() not in taken and not (self.root / path / DATABASE).exists():
                return path.as_posix()
        raise StorageError("add part", self.root / directory, "10,000 parts of one period exist")

    def sealed(self, part: Part, totals: Totals, call_ids: Iterable[str], rtp_octets: int | None = None) -> None:
        """Record that a part is sealed, with what it holds and the filter of its calls.

        `rtp_octets` are those of its stream blocks; None when nobody counted them.
        """
        rows = _filter_rows(part.id, call_ids)
        sip_octets = None if rtp_octets is None else totals.octets - rtp_octets
        imported_us = now_us() if part.owner else None
        with self._transaction():
            self._db.execute(
                "UPDATE parts SET state = 'sealed', owner = 0, calls = ?, sip_messages = ?, rtp_packets = ?, "
                "t0_us = ?, t1_us = ?, octets = ?, sip_octets = ?, rtp_octets = ?, "
                "imported_us = coalesce(?, imported_us) WHERE id = ?",
                [*totals, sip_octets, rtp_octets, imported_us, part.id],
            )
            self._db.execute("DELETE FROM call_filter WHERE part = ?", [part.id])
            self._db.executemany("INSERT INTO call_filter VALUES (?, ?, ?, ?)", rows)

    # --- what retention does to parts ---

    def counted(self, part: Part, sip_octets: int, rtp_octets: int) -> None:
        """Record the octets of a sealed part by kind."""
        with self._transaction():
            self._db.execute(
                "UPDATE parts SET sip_octets = ?, rtp_octets = ?, octets = ? WHERE id = ? AND state = 'sealed'",
                [sip_octets, rtp_octets, sip_octets + rtp_octets, part.id],
            )

    def erasing(self, part: Part, when_us: int) -> None:
        """Record that the media of a part is given up, before any of it is erased."""
        with self._transaction():
            self._db.execute(
                "UPDATE parts SET erased_us = ? WHERE id = ? AND state = 'sealed' AND erased_us IS NULL",
                [when_us, part.id],
            )

    def deleting(self, part: Part, when_us: int, call_ids: Iterable[str] | None) -> None:
        """Record that a part is given up, before any of it is removed; from now on it only tells what has expired.

        Its calls are then known by longer fingerprints, made of `call_ids`; None keeps those it has.
        """
        rows = None if call_ids is None else _filter_rows(part.id, call_ids, narrow_max=0)
        with self._transaction():
            if rows is None:
                self._db.execute(
                    "INSERT OR REPLACE INTO expired_filter SELECT * FROM call_filter WHERE part = ?", [part.id]
                )
            else:
                self._db.executemany("INSERT OR REPLACE INTO expired_filter VALUES (?, ?, ?, ?)", rows)
            self._db.execute("DELETE FROM call_filter WHERE part = ?", [part.id])
            self._db.execute(
                "UPDATE parts SET state = 'deleting', deleted_us = ? WHERE id = ? AND state = 'sealed'",
                [when_us, part.id],
            )

    def deleted(self, part: Part) -> None:
        """Record that the files of a part are gone."""
        with self._transaction():
            self._db.execute(
                "UPDATE parts SET state = 'deleted', octets = 0, sip_octets = 0, rtp_octets = 0 WHERE id = ?", [part.id]
            )

    def forget(self, now: int) -> int:
        """Drop what is known of parts that were deleted longer than REMEMBERED_US ago; gives how many."""
        old = self._read("SELECT id FROM parts WHERE state = 'deleted' AND deleted_us < ?", now - REMEMBERED_US)
        with self._transaction():
            self._db.executemany("DELETE FROM expired_filter WHERE part = ?", old)
            self._db.executemany("DELETE FROM parts WHERE id = ?", old)
        return len(old)

    # --- questions ---

    def part(self, number: int) -> Part | None:
        """Give a part as it is now."""
        return next((Part(*row) for row in self._read(f"SELECT {self._columns} FROM parts WHERE id = ?", number)), None)

    def standing(self) -> list[Part]:
        """List the parts that have files, those being deleted among them, by number."""
        return [
            Part(*row) for row in self._read(f"SELECT {self._columns} FROM parts WHERE state <> 'deleted' ORDER BY id")
        ]

    def expired_with(self, call_id: str, near: tuple[int, int] | None = None) -> list[Part]:
        """List the deleted parts that held a call, the newest first; `near` asks only those that touch that time."""
        if self._columns is _COLUMNS_1:
            return []
        shard, full = _fingerprint(call_id)
        where, values = "f.shard = ?", [shard]
        if near is not None:
            where, values = where + " AND p.end_us >= ? AND p.start_us <= ?", [*values, *near]
        columns = ", ".join(f"p.{name}" for name in Part._fields)
        rows = self._read(
            f"SELECT f.width, f.prints, {columns} FROM parts p JOIN expired_filter f ON f.part = p.id "
            f"WHERE p.deleted_us IS NOT NULL AND {where} ORDER BY p.t1_us DESC",
            *values,
        )
        return [Part(*row) for width, prints, *row in rows if _holds(prints, full[:width])]

    def parts(self) -> list[Part]:
        """List all parts, those with the newest packets first, open ones before all."""
        return [
            Part(*row)
            for row in self._read(
                f"SELECT {self._columns} FROM parts WHERE state NOT IN ('making', 'deleting', 'deleted') "
                "ORDER BY t1_us IS NOT NULL, t1_us DESC, id DESC"
            )
        ]

    def open_parts(self) -> list[Part]:
        """List the parts that still grow, or did when their process ended."""
        return [Part(*row) for row in self._read(f"SELECT {self._columns} FROM parts WHERE state = 'open' ORDER BY id")]

    def parts_with(self, call_id: str) -> list[Part]:
        """List the parts that may hold a call: all open ones, and the sealed ones whose filter knows it."""
        shard, full = _fingerprint(call_id)
        hits = [
            part
            for part, width, prints in self._read("SELECT part, width, prints FROM call_filter WHERE shard = ?", shard)
            if _holds(prints, full[:width])
        ]
        found = self.open_parts()
        for start in range(0, len(hits), 500):
            some = hits[start : start + 500]
            marks = ", ".join("?" * len(some))
            found += [
                Part(*row)
                for row in self._read(
                    f"SELECT {self._columns} FROM parts WHERE id IN ({marks}) AND state = 'sealed'", *some
                )
            ]
        return found

    def _read(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError("read", self.root / CATALOG, str(error)) from None

    def reconcile(self) -> list[Path]:
        """Add buckets found on disk that the catalog does not know, or knows as deleted; gives their relative paths.

        Sealed ones are added as such. Others are added as open: sealing them reads their calls and completes the row.
        """
        known = dict(self._read("SELECT path, state FROM parts"))
        added = []
        for path in find_buckets(self.root):
            if known.get(path.as_posix(), "deleted") != "deleted":
                continue
            period = period_at(path)
            with self._transaction():
                # Somebody put it back.
                self._db.execute(
                    "DELETE FROM expired_filter WHERE part IN (SELECT id FROM parts WHERE path = ?)", [path.as_posix()]
                )
                self._db.execute("DELETE FROM parts WHERE path = ?", [path.as_posix()])
                row = self._db.execute(
                    f"INSERT INTO parts (path, start_us, end_us, state) VALUES (?, ?, ?, 'open') RETURNING {_COLUMNS}",
                    [path.as_posix(), period.start_us, period.end_us],
                ).fetchone()
            self._complete(Part(*row))
            added.append(path)
        return added

    def _complete(self, part: Part) -> None:
        directory = self.root / part.path
        try:
            if not is_sealed(directory):
                return
            found, calls, when_us = totals(directory), call_ids(directory), erased_us(directory)
        except (StorageError, OSError):
            return  # as open, it is asked about and names what is wrong
        self.sealed(part, found, calls)
        if when_us is not None:
            self.erasing(part, when_us)


def found_part(root: Path, path: Path) -> Part:
    """Describe a bucket that no catalog lists; read-only files are those of a sealed one."""
    sealed = is_sealed(root / path)
    state, (start_us, end_us) = "sealed" if sealed else "open", period_at(path)
    try:
        when_us = erased_us(root / path) if sealed else None
    except StorageError:
        when_us = None  # opening it says what is wrong
    return Part(
        0, path.as_posix(), start_us, end_us, state, 0, None, None, None, None, None, None, erased_us=when_us
    )  # fmt: skip


def _filter_rows(
    part: int, call_ids: Iterable[str], narrow_max: int = _NARROW_MAX
) -> list[tuple[int, int, int, bytes]]:
    shards: dict[int, list[bytes]] = {}
    for call_id in call_ids:
        shard, full = _fingerprint(call_id)
        shards.setdefault(shard, []).append(full)
    rows = []
    for shard, prints in shards.items():
        width = 2 if len(prints) <= narrow_max else 4
        rows.append((shard, part, width, b"".join(full[:width] for full in prints)))
    return rows


def _fingerprint(call_id: str) -> tuple[int, bytes]:
    digest = blake2b(call_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return digest[0], digest[1:5]


def _holds(prints: bytes, wanted: bytes) -> bool:
    at = prints.find(wanted)
    while at >= 0:
        if at % len(wanted) == 0:
            return True
        at = prints.find(wanted, at + 1)
    return False
