"""sipflow.db: the index of one bucket, and the rows it is made of."""

import os
import sqlite3
from collections.abc import Container, Iterator, Sequence
from copy import copy
from importlib import resources
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from sipflow.errors import NewerFormat, StorageError
from sipflow.wire.dialog import CallDigest

SCHEMA_VERSION = 1
_CACHED_CALLS = 50_000  # about 60 MB: the calls of some minutes at the highest rates
_PAGE_CACHE_KIB = 16_384
_FIELDS = CallDigest.__struct_fields__
_COLUMNS = ", ".join(_FIELDS)
_STORE_CALL = (
    f"INSERT INTO call_meta ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))}) ON CONFLICT (call_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _FIELDS if name != "call_id")
)
_values_of = attrgetter(*_FIELDS)
# Calls looked up by one statement: always so many marks, so that it is prepared once; those left over stay NULL.
_LOOK_UP = 128
_CALLS_AMONG = f"SELECT id, {_COLUMNS} FROM call_meta WHERE call_id IN ({', '.join('?' * _LOOK_UP)})"
# What only the whole bucket knows of a call's media, filled in once it is complete.
_SUM_MEDIA = """
UPDATE call_meta SET rtp_packets = m.packets, rtp_streams = m.streams,
    first_us = min(first_us, coalesce(m.t0, first_us)), last_us = max(last_us, coalesce(m.t1, last_us))
FROM (
    SELECT c.id, coalesce(sum(s.packets), 0) AS packets, count(s.ssrc) AS streams, min(s.t0) AS t0, max(s.t1) AS t1
    FROM call_meta c LEFT JOIN (
        SELECT call, ssrc, sum(packets) AS packets, min(t0_us) AS t0, max(t1_us) AS t1
        FROM media_msgs GROUP BY call, leg, src, dst, ssrc
    ) s ON s.call = c.id GROUP BY c.id
) m WHERE m.id = call_meta.id
"""


class BlockRow(NamedTuple):
    """A block as the index lists it; `offset` counts from the start of the batch until it is committed."""

    offset: int
    length: int
    kind: int
    records: int
    t0_us: int
    t1_us: int
    chunk: int


class SipRow(NamedTuple):
    """A SIP message as the index lists it; `block` counts like BlockRow.offset."""

    call_id: str
    t0_us: int
    src: str
    dst: str
    method: str
    status: int | None
    cseq: int | None
    block: int
    position: int


class MediaRow(NamedTuple):
    """A chunk of a media stream as the index lists it; `block` counts like BlockRow.offset."""

    call_id: str
    t0_us: int
    t1_us: int
    leg: int
    src: str
    dst: str
    ssrc: int | None
    payload_type: int | None
    packets: int
    lost: int
    jitter_us: int | None
    first_seq: int | None
    last_seq: int | None
    block: int


class Portion(NamedTuple):
    """Blocks ready to be appended, and everything the index will say of them."""

    data: bytes
    blocks: Sequence[BlockRow]
    sip: Sequence[SipRow]
    media: Sequence[MediaRow]
    calls: Sequence[CallDigest]


class Totals(NamedTuple):
    """What a bucket holds: numbers of calls, SIP messages and RTP packets, first and last time, octets on disk."""

    calls: int
    sip_messages: int
    rtp_packets: int
    t0_us: int | None
    t1_us: int | None
    octets: int


def connect(database: Path, *, readonly: bool, immutable: bool = False) -> sqlite3.Connection:
    """Open an index, checking that this version can read it. Raises NewerFormat or StorageError."""
    mode = "ro" if readonly else "rwc"
    uri = f"{database.resolve().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
    except sqlite3.Error as error:
        raise StorageError("open", database, str(error)) from None
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        connection.close()
        raise StorageError("open", database, str(error)) from None
    if version > SCHEMA_VERSION:
        connection.close()
        raise NewerFormat(
            "open", database, f"index version {version} was written by a later sipflow; this one reads {SCHEMA_VERSION}"
        )
    return connection


