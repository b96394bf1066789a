"""One bucket part, opened for questions."""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sipflow.clock import SECOND_US
from sipflow.errors import DamagedBlock, NewerFormat, StorageError
from sipflow.query.answer import Criteria
from sipflow.query.descent import Began
from sipflow.query.window import Window
from sipflow.storage.block import Block, header_at, read_block
from sipflow.storage.index import connect, read_digest
from sipflow.storage.layout import DATA, DATABASE
from sipflow.wire.dialog import CallDigest
from sipflow.wire.packet import Chunk, Message

_DIGEST = ", ".join(CallDigest.__struct_fields__)
# Always so many marks, so that the statement is prepared once; those left over are NULL.
NAMED_AT_ONCE = 256
_BEGAN = f"SELECT call_id, first_us FROM call_meta WHERE call_id IN ({', '.join('?' * NAMED_AT_ONCE)})"
_CACHE_KIB = 512  # many parts are open at once, and the kernel keeps their pages too
# What the pool may still hold of a call when its chunk is committed lies within this of the call's latest packet.
_LATEST_US = 600 * SECOND_US
_MESSAGES = (
    "SELECT s.block, s.position FROM call_meta c JOIN sip_msgs s ON s.call = c.id "
    "WHERE c.call_id = ? AND s.t0_us BETWEEN ? AND ? ORDER BY s.t0_us, s.id"
)
# By version of the index: 1 repeated the stream in every row of its chunks.
_CHUNKS = {
    1: "SELECT m.block FROM call_meta c JOIN media_msgs m ON m.call = c.id "
    "WHERE c.call_id = ? AND m.t0_us <= ? AND m.t1_us >= ? ORDER BY m.t0_us, m.id",
    2: "SELECT m.block FROM call_meta c JOIN streams s ON s.call = c.id JOIN media_msgs m ON m.stream = s.id "
    "WHERE c.call_id = ? AND m.t0_us <= ? AND m.t0_us + m.span_us >= ? ORDER BY m.t0_us, m.id",
}
_LATEST_BLOCKS = {
    1: "SELECT s.block FROM call_meta c JOIN sip_msgs s ON s.call = c.id WHERE c.call_id = ?1 "
    "UNION SELECT m.block FROM call_meta c JOIN media_msgs m ON m.call = c.id WHERE c.call_id = ?1",
    2: "SELECT s.block FROM call_meta c JOIN sip_msgs s ON s.call = c.id "
    f"WHERE c.call_id = ?1 AND s.t0_us >= c.last_us - {_LATEST_US} "
    "UNION SELECT m.block FROM call_meta c JOIN streams s ON s.call = c.id JOIN media_msgs m ON m.stream = s.id "
    f"WHERE c.call_id = ?1 AND m.t0_us >= c.last_us - {_LATEST_US}",
}
_FOREVER = (-(1 << 63), (1 << 63) - 1)


class Listed(NamedTuple):
    """A call as one part knows it, with what the part's index counts of its media."""

    digest: CallDigest
    rtp_packets: int
    streams: frozenset[tuple[int, str, str, int]]


class Row(NamedTuple):
    """A call as one row of a part says it; what it says of media is None until the part is sealed."""

    digest: CallDigest
    rtp_packets: int | None
    rtp_streams: int | None


def bounds(window: Window) -> tuple[int, int]:
    """Give the window as two comparable integers."""
    low = _FOREVER[0] if window.start_us is None else window.start_us
    return low, _FOREVER[1] if window.end_us is None else window.end_us


