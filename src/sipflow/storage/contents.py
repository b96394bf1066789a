"""What an index says that its data.raw holds, whichever schema version wrote it: all SQL of that is here."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from sipflow.errors import NewerFormat, StorageError
from sipflow.storage.index import Totals
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.swap import pair_of

# What sqlite3 raises over a damaged file; text that is no UTF-8 comes as the last.
UNREADABLE = (sqlite3.Error, sqlite3.Warning, UnicodeDecodeError)
_ROWS_AT_ONCE = 5_000
_EXAMPLES = 20


class BlockListed(NamedTuple):
    """A block as the index lists it."""

    offset: int
    length: int
    kind: int
    records: int
    t0_us: int
    t1_us: int
    chunk: int


class SipListed(NamedTuple):
    """A SIP message as the index lists it; `call_id` and the ends are None when the row refers to nothing."""

    block: int
    position: int
    call_id: str | None
    t0_us: int
    src: str | None
    dst: str | None
    method: str
    status: int | None
    cseq: int | None


class MediaListed(NamedTuple):
    """A chunk of media as the index lists it; None where the row refers to nothing."""

    block: int
    call_id: str | None
    t0_us: int
    t1_us: int
    leg: int | None
    src: str | None
    dst: str | None
    ssrc: int | None
    packets: int


class _Schema(NamedTuple):
    """The questions to one schema version. Those for rows take the last id seen and a limit, and give the id first."""

    blocks: str
    sip: str
    media: str
    disorder: str
    end: str
    records: str
    miscounted: str


_DISORDER = """
SELECT 1 FROM (SELECT block, lag(block) OVER (ORDER BY id) AS before FROM {table}) WHERE block < before LIMIT 1
"""
_MISCOUNTED = """
SELECT call_id FROM (
    SELECT c.call_id, c.sip_messages, c.rtp_packets,
        (SELECT count(*) FROM sip_msgs s WHERE {of_call}) AS sip, ({packets}) AS rtp
    FROM call_meta c
) WHERE sip_messages <> sip OR coalesce(rtp_packets, rtp) <> rtp LIMIT ?
"""
_RECORDS_COUNTED = "SELECT coalesce(sum(sip_messages), 0), coalesce(sum(rtp_packets), 0) FROM call_meta"
# By version, how messages are found by their call: 2 keeps those of a call together.
_OF_CALL = {1: "s.call = c.id", 2: "s.id >= (c.id << 32) AND s.id < ((c.id + 1) << 32)"}
_SUMMARY = "SELECT count(*), min(first_us), max(last_us) FROM call_meta"

_SCHEMAS = {
    1: _Schema(
        blocks="SELECT offset, offset, length, kind, records, t0_us, t1_us, chunk FROM blocks "
        "WHERE offset > ? ORDER BY offset LIMIT ?",
        sip="SELECT s.id, s.block, s.position, c.call_id, s.t0_us, s.src, s.dst, s.method, s.status, s.cseq "
        "FROM sip_msgs s LEFT JOIN call_meta c ON c.id = s.call WHERE s.id > ? ORDER BY s.id LIMIT ?",
        media="SELECT m.id, m.block, c.call_id, m.t0_us, m.t1_us, m.leg, m.src, m.dst, m.ssrc, m.packets "
        "FROM media_msgs m LEFT JOIN call_meta c ON c.id = m.call WHERE m.id > ? ORDER BY m.id LIMIT ?",
        disorder=_DISORDER,
        end="SELECT coalesce(max(offset + length), 0) FROM blocks",
        records="SELECT coalesce(sum(records) FILTER (WHERE kind = 1), 0), "
        "coalesce(sum(records) FILTER (WHERE kind = 2), 0) FROM blocks",
        miscounted=_MISCOUNTED.format(
            of_call=_OF_CALL[1], packets="SELECT coalesce(sum(packets), 0) FROM media_msgs m WHERE m.call = c.id"
        ),
    ),
    2: _Schema(
        blocks="",
        sip="SELECT s.id, s.block, s.position, c.call_id, s.t0_us, p.src, p.dst, s.method, s.status, s.cseq "
        "FROM sip_msgs s LEFT JOIN call_meta c ON c.id = s.call LEFT JOIN paths p ON p.id = s.path "
        "WHERE s.id > ? ORDER BY s.id LIMIT ?",
        media="SELECT m.id, m.block, c.call_id, m.t0_us, m.t0_us + m.span_us, t.leg, t.src, t.dst, t.ssrc, m.packets "
        "FROM media_msgs m LEFT JOIN streams t ON t.id = m.stream LEFT JOIN call_meta c ON c.id = t.call "
        "WHERE m.id > ? ORDER BY m.id LIMIT ?",
        disorder=_DISORDER,
        end="SELECT coalesce(max(value), 0) FROM state WHERE name = 'end'",
        records="SELECT (SELECT count(*) FROM sip_msgs), (SELECT coalesce(sum(packets), 0) FROM media_msgs)",
        miscounted=_MISCOUNTED.format(
            of_call=_OF_CALL[2],
            packets="SELECT coalesce(sum(packets), 0) FROM streams t JOIN media_msgs m ON m.stream = t.id "
            "WHERE t.call = c.id",
        ),
    ),
}

T = TypeVar("T", BlockListed, SipListed, MediaListed)


class Contents:
    """The index of one bucket, read for checking. One thread at a time.

    No connection is held between two looks, so that a server can seal the bucket meanwhile.
    Every method raises StorageError when the index cannot be read. `erased_us` is when its media was erased, None when
    it was not.
    """

    def __init__(self, directory: Path, *, sealed: bool) -> None:
        """Look at the index in `directory`. Raises NewerFormat, StorageError."""
        self.directory = directory
        self.database = pair_of(directory).database
        self._sealed = sealed
        version = self._ask("PRAGMA user_version")[0][0]
        if version not in _SCHEMAS:
            if version > max(_SCHEMAS):
                raise NewerFormat("read", self.database, f"index version {version} was written by a later sipflow")
            raise StorageError("read", self.database, f"it is no index: found version {version}")
        self._schema = _SCHEMAS[version]
        self.erased_us: int | None = None
        if self._ask("SELECT 1 FROM sqlite_schema WHERE name = 'erased'"):
            self.erased_us = next((when for (when,) in self._ask("SELECT min(erased_us) FROM erased")), None)
            # What is erased still counts.
            miscounted = _MISCOUNTED.format(of_call=_OF_CALL[version], packets="SELECT coalesce(c.rtp_packets, 0)")
            self._schema = self._schema._replace(records=_RECORDS_COUNTED, miscounted=miscounted)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        flags = "&immutable=1" if self._sealed else ""
        try:
            # SQLite would take an empty file for an empty database.
            if self.database.stat().st_size == 0:
                raise StorageError("read", self.database, "it is empty")
            uri = f"{self.database.resolve().as_uri()}?mode=ro{flags}"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                yield connection
        except (*UNREADABLE, OSError) as error:
            raise StorageError("read", self.database, getattr(error, "strerror", None) or str(error)) from None

    def _ask(self, statement: str, *values: object) -> list[Any]:
        with self._connection() as connection:
            return connection.execute(statement, values).fetchall()

    def integrity(self) -> str:
        """Give what SQLite finds wrong with the file, in its words; empty when nothing."""
        found: str = self._ask("PRAGMA integrity_check(1)")[0][0]
        return "" if found == "ok" else found.replace("\n", " ")

    def end(self) -> int:
        """Tell where the data ends that the index knows [octets]."""
        found = self._ask(self._schema.end)
        return int(found[0][0]) if found else 0

    def totals(self) -> Totals:
        """Sum up what a sealed bucket holds."""
        calls, t0, t1 = self._ask(_SUMMARY)[0]
        sip, rtp = self._ask(self._schema.records)[0]
        try:
            octets = sum((self.directory / name).stat().st_size for name in (DATA, DATABASE))
        except OSError as error:
            raise StorageError("read", self.directory, error.strerror or str(error)) from None
        return Totals(calls, sip, rtp, t0, t1, octets)

    def call_ids(self) -> Iterator[str]:
        """Go through the Call-IDs."""
        for row in self._rows("SELECT id, call_id FROM call_meta WHERE id > ? ORDER BY id LIMIT ?"):
            if not isinstance(row[0], str):
                raise StorageError("read", self.database, "a Call-ID in it is no text")
            yield row[0]

    def miscounted(self) -> list[str]:
        """Name some calls whose counts of messages and packets are not those of their rows."""
        return [str(row[0]) for row in self._ask(self._schema.miscounted, _EXAMPLES)]

    def blocks(self) -> Iterator[BlockListed] | None:
        """Go through the blocks by offset; None when this schema does not list them."""
        return self._typed(self._schema.blocks, BlockListed) if self._schema.blocks else None

    def sip(self) -> Iterator[SipListed]:
        """Go through the SIP messages by block."""
        return self._by_block("sip_msgs", self._schema.sip, SipListed)

    def media(self) -> Iterator[MediaListed]:
        """Go through the chunks of media by block."""
        return self._by_block("media_msgs", self._schema.media, MediaListed)

    def _by_block(self, table: str, statement: str, kind: type[T]) -> Iterator[T]:
        # Rows are written as their blocks are. Should they ever stand otherwise, they are sorted, at a price.
        if not self._ask(self._schema.disorder.format(table=table)):
            return self._typed(statement, kind)
        return (self._checked(row, kind) for row in self._sorted(f"SELECT * FROM ({statement}) ORDER BY block"))  # noqa: S608 - a constant

    def _typed(self, statement: str, kind: type[T]) -> Iterator[T]:
        return (self._checked(row, kind) for row in self._rows(statement))

    def _rows(self, statement: str) -> Iterator[Any]:
        last = -(1 << 63)
        while rows := self._ask(statement, last, _ROWS_AT_ONCE):
            yield from (row[1:] for row in rows)
            last = rows[-1][0]

    def _sorted(self, statement: str) -> Iterator[Any]:
        with self._connection() as connection:
            for row in connection.execute(statement, [-(1 << 63), -1]):
                yield row[1:]

    def _checked(self, row: Any, kind: type[T]) -> T:
        try:
            return msgspec.convert(row, kind)
        except msgspec.ValidationError as error:
            raise StorageError("read", self.database, f"a row of it makes no sense: {error}") from None
