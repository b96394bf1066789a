"""catalog.db: which bucket parts exist or did, and which of them may hold a Call-ID."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from sipflow.clock import DAY_US, now_us
from sipflow.errors import StorageError
from sipflow.storage.call_hash import call_hash
from sipflow.storage.catalog_file import CatalogFile
from sipflow.storage.catalog_schema import COLUMNS, part_crc
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.index import Totals
from sipflow.storage.layout import CATALOG, DATA, DATABASE, PART, Period, directory_of, find_buckets, period_at
from sipflow.storage.part import Part, Revision, found_part
from sipflow.storage.prints import Prints, expired_rows, print_rows
from sipflow.storage.sealed import is_sealed

__all__ = ["REMEMBERED_US", "Catalog", "Part", "Revision", "found_part"]

_FEW = 64
# That a call has expired is told for so long; then its fingerprint goes as well.
REMEMBERED_US = 400 * DAY_US


class _Known(NamedTuple):
    """The parts as the catalog listed them when it was of this `version` (PRAGMA data_version), newest first."""

    version: int
    parts: list[Part]
    growing: list[Part]
    sealed: dict[int, Part]
    former: bool


class Catalog:
    """The catalog of one data root. One thread at a time; several processes may have it open.

    What cannot be read or written raises StorageError; only `audit` tells it instead.
    """

    def __init__(self, root: Path, *, readonly: bool = False, rest_seconds: float = 0) -> None:
        """Open the catalog, making it unless `readonly`, but never its root. Raises StorageError, NewerFormat.

        `rest_seconds` between the turns of an audit leave the interpreter's lock to the other threads.
        """
        self.root = root
        self._cached: _Known | None = None
        self._file = CatalogFile(root, readonly=readonly, rest_seconds=rest_seconds)
        self._prints = Prints(self._file)

    def close(self) -> None:
        """Close the database."""
        self._file.close()

    def interrupt(self) -> None:
        """Let an audit fail that another thread makes here."""
        self._file.interrupt()

    def claim(self, period: Period, owner: int = 0) -> Part:
        """Find the part that takes new packets of a period, or add one.

        The recorder (owner 0) goes on with its own open part; a part is never opened again once sealed, so late
        packets and imports make a numbered one beside it.
        """
        with self._file.transaction():
            row = self._file.write(
                f"SELECT {COLUMNS} FROM parts "
                "WHERE start_us = ? AND end_us = ? AND state IN ('making', 'open') AND owner = ?",
                period.start_us,
                period.end_us,
                owner,
            ).fetchone()
            if row is not None:
                return Part(*row)
            path = self._free_path(directory_of(period))
            row = self._file.write(
                "INSERT INTO parts (path, start_us, end_us, state, owner) VALUES (?, ?, ?, 'making', ?) "
                f"RETURNING {COLUMNS}",
                path,
                period.start_us,
                period.end_us,
                owner,
            ).fetchone()
        return Part(*row)

    def made(self, part: Part) -> None:
        """Show a claimed part to readers, now that its files stand."""
        with self._file.transaction():
            self._file.write("UPDATE parts SET state = 'open' WHERE id = ? AND state = 'making'", part.id)

    def sealing(self, part: Part) -> None:
        """Record that a part is not written any more: no claim finds it again."""
        with self._file.transaction():
            self._file.write("UPDATE parts SET state = 'sealing' WHERE id = ?", part.id)

    def _free_path(self, directory: Path) -> str:
        taken = {row[0] for row in self._file.read("SELECT path FROM parts")}
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
        rows = print_rows(part.id, hashes)
        sip_octets = None if rtp_octets is None else totals.octets - rtp_octets
        imported_us = now_us() if part.owner else None
        with self._file.transaction():
            done = self._file.write(
                "UPDATE parts SET state = 'sealed', owner = 0, calls = ?, sip_messages = ?, rtp_packets = ?, "
                "t0_us = ?, t1_us = ?, octets = ?, sip_octets = ?, rtp_octets = ?, "
                "imported_us = coalesce(?, imported_us) WHERE id = ? AND deleted_us IS NULL",
                *totals,
                sip_octets,
                rtp_octets,
                imported_us,
                part.id,
            )
            if done.rowcount:
                self._prints.put(part.id, rows)

    def unlisted(self, part: Part) -> None:
        """Leave a part to readers alone: it is written no more, and asked for every call."""
        with self._file.transaction():
            self._file.write(
                "UPDATE parts SET state = 'unlisted', owner = 0 WHERE id = ? AND deleted_us IS NULL", part.id
            )
            self._prints.drop(part.id)

    def reopen(self, part: Part) -> None:
        """Give a part that is not sealed to the recorder."""
        with self._file.transaction():
            # What an import began keeps the age of an import.
            self._file.write(
                "UPDATE parts SET state = 'open', imported_us = CASE owner WHEN 0 THEN imported_us ELSE ? END, "
                "owner = 0 WHERE id = ?",
                now_us(),
                part.id,
            )

    def forget(self, part: Part) -> None:
        """Take a part that is gone out of the catalog."""
        with self._file.transaction():
            self._prints.drop(part.id)
            self._file.write("DELETE FROM parts WHERE id = ?", part.id)

    # --- what becomes of sealed parts ---

    def packed(self, part: Part, totals: Totals, rtp_octets: int, when_us: int) -> bool:
        """Record that the files of a sealed part were replaced by packed ones; False when it went meanwhile."""
        with self._file.transaction():
            done = self._file.write(
                "UPDATE parts SET packed_us = ?, octets = ?, sip_octets = ?, rtp_octets = ? "
                "WHERE id = ? AND state = 'sealed' AND evicted_us IS NULL",
                when_us,
                totals.octets,
                totals.octets - rtp_octets,
                rtp_octets,
                part.id,
            )
        return done.rowcount == 1

    def archived(self, part: Part, key: str, when_us: int) -> bool:
        """Record that all objects of a sealed part stand under `key` and were verified; False when it went meanwhile.

        It must be in the state that `part` tells of: what was packed or erased while it travelled is another file.
        """
        with self._file.transaction():
            done = self._file.write(
                "UPDATE parts SET archived_us = ?, archive_key = ? WHERE id = ? AND state = 'sealed' "
                "AND erased_us IS ? AND packed_us IS ? AND evicted_us IS NULL",
                when_us,
                key,
                part.id,
                part.erased_us,
                part.packed_us,
            )
        return done.rowcount == 1

    def unarchived(self, part: Part) -> None:
        """Record that the objects of a part are not there any more, or not to be believed."""
        with self._file.transaction():
            self._file.write("UPDATE parts SET archived_us = NULL, archive_key = NULL WHERE id = ?", part.id)

    def evicting(self, part: Part, when_us: int) -> bool:
        """Record that the local files of an archived part are given up, before any goes; False when it may not be."""
        with self._file.transaction():
            done = self._file.write(
                "UPDATE parts SET evicted_us = ? WHERE id = ? AND state = 'sealed' AND archived_us IS NOT NULL",
                when_us,
                part.id,
            )
        return done.rowcount == 1

    def adopt(self, part: Part, hashes: bytes) -> bool:
        """Add a part that only an archive knows, with the hash of each of its calls; False when it is listed already.

        Its number is given here, whatever `part` says.
        """
        columns = [name for name in Part._fields if name != "id"]
        with self._file.transaction():
            row = self._file.write(
                f"INSERT INTO parts ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
                "ON CONFLICT (path) DO NOTHING RETURNING id",
                *(getattr(part, name) for name in columns),
            ).fetchone()
            if row is not None:
                self._prints.put(row[0], print_rows(row[0], hashes))
        return row is not None

    def relisted(self, part: Part, hashes: bytes) -> None:
        """Give an evicted part back its filter, which was dropped as damaged: the hash of each call, end to end."""
        rows = print_rows(part.id, hashes)
        with self._file.transaction():
            done = self._file.write(
                "UPDATE parts SET state = 'sealed' WHERE id = ? AND state = 'unlisted' AND evicted_us IS NOT NULL",
                part.id,
            )
            if done.rowcount:
                self._prints.put(part.id, rows)

    def returned(self, part: Part) -> None:
        """Record that the local files of a part stand again."""
        with self._file.transaction():
            self._file.write("UPDATE parts SET evicted_us = NULL WHERE id = ? AND state = 'sealed'", part.id)

    # --- what retention does to parts ---

    def counted(self, part: Part, sip_octets: int, rtp_octets: int) -> None:
        """Record the octets of a sealed part by kind."""
        with self._file.transaction():
            self._file.write(
                "UPDATE parts SET sip_octets = ?, rtp_octets = ?, octets = ? WHERE id = ? AND state = 'sealed'",
                sip_octets,
                rtp_octets,
                sip_octets + rtp_octets,
                part.id,
            )

    def erasing(self, part: Part, when_us: int) -> None:
        """Record that the media of a part is given up, before any of it is erased."""
        with self._file.transaction():
            self._file.write(
                "UPDATE parts SET erased_us = ? WHERE id = ? AND state = 'sealed' AND erased_us IS NULL",
                when_us,
                part.id,
            )

    def deleting(self, part: Part, when_us: int, call_ids: Iterable[str] | None) -> None:
        """Record that a part is given up, before any of it is removed; from now on it only tells what has expired.

        Its calls are then known by longer fingerprints, made of `call_ids`; None keeps those it has.
        """
        self.expiring(part, when_us, None if call_ids is None else b"".join(map(call_hash, call_ids)))

    def expiring(self, part: Part, when_us: int, hashes: bytes | None) -> None:
        """Do what `deleting` does, given the hash of each call (`call_hash`), one behind the other."""
        rows = None if hashes is None else expired_rows(part.id, hashes)
        with self._file.transaction():
            self._prints.expire(part.id, rows)
            self._file.write(
                "UPDATE parts SET state = 'deleting', deleted_us = ? WHERE id = ? AND state IN ('sealed', 'unlisted')",
                when_us,
                part.id,
            )

    def deleted(self, part: Part) -> None:
        """Record that the files of a part are gone."""
        with self._file.transaction():
            self._file.write(
                "UPDATE parts SET state = 'deleted', octets = 0, sip_octets = 0, rtp_octets = 0 WHERE id = ?", part.id
            )

    def forget_expired(self, now: int) -> int:
        """Drop what is known of parts that were deleted longer than REMEMBERED_US ago; gives how many."""
        old = self._file.read("SELECT id FROM parts WHERE state = 'deleted' AND deleted_us < ?", now - REMEMBERED_US)
        with self._file.transaction():
            for (part,) in old:
                self._prints.drop_expired(part)
            self._file.write_many("DELETE FROM parts WHERE id = ?", old)
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
        with self._file.snapshot():
            return [one for part in self._prints.expired_with(call_id, near) for one in self._parts("id = ?", part)]

    def parts(self) -> list[Part]:
        """List all parts, those with the newest packets first, open ones before all."""
        return list(self._known().parts)

    def open_parts(self) -> list[Part]:
        """List the parts that still grow, or did when their process ended."""
        return self._parts("state IN ('open', 'sealing') ORDER BY id")

    def written_no_more(self) -> list[Part]:
        """List the parts that readers alone have, sealed or given up, whose calls the filter does not know."""
        return self._parts("state = 'unlisted' ORDER BY id")

    def paths(self) -> set[str]:
        """List the directories of all parts that have files, those in the making too."""
        return {row[0] for row in self._file.read("SELECT path FROM parts WHERE state <> 'deleted'")}

    def parts_with(self, call_id: str) -> list[Part]:
        """List the parts that may hold a call: those the filter does not know, and those whose filter knows it."""
        full = call_hash(call_id)
        for anew in (False, True, True):
            # The list first: a part that is sealed in between stands in it as one that grows, and is asked as such.
            known = self._known(anew=anew)
            growing = {part.id for part in known.growing}
            hits = [part for part in self._prints.parts_with(full, former=known.former) if part not in growing]
            if all(part in known.sealed for part in hits):
                return [*known.growing, *(known.sealed[part] for part in hits)]
        raise StorageError("read", self.root / CATALOG, "its filter names parts that it does not list")

    def _known(self, *, anew: bool = False) -> _Known:
        # The version tells of every commit but those of this connection, and a reader makes none.
        version = self.version()
        if anew or self._cached is None or version != self._cached.version or not self._file.readonly:
            self._file.look_again()
            parts = self._parts(
                "state NOT IN ('making', 'deleting', 'deleted') ORDER BY t1_us IS NOT NULL, t1_us DESC, id DESC"
            )
            self._cached = _Known(
                version,
                parts,
                [part for part in parts if part.state != "sealed"],
                {part.id: part for part in parts if part.state == "sealed"},
                self._file.has_former(),
            )
        return self._cached

    def missing_calls(self, part: Part, call_ids: Iterable[str]) -> list[str]:
        """Name the calls that the filter of a sealed part does not know."""
        return self._prints.missing(part.id, call_ids)

    def version(self) -> int:
        """Give a number that changes when another process commits."""
        return self._file.version()

    def damage(self) -> str:
        """Tell in a sentence what is wrong with its pages and its parts; empty when nothing is.

        Of the filters only the pages are looked at: `audit` reads them row by row, which takes ten times as long.
        """
        try:
            broken: str = self._file.read("PRAGMA integrity_check(1)")[0][0]
            if broken == "ok":
                self._parts("true")
        except StorageError as error:
            return error.hint
        except UNREADABLE as error:
            return str(error)
        return "" if broken == "ok" else broken.replace("\n", " ")

    def audit(self, audited: set[int] | None = None) -> str:
        """Tell in a sentence what is wrong inside the catalog, having read all of it; empty when nothing is.

        The filters of parts in `audited`, by id, are left out: they never change. Those found right are added to it.
        """
        skipped = audited or set()
        wrong = self.damage()
        if wrong:
            return wrong
        try:
            with self._file.snapshot():
                due = [part for part in self._parts("state = 'sealed' ORDER BY id") if part.id not in skipped]
                # One by one they are looked for in the whole table: so few only.
                some = [part.id for part in due] if skipped and len(due) <= _FEW else []
                known = self._prints.counted(some) if due else {}
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
        if self._file.old:
            return []
        every = [part for (part,) in self._file.read("SELECT id FROM parts WHERE deleted_us IS NOT NULL")]
        due = [part for part in every if -part not in skipped]
        if due:
            self._prints.check_expired(due if len(due) <= _FEW else [])
        return due

    def _parts(self, where: str, *values: object) -> list[Part]:
        rows = self._file.read(f"SELECT {self._file.columns}, {self._file.crc} FROM parts WHERE {where}", *values)
        try:
            return msgspec.convert([self._file.sound(row, part_crc) for row in rows], list[Part])
        except msgspec.ValidationError as error:
            raise StorageError("read", self.root / CATALOG, f"a row of it makes no sense: {error}") from None

    def forget_filters(self) -> None:
        """Leave all sealed parts unlisted, with no filter of their calls; what has expired stays where it is sound."""
        with self._file.transaction():
            self._prints.drop_all()
            self._file.write("UPDATE parts SET state = 'unlisted' WHERE state = 'sealed'")

    def reconcile(self) -> list[Path]:
        """Add buckets found on disk that the catalog does not know, or knows as deleted; gives their relative paths.

        A sealed one is added as unlisted, any other as open.
        """
        known = self.paths()
        added = [path for path in find_buckets(self.root, DATABASE, DATA) if path.as_posix() not in known]
        with self._file.transaction():
            for path in added:
                # One that was deleted was put back by somebody.
                for (part,) in self._file.read("SELECT id FROM parts WHERE path = ?", path.as_posix()):
                    self._prints.drop_expired(part)
                self._file.write("DELETE FROM parts WHERE path = ?", path.as_posix())
                period = period_at(path)
                self._file.write(
                    "INSERT INTO parts (path, start_us, end_us, state) VALUES (?, ?, ?, ?)",
                    path.as_posix(),
                    *period,
                    "unlisted" if is_sealed(self.root / path) else "open",
                )
        return added
