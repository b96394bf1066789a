"""sipflow.db: the index of one bucket. Rows are written in C (_fast/index.h); here it is made, sealed and opened."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from sipflow._fast import IndexWriter, Portion
from sipflow.errors import NewerFormat, StorageError, UnfitBucket
from sipflow.wire.dialog import CallDigest

SCHEMA_VERSION = 2
# By version of the tables, the earliest 2xx to a BYE: version 1 has no column for it.
BYE_ANSWER = {
    1: "(SELECT min(s.t0_us) FROM sip_msgs s "
    "WHERE s.call = call_meta.id AND s.method = 'BYE' AND s.status BETWEEN 200 AND 299)",
    2: "bye_answer_us",
}
# The columns of call_meta named like the fields of a digest, in their order.
DIGEST_COLUMNS = {
    version: ", ".join(answered if name == "bye_answer_us" else name for name in CallDigest.__struct_fields__)
    for version, answered in BYE_ANSWER.items()
}
# What IndexWriter says of a file that is no database any more (_fast/index.h).
_BROKEN = (-sqlite3.SQLITE_CORRUPT, -sqlite3.SQLITE_NOTADB)
NO_DATA = -1  # the file descriptor of a reindex, whose blocks stand already


class Totals(NamedTuple):
    """What a bucket holds: numbers of calls, SIP messages and RTP packets, first and last time, octets on disk."""

    calls: int
    sip_messages: int
    rtp_packets: int
    t0_us: int | None
    t1_us: int | None
    octets: int


def connect(database: Path, *, readonly: bool, immutable: bool = False) -> sqlite3.Connection:
    """Open an index, checking that this version can read it. Raises NewerFormat, UnfitBucket, StorageError."""
    mode = "ro" if readonly else "rwc"
    uri = f"{database.resolve().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"
    with _failing("open", database):
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            version = version_of(connection)
        except sqlite3.Error:
            connection.close()
            raise
    if version > SCHEMA_VERSION:
        connection.close()
        raise NewerFormat(
            "open", database, f"index version {version} was written by a later sipflow; this one reads {SCHEMA_VERSION}"
        )
    return connection


def version_of(connection: sqlite3.Connection) -> int:
    """Tell the version of the tables of an open index."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


class Index:
    """An index open for writing, and the data file its blocks are appended to. One thread at a time."""

    def __init__(self, database: Path, data: int = NO_DATA, *, sync: bool = False) -> None:
        """Open the index, or make an empty one; `data` is the descriptor of data.raw and stays the caller's.

        With `sync` a commit is on the disk before `append` returns. Raises StorageError, NewerFormat.
        """
        self._database = database
        with _failing("open", database):
            os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with closing(connect(database, readonly=False)) as connection:
                version = version_of(connection)
                if version == 0:
                    _make_tables(connection)
            if version not in (0, SCHEMA_VERSION):
                raise UnfitBucket(
                    "open", database, f"index version {version} is read, not written; `sipflow reindex` makes it anew"
                )
            self._writer = IndexWriter(str(database), data, sync)

    @property
    def end(self) -> int:
        """Tell where in data.raw the last known block ends [octets]."""
        return self._writer.end

    @property
    def blocks(self) -> int:
        """Count the blocks in data.raw."""
        return self._writer.blocks

    @property
    def rtp_octets(self) -> int:
        """Count the octets of data.raw that its stream blocks take."""
        return self._writer.rtp_octets

    @property
    def replay_from(self) -> int:
        """Tell where the blocks begin whose chunks may come again after a crash [octets]."""
        return self._writer.replay_from

    @property
    def sip_rows(self) -> int:
        """Count the rows of SIP messages committed since it was opened."""
        return self._writer.sip_rows

    @property
    def media_rows(self) -> int:
        """Count the rows of media committed since it was opened."""
        return self._writer.media_rows

    def append(self, portions: Sequence[Portion], replay_from: int = 0) -> None:
        """Write portions and their rows: all of them or, on StorageError, none; then they may be given again.

        `replay_from` is kept for `replay_from` of the next process.
        """
        with _failing("append", self._database):
            self._writer.append(list(portions), replay_from)

    def judge(self) -> None:
        """Write how bad the media of each call was into call_meta; once nothing is appended any more."""
        with _failing("judge", self._database):
            self._writer.judge()

    def seal(self) -> Totals:
        """Fold the write-ahead log in, so that one file remains, and close; gives what the bucket holds."""
        with _failing("seal", self._database):
            end = self._writer.end
            self._writer.run("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.run("PRAGMA journal_mode = DELETE")
            self._writer.close()
            with closing(connect(self._database, readonly=True)) as connection:
                calls, sip, rtp, first_us, last_us = connection.execute(
                    "SELECT count(*), coalesce(sum(sip_messages), 0), coalesce(sum(rtp_packets), 0), "
                    "min(first_us), max(last_us) FROM call_meta"
                ).fetchone()
            return Totals(calls, sip, rtp, first_us, last_us, end + self._database.stat().st_size)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def replay_window(database: Path) -> tuple[int, int]:
    """Tell between which octets of data.raw blocks stand whose chunks might come again after a crash.

    Raises UnfitBucket for an index that has to be made anew, StorageError when it cannot be read now, NewerFormat.
    """
    with _failing("read", database), closing(connect(database, readonly=True)) as connection:
        version = version_of(connection)
        if version == 0:
            return 0, 0  # its process ended while it was made
        if version == SCHEMA_VERSION:
            found = dict(connection.execute("SELECT name, value FROM state"))
            return found.get("replay_from", 0), found.get("end", 0)  # the first commit writes them
    raise UnfitBucket("read", database, f"index version {version} does not tell what was committed last")


def tell_state(database: Path, name: str, value: int) -> None:
    """Write a row of `state` into a closed index that nobody uses yet. Raises StorageError."""
    with _failing("write", database), closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", [name, value])


def call_ids(database: Path) -> Iterable[str]:
    """List the Call-IDs of a sealed index. Raises StorageError."""
    with _failing("read", database), closing(connect(database, readonly=True, immutable=True)) as connection:
        return [row[0] for row in connection.execute("SELECT call_id FROM call_meta")]


def read_digest(row: Sequence[object]) -> CallDigest:
    """Make a digest of DIGEST_COLUMNS."""
    digest = CallDigest(*row)  # type: ignore[arg-type]  # the schema fixes the column types
    digest.begins = bool(digest.begins)
    return digest


def _make_tables(connection: sqlite3.Connection) -> None:
    schema = resources.files("sipflow.storage").joinpath("schema.sql").read_text("utf-8")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


@contextmanager
def _failing(op: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = UnfitBucket if error.errno in _BROKEN else StorageError
        raise kind(op, path, error.strerror or str(error)) from None
    except sqlite3.DatabaseError as error:
        broken = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        raise (UnfitBucket if broken else StorageError)(op, path, str(error)) from None
    except sqlite3.Error as error:
        raise StorageError(op, path, str(error)) from None
