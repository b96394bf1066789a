"""catalog.db: which bucket parts exist or did, and which of them may hold a Call-ID."""

import itertools
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow._fast import crc32c
from sipflow.clock import DAY_US, now_us
from sipflow.errors import NewerFormat, StorageError
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.index import Totals
from sipflow.storage.layout import CATALOG, DATA, DATABASE, PART, Period, directory_of, find_buckets, period_at
from sipflow.storage.sealed import erased_us, is_sealed

VERSION = 2
_SHARDS = 1024
# Of 28.8 million calls in 720 parts a shard holds 28,000: an unknown Call-ID names a wrong part once in 600 questions.
_PRINT_OCTETS = 3
# Of 400 million deleted calls an unknown Call-ID is taken for one once in 10,000 questions.
_EXPIRED_OCTETS = 4
_ROWS_A_TURN = 250
_FEW = 64
# That a call has expired is told for so long; then its fingerprint goes as well.
REMEMBERED_US = 400 * DAY_US
# What version 2 added to a part, its checksum apart.
_ADDED = ("sip_octets", "rtp_octets", "imported_us", "erased_us", "deleted_us")

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,       -- relative to the root
    start_us INTEGER NOT NULL,       -- the period of filing time it covers
    end_us INTEGER NOT NULL,
    state TEXT NOT NULL,             -- making (its files do not stand yet), open, sealing, sealed, unlisted;
                                     -- deleting, deleted
    owner INTEGER NOT NULL DEFAULT 0, -- 0: the recorder; else the process id of an import
    t0_us INTEGER, t1_us INTEGER,    -- first and last time in it, once sealed
    calls INTEGER, sip_messages INTEGER, rtp_packets INTEGER, octets INTEGER,
    {", ".join(f"{name} INTEGER" for name in _ADDED)},
    crc INTEGER                      -- of the columns before it; NULL: not computed
);
CREATE INDEX IF NOT EXISTS parts_time ON parts (t1_us);
CREATE INDEX IF NOT EXISTS parts_deleted ON parts (end_us) WHERE deleted_us IS NOT NULL;
-- For each of 1024 shards of the Call-ID space, the fingerprints of a part's calls, three octets each.
CREATE TABLE IF NOT EXISTS call_prints (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, prints BLOB NOT NULL, crc INTEGER,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
-- The same of parts that are deleted, with their calls known more surely.
CREATE TABLE IF NOT EXISTS expired_filter (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, width INTEGER NOT NULL, prints BLOB NOT NULL, crc INTEGER,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
-- Whoever changes a row need not know its checksum: it is computed again before the next commit.
CREATE TRIGGER IF NOT EXISTS parts_changed
AFTER UPDATE OF path, start_us, end_us, state, owner, t0_us, t1_us, calls, sip_messages, rtp_packets, octets,
    {", ".join(_ADDED)} ON parts
BEGIN UPDATE parts SET crc = NULL WHERE id = new.id; END;
PRAGMA user_version = {VERSION};
"""
_FROM_VERSION_1 = (
    *(f"ALTER TABLE parts ADD COLUMN {name} INTEGER" for name in (*_ADDED, "crc")),
    "ALTER TABLE call_filter ADD COLUMN crc INTEGER",
    "UPDATE call_filter SET crc = row_crc(shard, part, width, prints)",
    f"PRAGMA user_version = {VERSION}",
)
# Of parts sealed by version 1.
_FORMER = "call_filter"


# What changes whenever an opened part must be opened anew.
Revision: TypeAlias = tuple[bool, int | None, int | None]


class Part(NamedTuple):
    """One row of the catalog; times in microseconds, None while the part is open.

    A part is `unlisted` when nobody writes it and the filter does not know its calls: it is asked for every call.
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
        """Tell whether the part takes no packets any more; retention may still erase its media."""
        return self.state == "sealed"

    @property
    def revision(self) -> Revision:
        """Give what tells this state of the part's files from another."""
        return self.sealed, self.erased_us, None if self.erased_us is None else self.rtp_octets


_COLUMNS = ", ".join(Part._fields)
_COLUMNS_1 = ", ".join(f"NULL AS {name}" if name in _ADDED else name for name in Part._fields)


class _Known(NamedTuple):
    """The parts as the catalog listed them when it was of this `version` (PRAGMA data_version), newest first."""

    version: int
    parts: list[Part]
    growing: list[Part]
    sealed: dict[int, Part]
    former: bool


_COMPUTE_CRC = f"UPDATE parts SET crc = row_crc({_COLUMNS}) WHERE crc IS NULL"


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
        except (sqlite3.Error, OSError) as error:
            raise StorageError("open", path, str(error)) from None
        try:
            self._prepare(readonly=readonly)
        except UNREADABLE as error:
            self._db.close()
            raise StorageError("open", path, str(error)) from None
        except StorageError:
            self._db.close()
            raise

    def _prepare(self, *, readonly: bool) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise NewerFormat(
                "open", self.root / CATALOG,
                f"catalog version {version} was written by a later sipflow, this one reads {VERSION}; start that "
                "one, or let `sipflow reindex` make the catalog anew",
            )  # fmt: skip
        self._read_as(version if readonly else VERSION)
        if readonly:
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.create_function("row_crc", -1, _crc_of, deterministic=True)
        if version == 1:
            with self._transaction():
                # Another process may have done it meanwhile.
                if self._db.execute("PRAGMA user_version").fetchone()[0] == 1:
                    for statement in _FROM_VERSION_1:
                        self._db.execute(statement)
        self._db.executescript(_SCHEMA)

    def _read_as(self, version: int) -> None:
        # A reader takes version 1 as it stands, which had no checksums; a writer may bring it up meanwhile.
        self._old = version == 1
        self._columns, self._crc = (_COLUMNS_1, "NULL") if self._old else (_COLUMNS, "crc")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute(_COMPUTE_CRC)
            self._db.execute("COMMIT")
        except UNREADABLE as error:
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
                f"SELECT {_COLUMNS} FROM parts "
                "WHERE start_us = ? AND end_us = ? AND state IN ('making', 'open') AND owner = ?",
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

    def _free_path(self, directory: Path) -> str:
        taken = {row[0] for row in self._db.execute("SELECT path FROM parts")}
        for number in range(10_000):
            path = directory if number == 0 else directory / f"{PART}{number:04d}"
            standing = any((self.root / path / name).exists() for name in (DATABASE, DATA))
            if path.as_posix() not in taken and not standing:
                return path.as_posix()
        raise StorageError("add part", self.root / directory, "10,000 parts of one period exist")

    def sealed(self, part: Part, totals: Totals, call_ids: Iterable[str], rtp_octets: int | None = None) -> None:
        """Record that a part is sealed, with what it holds and the filter of its calls.

        `rtp_octets` are those of its stream blocks; None when nobody counted them.
        """
        self.filtered(part, totals, b"".join(map(call_hash, call_ids)), rtp_octets)

    def filtered(self, part: Part, totals: Totals, hashes: bytes, rtp_octets: int | None = None) -> None:
        """Record that a part is sealed, given the hash of each of its calls (`call_hash`), one behind the other."""
        rows = [(shard, part.id, prints, _crc_of_prints(shard, part.id, prints)) for shard, prints in _by_shard(hashes)]
        sip_octets = None if rtp_octets is None else totals.octets - rtp_octets
        imported_us = now_us() if part.owner else None
        with self._transaction():
            done = self._db.execute(
                "UPDATE parts SET state = 'sealed', owner = 0, calls = ?, sip_messages = ?, rtp_packets = ?, "
                "t0_us = ?, t1_us = ?, octets = ?, sip_octets = ?, rtp_octets = ?, "
                "imported_us = coalesce(?, imported_us) WHERE id = ? AND deleted_us IS NULL",
                [*totals, sip_octets, rtp_octets, imported_us, part.id],
            )
            if done.rowcount:
                self._forget_calls(part.id)
                self._db.executemany("INSERT INTO call_prints VALUES (?, ?, ?, ?)", rows)

    def _forget_calls(self, part: int) -> None:
        self._drop("call_prints", part)
        if self._has_former():
            self._db.execute("DELETE FROM call_filter WHERE part = ?", [part])

    def _drop(self, table: str, part: int) -> None:
        # Shard by shard: the table is ordered by them, and a part has rows in each.
        self._db.executemany(
            f"DELETE FROM {table} WHERE shard = ? AND part = ?",
            ((shard, part) for shard in range(_SHARDS)),
        )

    def _has_former(self) -> bool:
        return bool(self._read("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", _FORMER))

    def unlisted(self, part: Part) -> None:
        """Leave a part to readers alone: it is written no more, and asked for every call."""
        with self._transaction():
            self._db.execute(
                "UPDATE parts SET state = 'unlisted', owner = 0 WHERE id = ? AND deleted_us IS NULL", [part.id]
            )
            self._forget_calls(part.id)

    def reopen(self, part: Part) -> None:
        """Give a part that is not sealed to the recorder."""
        with self._transaction():
            # What an import began keeps the age of an import.
            self._db.execute(
                "UPDATE parts SET state = 'open', imported_us = CASE owner WHEN 0 THEN imported_us ELSE ? END, "
                "owner = 0 WHERE id = ?",
                [now_us(), part.id],
            )

    def forget(self, part: Part) -> None:
        """Take a part that is gone out of the catalog."""
        with self._transaction():
            self._forget_calls(part.id)
            self._db.execute("DELETE FROM parts WHERE id = ?", [part.id])

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
        rows = None if call_ids is None else _expired_rows(part.id, call_ids)
        with self._transaction():
            self._drop("expired_filter", part.id)
            if rows is None:
                columns = f"shard, part, {_PRINT_OCTETS}, prints"
                self._db.execute(
                    f"INSERT INTO expired_filter SELECT {columns}, row_crc({columns}) FROM call_prints WHERE part = ?",
                    [part.id],
                )
            else:
                self._db.executemany("INSERT INTO expired_filter VALUES (?, ?, ?, ?, ?)", rows)
            self._forget_calls(part.id)
            self._db.execute(
                "UPDATE parts SET state = 'deleting', deleted_us = ? WHERE id = ? AND state IN ('sealed', 'unlisted')",
                [when_us, part.id],
            )

    def deleted(self, part: Part) -> None:
        """Record that the files of a part are gone."""
        with self._transaction():
            self._db.execute(
                "UPDATE parts SET state = 'deleted', octets = 0, sip_octets = 0, rtp_octets = 0 WHERE id = ?", [part.id]
            )

    def forget_expired(self, now: int) -> int:
        """Drop what is known of parts that were deleted longer than REMEMBERED_US ago; gives how many."""
        old = self._read("SELECT id FROM parts WHERE state = 'deleted' AND deleted_us < ?", now - REMEMBERED_US)
        with self._transaction():
            for (part,) in old:
                self._drop("expired_filter", part)
            self._db.executemany("DELETE FROM parts WHERE id = ?", old)
        return len(old)

    # --- questions ---

    def part(self, number: int) -> Part | None:
        """Give a part as it is now."""
        return next(iter(self._parts("id = ?", number)), None)

    def part_at(self, path: str) -> Part | None:
        """Give the part of a directory, relative to the root."""
        return next(iter(self._parts("path = ?", path)), None)

    def standing(self) -> list[Part]:
        """List the parts that have files, those being deleted among them, by number."""
        return self._parts("state <> 'deleted' ORDER BY id")

    def expired_with(self, call_id: str, near: tuple[int, int] | None = None) -> list[Part]:
        """List the deleted parts that held a call, the newest first; `near` asks only those that touch that time."""
        if self._old:
            return []
        full = call_hash(call_id)
        where, values = "f.shard = ? AND instr(f.prints, substr(?, 1, f.width))", [_shard_of(full), full[2:]]
        if near is not None:
            where, values = where + " AND p.end_us >= ? AND p.start_us <= ?", [*values, *near]
        found = []
        with self._snapshot():
            rows = self._read(
                "SELECT f.shard, f.part, f.width, f.prints, f.crc FROM parts p JOIN expired_filter f ON f.part = p.id "
                f"WHERE p.deleted_us IS NOT NULL AND {where} ORDER BY p.t1_us DESC",
                *values,
            )
            for row in rows:
                _, part, width, prints = self._sound(row)
                if _holds(prints, full[2 : 2 + width]):
                    found += self._parts("id = ?", part)
        return found

    def parts(self) -> list[Part]:
        """List all parts, those with the newest packets first, open ones before all."""
        return list(self._known().parts)

    def open_parts(self) -> list[Part]:
        """List the parts that still grow, or did when their process ended."""
        return self._parts("state IN ('open', 'sealing') ORDER BY id")

    def paths(self) -> set[str]:
        """List the directories of all parts that have files, those in the making too."""
        return {row[0] for row in self._read("SELECT path FROM parts WHERE state <> 'deleted'")}

    def parts_with(self, call_id: str) -> list[Part]:
        """List the parts that may hold a call: those the filter does not know, and those whose filter knows it."""
        full = call_hash(call_id)
        for anew in (False, True, True):
            # The list first: a part that is sealed in between stands in it as one that grows, and is asked as such.
            known = self._known(anew=anew)
            growing = {part.id for part in known.growing}
            hits = [part for part in self._filtered(full, former=known.former) if part not in growing]
            if all(part in known.sealed for part in hits):
                return [*known.growing, *(known.sealed[part] for part in hits)]
        raise StorageError("read", self.root / CATALOG, "its filter names parts that it does not list")

    def _filtered(self, full: bytes, *, former: bool) -> Iterator[int]:
        rows: list[Any] = []
        if not self._old:
            # SQLite looks through the blobs by itself: one Python object for each of thousands of parts costs more.
            rows = self._read(
                "SELECT shard, part, prints, crc FROM call_prints WHERE shard = ? AND instr(prints, ?)",
                _shard_of(full),
                full[2 : 2 + _PRINT_OCTETS],
            )
        for row in rows:
            _, part, prints = self._sound(row)
            if _holds(prints, full[2 : 2 + _PRINT_OCTETS]):
                yield part
        if former:
            statement = f"SELECT shard, part, width, prints, {self._crc} FROM call_filter WHERE shard = ?"
            for row in self._read(statement, full[0]):
                _, part, width, prints = self._sound(row)
                if _holds(prints, full[1 : 1 + width]):
                    yield part

    def _known(self, *, anew: bool = False) -> _Known:
        # The version tells of every commit but those of this connection, and a reader makes none.
        version = self.version()
        if anew or self._cached is None or version != self._cached.version or not self._readonly:
            if self._readonly:
                self._read_as(self._read("PRAGMA user_version")[0][0])
            parts = self._parts(
                "state NOT IN ('making', 'deleting', 'deleted') ORDER BY t1_us IS NOT NULL, t1_us DESC, id DESC"
            )
            self._cached = _Known(
                version,
                parts,
                [part for part in parts if part.state != "sealed"],
                {part.id: part for part in parts if part.state == "sealed"},
                self._has_former(),
            )
        return self._cached

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        self._read("BEGIN")
        try:
            yield
        finally:
            self._read("ROLLBACK")

    def missing_calls(self, part: Part, call_ids: Iterable[str]) -> list[str]:
        """Name the calls that the filter of a sealed part does not know."""
        prints = {shard: found for shard, _, found in self._prints_of(part.id)}
        former = {}
        if self._has_former():
            former = {row[0]: row[2:] for row in self._former_of(part.id)}
        missing = []
        for call_id in call_ids:
            full = call_hash(call_id)
            width, found = former.get(full[0], (2, b""))
            wanted = full[2 : 2 + _PRINT_OCTETS]
            if not (_holds(prints.get(_shard_of(full), b""), wanted) or _holds(found, full[1 : 1 + width])):
                missing.append(call_id)
        return missing

    def _prints_of(self, *parts: int) -> Iterator[tuple[int, int, bytes]]:
        """Read the filter of some parts, of all without any: shard, part and fingerprints, whose checksums hold."""
        if self._old:
            return
        for shard, part, prints, crc in self._some("call_prints", "shard, part, prints, crc", parts):
            try:
                is_sound = crc is None or _crc_of_prints(shard, part, prints) == crc
            except TypeError:  # damage made another type of a column
                is_sound = False
            if not is_sound:
                raise self._unsound()
            yield shard, part, prints

    def _former_of(self, *parts: int) -> Iterator[Any]:
        for row in self._some(_FORMER, f"shard, part, width, prints, {self._crc}", parts):
            yield self._sound(row)

    def _some(self, table: str, columns: str, parts: Sequence[int]) -> Iterator[Any]:
        chosen = f"WHERE part IN ({', '.join('?' * len(parts))})" if parts else ""
        try:
            rows = self._db.execute(f"SELECT {columns} FROM {table} {chosen}", parts)
            while some := rows.fetchmany(_ROWS_A_TURN):
                yield from some
                time.sleep(0)  # whoever waits for the interpreter's lock has it now
        except UNREADABLE as error:
            raise StorageError("read", self.root / CATALOG, str(error)) from None

    def version(self) -> int:
        """Give a number that changes when another process commits."""
        found: int = self._read("PRAGMA data_version")[0][0]
        return found

    def audit(self, audited: set[int] | None = None) -> str:
        """Tell in a sentence what is wrong inside the catalog, having read all of it; empty when nothing is.

        The filters of parts in `audited`, by id, are left out: they never change. Those found right are added to it.
        """
        skipped = audited or set()
        known: dict[int, int] = {}
        try:
            broken: str = self._read("PRAGMA integrity_check(1)")[0][0]
            if broken != "ok":
                return broken.replace("\n", " ")
            with self._snapshot():
                every = self._parts("state = 'sealed' ORDER BY id")
                due = [part for part in every if part.id not in skipped]
                # One by one they are looked for in the whole table: so few only.
                some = [part.id for part in due] if skipped and len(due) <= _FEW else []
                if due:
                    for _, part, prints in self._prints_of(*some):
                        known[part] = known.get(part, 0) + len(prints) // _PRINT_OCTETS
                    if self._has_former():
                        for _, part, width, prints in self._former_of(*some):
                            known[part] = known.get(part, 0) + len(prints) // width
                expired = self._audit_expired(skipped)
        except StorageError as error:
            return error.hint
        except UNREADABLE as error:
            return str(error)
        short = [part.path for part in due if known.get(part.id, 0) < (part.calls or 0)]
        if short:
            return f"the filter lacks calls of {', '.join(short[:3])}"
        if audited is not None:
            audited.update(part.id for part in due)
            audited.update(-part for part in expired)
        return ""

    def _audit_expired(self, skipped: set[int]) -> list[int]:
        """Read the filters of deleted parts whose negative id is not in `skipped`; gives the ids."""
        if self._old:
            return []
        due = [
            part for (part,) in self._read("SELECT id FROM parts WHERE deleted_us IS NOT NULL") if -part not in skipped
        ]
        if due:
            for row in self._some("expired_filter", "shard, part, width, prints, crc", due if len(due) <= _FEW else []):
                self._sound(row)
        return due

    def _parts(self, where: str, *values: object) -> list[Part]:
        rows = self._read(f"SELECT {self._columns}, {self._crc} FROM parts WHERE {where}", *values)
        try:
            return msgspec.convert([self._sound(row) for row in rows], list[Part])
        except msgspec.ValidationError as error:
            raise StorageError("read", self.root / CATALOG, f"a row of it makes no sense: {error}") from None

    def _sound(self, row: Any) -> Any:
        """Give the columns of a row without its checksum, which must hold where there is one."""
        *columns, crc = row
        if crc is not None and _crc_of(*columns) != crc:
            raise self._unsound()
        return columns

    def _unsound(self) -> StorageError:
        return StorageError("read", self.root / CATALOG, "the checksum of a row does not hold")

    def _read(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(statement, values).fetchall()
        except UNREADABLE as error:
            raise StorageError("read", self.root / CATALOG, str(error)) from None

    def reconcile(self) -> list[Path]:
        """Add buckets found on disk that the catalog does not know, or knows as deleted; gives their relative paths.

        A sealed one is added as unlisted, any other as open.
        """
        known = self.paths()
        added = [path for path in find_buckets(self.root, DATABASE, DATA) if path.as_posix() not in known]
        with self._transaction():
            for path in added:
                # One that was deleted was put back by somebody.
                for (part,) in self._read("SELECT id FROM parts WHERE path = ?", path.as_posix()):
                    self._drop("expired_filter", part)
                self._db.execute("DELETE FROM parts WHERE path = ?", [path.as_posix()])
                period = period_at(path)
                self._db.execute(
                    "INSERT INTO parts (path, start_us, end_us, state) VALUES (?, ?, ?, ?)",
                    [path.as_posix(), *period, "unlisted" if is_sealed(self.root / path) else "open"],
                )
        return added


def found_part(root: Path, path: Path, number: int = 0) -> Part:
    """Describe a bucket by its files alone, as one that no catalog lists; `number` is its id where one does."""
    sealed = is_sealed(root / path)
    state, (start_us, end_us) = "sealed" if sealed else "open", period_at(path)
    try:
        when_us = erased_us(root / path) if sealed else None
    except StorageError:
        when_us = None  # opening it says what is wrong
    return Part(
        number, path.as_posix(), start_us, end_us, state, 0, None, None, None, None, None, None, erased_us=when_us
    )  # fmt: skip


def _expired_rows(part: int, call_ids: Iterable[str]) -> list[tuple[int, int, int, bytes, int]]:
    hashes = b"".join(map(call_hash, call_ids))
    rows = [(shard, part, _EXPIRED_OCTETS, prints) for shard, prints in _by_shard(hashes, _EXPIRED_OCTETS)]
    return [(*row, _crc_of(*row)) for row in rows]


def _crc_of_prints(shard: int, part: int, prints: bytes) -> int:
    # _crc_of in one turn: an audit computes hundreds of thousands.
    return crc32c(b"%d\0%d\0%b\0" % (shard, part, prints))


def _crc_of(*columns: object) -> int:
    """Compute the checksum of a row: CRC-32C of its columns, as UTF-8 text and blobs as they are, each ended by 0."""
    crc = 0
    for column in columns:
        octets = column if isinstance(column, bytes) else b"" if column is None else str(column).encode()
        crc = crc32c(octets + b"\0", crc)
    return crc


def call_hash(call_id: str) -> bytes:
    """Hash a Call-ID as the filter of the catalog knows it: 8 octets."""
    return blake2b(call_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _shard_of(full: bytes) -> int:
    return full[0] << 2 | full[1] >> 6


def _by_shard(hashes: bytes, width: int = _PRINT_OCTETS) -> Iterator[tuple[int, bytes]]:
    """Sort hashes into shards; gives each that has any, and their fingerprints of `width` octets, end to end."""
    octets = np.frombuffer(hashes, np.uint8).reshape(-1, 8)
    shards = octets[:, 0].astype(np.uint16) << 2 | octets[:, 1] >> 6
    order: NDArray[np.intp] = np.argsort(shards, kind="stable")
    shards = shards[order]
    prints = octets[order, 2 : 2 + width].tobytes()
    borders = [*np.flatnonzero(np.diff(shards, prepend=-1)).tolist(), len(shards)]
    for start, end in itertools.pairwise(borders):
        yield int(shards[start]), prints[start * width : end * width]


def _holds(prints: bytes, wanted: bytes) -> bool:
    at = prints.find(wanted)
    while at >= 0:
        if at % len(wanted) == 0:
            return True
        at = prints.find(wanted, at + 1)
    return False