class Index:
    """An index open for writing. One thread at a time.

    Raises sqlite3.Error as it comes: whoever owns the data beside it says what failed.
    """

    def __init__(self, database: Path) -> None:
        """Open the index, or make an empty one. Raises StorageError, NewerFormat."""
        self._database = database
        try:
            os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StorageError("open", database, error.strerror or str(error)) from None
        self._db = connect(database, readonly=False)
        self._ids: dict[str, int] = {}
        self._digests: dict[str, CallDigest] = {}
        self._db.execute("PRAGMA journal_mode = WAL")
        # The pool holds every packet until its transaction is done: a crash of the process loses nothing even so.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
        self._db.execute("PRAGMA temp_store = MEMORY")
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            schema = resources.files("sipflow.storage").joinpath("schema.sql").read_text("utf-8")
            self._db.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")

    def end_of_blocks(self) -> int:
        """Tell where in data.raw the last known block ends [octets]."""
        end: int = self._db.execute("SELECT coalesce(max(offset + length), 0) FROM blocks").fetchone()[0]
        return end

    def chunks(self) -> set[int]:
        """List the ids of the pool chunks the blocks were made of."""
        return {row[0] for row in self._db.execute("SELECT chunk FROM blocks WHERE chunk <> 0")}

    def commit(self, portions: Sequence[Portion], starts: Sequence[int]) -> None:
        """Add the rows of portions whose data stands at `starts`, in one transaction; none of them on an error."""
        try:
            self._commit(portions, starts)
        except sqlite3.Error:
            # Ids given out inside the failed transaction would be handed to other calls by the next one.
            self._ids.clear()
            self._digests.clear()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _commit(self, portions: Sequence[Portion], starts: Sequence[int]) -> None:
        index = self._db
        index.execute("BEGIN IMMEDIATE")
        self._store_calls(portions)
        ids = self._ids
        placed = list(zip(portions, starts, strict=True))
        index.executemany(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(row.offset + start, *row[1:]) for portion, start in placed for row in portion.blocks],
        )
        index.executemany(
            "INSERT INTO sip_msgs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (ids[row[0]], *row[1:7], row.block + start, row.position)
                for portion, start in placed
                for row in portion.sip
            ],
        )
        index.executemany(
            "INSERT INTO media_msgs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(ids[row[0]], *row[1:13], row.block + start) for portion, start in placed for row in portion.media],
        )
        index.execute("COMMIT")
        while len(self._ids) > _CACHED_CALLS:
            self._ids.pop(next(iter(self._ids)))
        while len(self._digests) > _CACHED_CALLS:
            self._digests.pop(next(iter(self._digests)))

    def _store_calls(self, portions: Sequence[Portion]) -> None:
        fresh = _gathered(portions)
        media_only = self._first_seen(portions, fresh)
        self._load([call_id for call_id in (*fresh, *media_only) if call_id not in self._digests])
        for call_id, digest in fresh.items():
            before = self._digests.pop(call_id, None)
            if before is None:
                self._digests[call_id] = digest
            else:
                merged = copy(before)
                merged.merge(digest)
                self._digests[call_id] = merged
        for call_id, (first, last) in media_only.items():
            if call_id not in self._ids:
                fresh[call_id] = CallDigest(call_id, first, last)
        stored = [self._digests.get(call_id, digest) for call_id, digest in fresh.items()]
        self._db.executemany(_STORE_CALL, [_values_of(digest) for digest in stored])
        for row in self._look_up([call_id for call_id in fresh if call_id not in self._ids]):
            self._ids[row[1]] = row[0]

    def _first_seen(self, portions: Sequence[Portion], fresh: Container[str]) -> dict[str, tuple[int, int]]:
        """Find the calls that are known by their media alone, with their first and last time so far."""
        found: dict[str, tuple[int, int]] = {}
        for portion in portions:
            for row in portion.media:
                if row.call_id not in fresh and row.call_id not in self._ids:
                    first, last = found.get(row.call_id, (row.t0_us, row.t1_us))
                    found[row.call_id] = (min(first, row.t0_us), max(last, row.t1_us))
        return found

    def _load(self, call_ids: Sequence[str]) -> None:
        for row in self._look_up(call_ids):
            self._ids[row[1]] = row[0]
            self._digests[row[1]] = read_digest(row[1:])

    def _look_up(self, call_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(call_ids), _LOOK_UP):
            some = call_ids[start : start + _LOOK_UP]
            yield from self._db.execute(_CALLS_AMONG, [*some, *[None] * (_LOOK_UP - len(some))])

    def totals(self) -> Totals:
        """Count what the bucket holds; its size is that of the blocks and the index."""
        one = self._db.execute
        calls = one("SELECT count(*) FROM call_meta").fetchone()[0]
        t0, t1 = one("SELECT min(t0_us), max(t1_us) FROM blocks").fetchone()
        sip, rtp = one(
            "SELECT coalesce(sum(records) FILTER (WHERE kind = 1), 0), "
            "coalesce(sum(records) FILTER (WHERE kind = 2), 0) FROM blocks"
        ).fetchone()
        return Totals(calls, sip, rtp, t0, t1, self.end_of_blocks() + self._database.stat().st_size)

    def count_blocks(self) -> tuple[int, int]:
        """Count the blocks of the bucket and the records in them."""
        blocks, records = self._db.execute("SELECT count(*), coalesce(sum(records), 0) FROM blocks").fetchone()
        return blocks, records

    def call_ids(self) -> list[str]:
        """List the Call-IDs of the bucket."""
        return [row[0] for row in self._db.execute("SELECT call_id FROM call_meta")]

    def seal(self) -> None:
        """Finish the call summaries and fold the write-ahead log in: one file remains, complete."""
        self._db.execute(_SUM_MEDIA)
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _gathered(portions: Sequence[Portion]) -> dict[str, CallDigest]:
    found: dict[str, CallDigest] = {}
    for portion in portions:
        for digest in portion.calls:
            known = found.get(digest.call_id)
            if known is None:
                # A copy: the portion must stay as it is in case the transaction fails and is tried again.
                found[digest.call_id] = copy(digest)
            else:
                known.merge(digest)
    return found


def read_digest(row: Sequence[object]) -> CallDigest:
    """Make a digest of the call_meta columns named like its fields, in their order."""
    digest = CallDigest(*row)  # type: ignore[arg-type]  # the schema fixes the column types
    digest.begins = bool(digest.begins)
    return digest