class OpenPart:
    """A bucket part open for reading. One thread at a time."""

    def __init__(self, root: Path, path: str, *, sealed: bool) -> None:
        """Open the part at `path` under `root`. Raises StorageError."""
        self.path = path
        self.sealed = sealed
        directory = root / path
        self._data_path = directory / DATA
        self._index = connect(directory / DATABASE, readonly=True, immutable=sealed)
        self._index.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._version = self._rows("PRAGMA user_version", [])[0][0]
        try:
            self._data = os.open(self._data_path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._index.close()
            raise StorageError("open", self._data_path, error.strerror or str(error)) from None

    def close(self) -> None:
        """Close both files."""
        self._index.close()
        os.close(self._data)

    def _rows(self, statement: str, values: Sequence[object]) -> list[Any]:
        try:
            return self._index.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError("read", self._data_path.parent / DATABASE, str(error)) from None

    def messages(self, call_id: str, window: Window, damage: list[str]) -> tuple[list[Message], set[int]]:
        """Read the SIP messages of a call; also tells which pool chunks they came from.

        A damaged block costs its own messages: what is wrong is appended to `damage`.
        """
        rows = self._rows(_MESSAGES, [call_id, *bounds(window)])
        found: list[Message] = []
        blocks: dict[int, Block | None] = {}
        for offset, position in rows:
            if offset not in blocks:
                blocks[offset] = self._block(offset, damage)
            block = blocks[offset]
            if block is not None:
                message = block.message_at(position)
                if message.call_id == call_id:
                    found.append(message)
        return found, {block.header.chunk for block in blocks.values() if block is not None}

    def _block(self, offset: int, damage: list[str]) -> Block | None:
        try:
            return read_block(self._data, offset, self._data_path)
        except (DamagedBlock, NewerFormat) as error:
            damage.append(str(error))
            return None

    def chunks(self, call_id: str, window: Window, damage: list[str]) -> tuple[list[Chunk], set[int]]:
        """Read the media of a call; also tells which pool chunks it came from."""
        low, high = bounds(window)
        rows = self._rows(_CHUNKS[self._version], [call_id, high, low])
        found = []
        chunks = set()
        for (offset,) in rows:
            block = self._block(offset, damage)
            if block is not None:
                chunks.add(block.header.chunk)
                chunk = block.chunk()
                if chunk.key.call_id == call_id:
                    found.append(chunk)
        return found, chunks

    def chunk_ids(self, call_id: str) -> set[int]:
        """Tell which pool chunks the latest packets of a call came from."""
        found = set()
        for (offset,) in self._rows(_LATEST_BLOCKS[self._version], [call_id]):
            try:
                found.add(header_at(self._data, offset, self._data_path).chunk)
            except (DamagedBlock, NewerFormat):
                continue  # whoever reads the block says so
        return found

    def began(self, call_ids: Sequence[str]) -> list[tuple[str, int]]:
        """Tell which of the calls are in this part, and since when; at most NAMED_AT_ONCE at a time."""
        marks = [*call_ids, *[None] * (NAMED_AT_ONCE - len(call_ids))]
        return self._rows(_BEGAN, marks)

    def knows(self, call_id: str) -> bool:
        """Tell whether anything of a call is in this part."""
        return bool(self._rows("SELECT 1 FROM call_meta WHERE call_id = ?", [call_id]))

    def call(self, call_id: str) -> Listed | None:
        """Give what this part knows of a call."""
        return next(iter(self._list("WHERE call_id = ?", [call_id])), None)

    def newest(self, criteria: Criteria, before: Began | None, limit: int) -> list[Row]:
        """List calls, newest first, that began before the given one and fit the window and the parties."""
        clauses, values = [], list[object]()
        high = bounds(criteria.window)[1]
        if before is not None:
            # One upper bound on the indexed column, so that SQLite begins there and not at the newest call.
            high = min(high, before.first_us)
            clauses.append("(first_us < ? OR call_id < ?)")
            values += before
        clauses.append("first_us <= ?")
        values.append(high)
        return self._newest(criteria, clauses, values, limit)

    def continued(self, criteria: Criteria, since: Began) -> list[Row]:
        """List calls of the window that are in this part from `since` on, but may have begun in an earlier one."""
        clauses = ["begins = 0", "first_us <= ?", "(first_us > ? OR first_us = ? AND call_id >= ?)"]
        return self._newest(criteria, clauses, [bounds(criteria.window)[1], since.first_us, *since], -1)

    def _newest(self, criteria: Criteria, clauses: list[str], values: list[object], limit: int) -> list[Row]:
        low = bounds(criteria.window)[0]
        if low > _FOREVER[0]:
            clauses.append("last_us >= ?")
            values.append(low)
        if criteria.call_id is not None:
            clauses.append("call_id = ?")
            values.append(criteria.call_id)
        if criteria.user is not None:
            clauses.append("(from_user GLOB ? OR to_user GLOB ?)")
            values += [glob(criteria.user)] * 2
        rows = self._rows(
            f"SELECT rtp_packets, rtp_streams, {_DIGEST} FROM call_meta WHERE {' AND '.join(clauses)} "
            f"ORDER BY first_us DESC, call_id DESC LIMIT {limit}",
            values,
        )
        return [Row(read_digest(row[2:]), *row[:2]) for row in rows]

    def _list(self, where: str, values: Sequence[object]) -> list[Listed]:
        rows = self._rows(f"SELECT id, rtp_packets, {_DIGEST} FROM call_meta {where}", values)
        return [self._listed(*row) for row in rows]

    def _listed(self, number: int, rtp_packets: int | None, *digest: object) -> Listed:
        if self._version == 1:
            return self._listed_v1(number, read_digest(digest))
        streams = self._rows("SELECT leg, src, dst, ssrc FROM streams WHERE call = ?", [number])
        named = frozenset(stream for stream in streams if stream[3] is not None)
        return Listed(read_digest(digest), rtp_packets or 0, named)

    def _listed_v1(self, number: int, digest: CallDigest) -> Listed:
        # Version 1 summed a call's media up only when the bucket was sealed.
        streams = self._rows(
            "SELECT leg, src, dst, ssrc, sum(packets), min(t0_us), max(t1_us) FROM media_msgs WHERE call = ? "
            "GROUP BY leg, src, dst, ssrc",
            [number],
        )
        digest.first_us = min([digest.first_us, *(stream[5] for stream in streams)])
        digest.last_us = max([digest.last_us, *(stream[6] for stream in streams)])
        named = frozenset(stream[:4] for stream in streams if stream[3] is not None)
        return Listed(digest, sum(stream[4] for stream in streams), named)


def glob(pattern: str) -> str:
    """Turn a pattern in which only * is special into one for SQLite's GLOB."""
    return "".join(f"[{c}]" if c in "?[" else c for c in pattern)
