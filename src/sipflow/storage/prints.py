"""The fingerprints of calls: by them the catalog tells where a Call-ID may be without opening a bucket."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from sipflow.storage.call_hash import PRINT_OCTETS, SHARDS, by_shard, call_hash, holds, shard_of
from sipflow.storage.catalog_file import CatalogFile
from sipflow.storage.catalog_schema import FORMER
from sipflow.storage.row_crc import prints_crc, row_crc

# Of 400 million deleted calls an unknown Call-ID is taken for one once in 10,000 questions.
_EXPIRED_OCTETS = 4
# As the tables have them: shard, part, (width,) fingerprints, checksum.
PrintRow: TypeAlias = tuple[int, int, bytes, int]
ExpiredRow: TypeAlias = tuple[int, int, int, bytes, int]


class Prints:
    """The tables of fingerprints in one catalog: of sealed parts, of those that version 1 sealed, of deleted ones.

    What changes them must be called inside a transaction of the file. What reads them raises StorageError.
    """

    def __init__(self, file: CatalogFile) -> None:
        """Work on an open catalog."""
        self._file = file

    # --- of parts that stand ---

    def put(self, part: int, rows: list[PrintRow]) -> None:
        """Let a part be known for the calls of some rows (`print_rows`), and for no others."""
        self.drop(part)
        self._file.write_many("INSERT INTO call_prints VALUES (?, ?, ?, ?)", rows)

    def drop(self, part: int) -> None:
        """Forget the calls of a part."""
        self._drop("call_prints", part)
        if self._file.has_former():
            self._file.write(f"DELETE FROM {FORMER} WHERE part = ?", part)

    def drop_all(self) -> None:
        """Forget the calls of all parts; of those that have expired only the rows whose checksum does not hold."""
        self._file.write("DELETE FROM call_prints")
        if self._file.has_former():
            self._file.write(f"DELETE FROM {FORMER}")
        self._file.write("DELETE FROM expired_filter WHERE crc <> row_crc(shard, part, width, prints)")

    def _drop(self, table: str, part: int) -> None:
        # Shard by shard: the table is ordered by them, and a part has rows in each.
        self._file.write_many(
            f"DELETE FROM {table} WHERE shard = ? AND part = ?", ((shard, part) for shard in range(SHARDS))
        )

    def parts_with(self, full: bytes, *, former: bool) -> Iterator[int]:
        """Name the parts that may hold a call, by its hash; `former` asks what version 1 sealed as well."""
        rows: list[Any] = []
        wanted = full[2 : 2 + PRINT_OCTETS]
        if not self._file.old:
            # SQLite looks through the blobs by itself: one Python object for each of thousands of parts costs more.
            rows = self._file.read(
                "SELECT shard, part, prints, crc FROM call_prints WHERE shard = ? AND instr(prints, ?)",
                shard_of(full),
                wanted,
            )
        for row in rows:
            _, part, prints = self._file.sound(row)
            if holds(prints, wanted):
                yield part
        if former:
            statement = f"SELECT shard, part, width, prints, {self._file.crc} FROM {FORMER} WHERE shard = ?"
            for row in self._file.read(statement, full[0]):
                _, part, width, prints = self._file.sound(row)
                if holds(prints, full[1 : 1 + width]):
                    yield part

    def missing(self, part: int, call_ids: Iterable[str]) -> list[str]:
        """Name the calls that a part is not known for."""
        known = {shard: found for shard, _, found in self._of_parts([part])}
        former = {}
        if self._file.has_former():
            former = {row[0]: row[2:] for row in self._former_of([part])}
        missing = []
        for call_id in call_ids:
            full = call_hash(call_id)
            width, found = former.get(full[0], (2, b""))
            wanted = full[2 : 2 + PRINT_OCTETS]
            if not (holds(known.get(shard_of(full), b""), wanted) or holds(found, full[1 : 1 + width])):
                missing.append(call_id)
        return missing

    def counted(self, parts: Sequence[int]) -> dict[int, int]:
        """Count the fingerprints of some parts, of all when none is named, having held each row to its checksum."""
        count: dict[int, int] = {}
        for _, part, prints in self._of_parts(parts):
            count[part] = count.get(part, 0) + len(prints) // PRINT_OCTETS
        if self._file.has_former():
            for _, part, width, prints in self._former_of(parts):
                count[part] = count.get(part, 0) + len(prints) // width
        return count

    def _of_parts(self, parts: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
        if self._file.old:
            return
        for shard, part, prints, crc in self._file.of_parts("call_prints", "shard, part, prints, crc", parts):
            try:
                is_sound = crc is None or prints_crc(shard, part, prints) == crc
            except TypeError:  # damage made another type of a column
                is_sound = False
            if not is_sound:
                raise self._file.unsound()
            yield shard, part, prints

    def _former_of(self, parts: Sequence[int]) -> Iterator[Any]:
        for row in self._file.of_parts(FORMER, f"shard, part, width, prints, {self._file.crc}", parts):
            yield self._file.sound(row)

    # --- of parts that are deleted ---

    def expire(self, part: int, rows: list[ExpiredRow] | None) -> None:
        """Move the calls of a part to those that have expired, as the rows say (`expired_rows`); None keeps its own."""
        self._drop("expired_filter", part)
        if rows is None:
            columns = f"shard, part, {PRINT_OCTETS}, prints"
            self._file.write(
                f"INSERT INTO expired_filter SELECT {columns}, row_crc({columns}) FROM call_prints WHERE part = ?", part
            )
        else:
            self._file.write_many("INSERT INTO expired_filter VALUES (?, ?, ?, ?, ?)", rows)
        self.drop(part)

    def drop_expired(self, part: int) -> None:
        """Forget what has expired with a part."""
        self._drop("expired_filter", part)

    def expired_with(self, call_id: str, near: tuple[int, int] | None) -> list[int]:
        """Name the deleted parts that held a call, the newest first; `near` asks only those that touch that time."""
        if self._file.old:
            return []
        full = call_hash(call_id)
        where, values = "f.shard = ? AND instr(f.prints, substr(?, 1, f.width))", [shard_of(full), full[2:]]
        if near is not None:
            where, values = where + " AND p.end_us >= ? AND p.start_us <= ?", [*values, *near]
        rows = self._file.read(
            "SELECT f.shard, f.part, f.width, f.prints, f.crc FROM parts p JOIN expired_filter f ON f.part = p.id "
            f"WHERE p.deleted_us IS NOT NULL AND {where} ORDER BY p.t1_us DESC",
            *values,
        )
        found = []
        for row in rows:
            _, part, width, prints = self._file.sound(row)
            if holds(prints, full[2 : 2 + width]):
                found.append(part)
        return found

    def check_expired(self, parts: Sequence[int]) -> None:
        """Hold what has expired with some parts, with all when none is named, to its checksums."""
        for row in self._file.of_parts("expired_filter", "shard, part, width, prints, crc", parts):
            self._file.sound(row)


def print_rows(part: int, hashes: bytes) -> list[PrintRow]:
    """Make the rows of a part that is known for calls, given the hash of each (`call_hash`), one behind the other."""
    return [(shard, part, prints, prints_crc(shard, part, prints)) for shard, prints in by_shard(hashes)]


def expired_rows(part: int, hashes: bytes) -> list[ExpiredRow]:
    """Make the rows of a part whose calls have expired, given as to `print_rows`, with fingerprints that are longer."""
    rows = [(shard, part, _EXPIRED_OCTETS, prints) for shard, prints in by_shard(hashes, _EXPIRED_OCTETS)]
    return [(*row, row_crc(*row)) for row in rows]
