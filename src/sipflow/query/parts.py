"""One bucket part, opened for questions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from sipflow.clock import SECOND_US
from sipflow.errors import DamagedBlock, NewerFormat, StorageError
from sipflow.query.answer import Criteria
from sipflow.query.descent import Began
from sipflow.query.listed import Listed, Row, Worst
from sipflow.query.part_files import LocalFiles, PartFiles
from sipflow.query.selection import conditions, glob
from sipflow.query.stored_chunk import HeldContent, StoredChunk
from sipflow.query.window import Window
from sipflow.storage.block import Block, header_at, read_block
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.index import DIGEST_COLUMNS, connect, read_digest, version_of
from sipflow.storage.source import Span
from sipflow.wire.dialog import CallDigest
from sipflow.wire.packet import Chunk, Message, StreamKey

_TYPES = [int if field.type is bool else field.type for field in msgspec.structs.fields(CallDigest)]
# The number of a call, its RTP packets, the worst of its media and the fields of its digest, as SQLite gives them.
_WORST = (float | None, int | None, float | None, str | None, int | None)
_DIGEST_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((int, int | None, *_WORST, *_TYPES)))
# Its packets and streams of RTP before the worst of its media and its digest.
_NEWEST_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((int | None, int | None, *_WORST, *_TYPES)))
# By version of the index: 1 does not judge media.
_WORST_COLUMNS = {1: "NULL, NULL, NULL, NULL, NULL", 2: "loss_percent, jitter_us, mos, mos_scale, one_way"}
T = TypeVar("T")
# What the pool may still hold of a call when its chunk is committed lies within this of the call's latest packet.
_LATEST_US = 600 * SECOND_US
# By version of the index, how a call is found: 2 keeps Call-IDs in eras, so that a growing index is written in one
# place.
_NUMBER = {
    1: "SELECT id FROM call_meta WHERE call_id = ?",
    2: "SELECT c.id FROM eras CROSS JOIN call_meta c ON c.id >> 16 = n AND c.call_id = ?",
}
# How messages are found by their call: 2 keeps those of a call together.
_OF_CALL = {1: "s.call = c.id", 2: "s.id >= (c.id << 32) AND s.id < ((c.id + 1) << 32)"}
_MESSAGES = {
    version: f"SELECT s.block, s.position, s.t0_us FROM call_meta c JOIN sip_msgs s ON {of_call} "
    "WHERE c.id = ? AND s.t0_us BETWEEN ? AND ? ORDER BY s.t0_us, s.id"
    for version, of_call in _OF_CALL.items()
}
_COUNTS = {
    version: f"SELECT sip_messages, (SELECT count(*) FROM sip_msgs s WHERE {of_call}) FROM call_meta c WHERE c.id = ?"
    for version, of_call in _OF_CALL.items()
}
# By version of the index: 1 repeated the stream in every row of its chunks.
_CHUNKS = {
    1: "SELECT m.block, m.packets FROM call_meta c JOIN media_msgs m ON m.call = c.id "
    "WHERE c.id = ? AND m.t0_us <= ? AND m.t1_us >= ? ORDER BY m.t0_us, m.id",
    2: "SELECT m.block, m.packets FROM call_meta c JOIN streams s ON s.call = c.id "
    "JOIN media_msgs m ON m.stream = s.id "
    "WHERE c.id = ? AND m.t0_us <= ? AND m.t0_us + m.span_us >= ? ORDER BY m.t0_us, m.id",
}
# Of each chunk also where the next one stands, behind which it cannot reach.
_NEIGHBOURS = (
    "SELECT m.block, m.packets, (SELECT n.block FROM media_msgs n WHERE n.id > m.id ORDER BY n.id LIMIT 1) "
    "FROM call_meta c JOIN streams s ON s.call = c.id JOIN media_msgs m ON m.stream = s.id "
    "WHERE c.id = ? AND m.t0_us <= ? AND m.t0_us + m.span_us >= ?"
)
# What a block takes that is read from afar, unless its neighbour is nearer: of SIP messages, of a packet of media.
# Those that are longer cost another request.
_FAR_MESSAGES, _FAR_CHUNK, _FAR_PACKET = 64 << 10, 1 << 10, 192
_LATEST_BLOCKS = {
    1: "SELECT s.block FROM call_meta c JOIN sip_msgs s ON s.call = c.id WHERE c.id = ?1 "
    "UNION SELECT m.block FROM call_meta c JOIN media_msgs m ON m.call = c.id WHERE c.id = ?1",
    2: f"SELECT s.block FROM call_meta c JOIN sip_msgs s ON {_OF_CALL[2]} "
    f"WHERE c.id = ?1 AND s.t0_us >= c.last_us - {_LATEST_US} "
    "UNION SELECT m.block FROM call_meta c JOIN streams s ON s.call = c.id JOIN media_msgs m ON m.stream = s.id "
    f"WHERE c.id = ?1 AND m.t0_us >= c.last_us - {_LATEST_US}",
}
GONE = -1  # the leg of a stream of which nothing but its having been is known
# Always so many marks, so that the statement is prepared once; those left over are NULL.
NAMED_AT_ONCE = 256
_MARKS = ", ".join("?" * NAMED_AT_ONCE)
_BEGAN = {
    1: f"SELECT first_us, call_id FROM call_meta WHERE call_id IN ({_MARKS})",
    2: f"SELECT first_us, call_id FROM eras CROSS JOIN call_meta ON id >> 16 = n AND call_id IN ({_MARKS})",
}
_CACHE_KIB = 512  # many parts are open at once, and the kernel keeps their pages too
_FOREVER = (-(1 << 63), (1 << 63) - 1)


class _SipRow(NamedTuple):
    """Where a message stands, and when it was captured."""

    block: int
    position: int
    t0_us: int


class _MediaRow(NamedTuple):
    """Where a chunk of media stands, and how many packets it has."""

    block: int
    packets: int


class _NeighbourRow(NamedTuple):
    """Where a chunk of media stands, how many packets it has, and where the next one stands."""

    block: int
    packets: int
    following: int | None


class _Counts(NamedTuple):
    """The messages of a call: as its summary counts them, and as they are listed."""

    counted: int
    listed: int


class _Stream(NamedTuple):
    """One stream of a call."""

    leg: int
    src: str
    dst: str
    ssrc: int | None


class _StreamOfV1(NamedTuple):
    """One stream of a call, its packets, and its first and last time."""

    leg: int
    src: str
    dst: str
    ssrc: int | None
    packets: int
    first_us: int
    last_us: int


def bounds(window: Window) -> tuple[int, int]:
    """Give the window as two comparable integers."""
    low = _FOREVER[0] if window.start_us is None else window.start_us
    return low, _FOREVER[1] if window.end_us is None else window.end_us


class OpenPart:
    """A bucket part open for reading. One thread at a time."""

    def __init__(
        self, root: Path, path: str, *, sealed: bool, erased_us: int | None = None, files: PartFiles | None = None
    ) -> None:
        """Open the part at `path` under `root`, or `files` that were fetched for it.

        `erased_us` is when its media was erased. Raises StorageError; PartBusy when its files were exchanged for others
        at this moment: it can be opened again.
        """
        self.path = path
        self.sealed = sealed
        self.erased_us = erased_us
        self.files = LocalFiles(root / path, sealed=sealed) if files is None else files
        self._index = connect(self.files.database, readonly=True, immutable=sealed)
        try:
            self._index.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._version = version_of(self._index)
        except UNREADABLE as error:
            self._index.close()
            raise StorageError("open", self.files.database, str(error)) from None
        if self._version not in _MESSAGES:
            self._index.close()
            raise StorageError("open", self.files.database, f"it is no index: found version {self._version}")
        try:
            self._data, identity, self.index_octets = self.files.open_data()
        except StorageError:
            self._index.close()
            raise
        self.identity = (path, *identity)

    def close(self) -> None:
        """Close the index; the data stays open as long as chunks of it are wanted."""
        self._index.close()

    def _rows(self, kind: type[T], statement: str, values: Sequence[object]) -> list[T]:
        """Ask the index for rows of a type, which a damaged index may not hold."""
        try:
            return msgspec.convert(self._index.execute(statement, values).fetchall(), list[kind])  # type: ignore[valid-type]
        except UNREADABLE as error:
            raise StorageError("read", self.files.database, str(error)) from None
        except msgspec.ValidationError as error:
            raise StorageError("read", self.files.database, f"its rows make no sense: {error}") from None

    @property
    def version(self) -> int:
        """Tell the version of its index."""
        return self._version

    def select(self, kind: type[T], statement: str, values: Sequence[object]) -> list[T]:
        """Ask the index with a statement of one's own. Raises StorageError, also for rows of another type."""
        return self._rows(kind, statement, values)

    def counted_here(self, counts: Callable[[str], bool]) -> None:
        """Have statements tell by counted_here(call_id) what a function says of a Call-ID."""
        self._index.create_function("counted_here", 1, counts, deterministic=True)

    def damage(self) -> str:
        """Tell in a sentence what its seal shows to be wrong with a part; empty for nothing. Reads all of its index."""
        return self.files.damage()

    def _number(self, call_id: str) -> int | None:
        """Find the number of a call, which no call has that is not here."""
        return next((number for (number,) in self._rows(tuple[int], _NUMBER[self._version], [call_id])), None)

    def messages(self, call_id: str, window: Window, damage: list[str]) -> tuple[list[Message], set[int]]:
        """Read the SIP messages of a call; also tells which pool chunks they came from.

        A damaged block costs its own messages, and what a row points to is given only when it is just that: what is
        wrong is appended to `damage`.
        """
        rows = self._rows(
            _SipRow,
            _MESSAGES[self._version],
            [self._number(call_id), *bounds(window)],
        )
        self._gather([Span(block, _FAR_MESSAGES) for block in sorted({row.block for row in rows})])
        found: list[Message] = []
        blocks: dict[int, Block | None] = {}
        for row in dict.fromkeys(rows):
            if row.block not in blocks:
                blocks[row.block] = self._block(row.block, damage)
            block = blocks[row.block]
            if block is None:
                continue
            try:
                message = block.message_at(row.position)
            except DamagedBlock as error:
                damage.append(str(error))
                continue
            if (message.call_id, message.time_us) == (call_id, row.t0_us):
                found.append(message)
            else:
                damage.append(f"block at octet {row.block}: the index points to another message than it says")
        self._count(call_id, damage)
        if len(set(rows)) < len(rows):
            damage.append("the index lists a message twice")
        return found, {block.header.chunk for block in blocks.values() if block is not None}

    def _count(self, call_id: str, damage: list[str]) -> None:
        """Hold what the index counts of a call against what it lists: rows may be gone."""
        for counted, listed in self._rows(
            _Counts,
            _COUNTS[self._version],
            [self._number(call_id)],
        ):
            if counted != listed:
                damage.append(f"the index lists {listed} of the {counted} messages of this call")

    def _block(self, offset: int, damage: list[str]) -> Block | None:
        try:
            return read_block(self._data, offset, self.files.data_path)
        except (DamagedBlock, NewerFormat) as error:
            self._data.doubt(Span(offset, 1))
            damage.append(str(error))
            return None

    def _gather(self, spans: list[Span]) -> None:
        """Have blocks fetched that are far away, given where each stands and how long it probably is."""
        if not self.files.far or not spans:
            return
        self._data.expect(spans)
        rest = []
        for guessed in spans:
            try:
                length = header_at(self._data, guessed.offset, self.files.data_path).length
            except (DamagedBlock, NewerFormat):
                continue  # whoever reads the block says so
            if length > guessed.length:
                rest.append(Span(guessed.end, length - guessed.length))
        if rest:
            self._data.expect(rest)

    def _far_chunks(self, number: int | None, low: int, high: int, rows: Sequence[_MediaRow]) -> list[Span]:
        """Tell where the chunks of a call probably are, those of `rows`."""
        likely = {row.block: _FAR_CHUNK + _FAR_PACKET * row.packets for row in rows}
        if self._version > 1:
            for block, _, following in self._rows(_NeighbourRow, _NEIGHBOURS, [number, high, low]):
                if following is not None and following > block:
                    likely[block] = min(likely.get(block, following - block), following - block)
        return [Span(block, length) for block, length in sorted(likely.items())]

    def chunks(
        self, call_id: str, window: Window, damage: list[str], held: HeldContent
    ) -> tuple[list[Chunk], set[int]]:
        """Read the media of a call; also tells which pool chunks it came from.

        Each block is read once here, so that damage is known before anything is answered; what is longer than `held`
        has room for is read again when it is asked for.
        """
        low, high = bounds(window)
        number = self._number(call_id)
        rows = self._rows(_MediaRow, _CHUNKS[self._version], [number, high, low])
        if self.files.far:
            self._gather(self._far_chunks(number, low, high, rows))
        found: list[Chunk] = []
        chunks = set()
        keys: dict[StreamKey, StreamKey] = {}
        for offset, packets in dict.fromkeys(rows):
            block = self._block(offset, damage)
            if block is None:
                continue
            try:
                chunk = block.chunk()
            except DamagedBlock as error:
                damage.append(str(error))
                continue
            if (chunk.key.call_id, chunk.packets) == (call_id, packets):
                key = keys.setdefault(chunk.key, chunk.key)
                found.append(StoredChunk(chunk, key, self._data, self.files.data_path, offset, held))
                chunks.add(block.header.chunk)
            else:
                damage.append(f"block at octet {offset}: the index points to another chunk than it says")
        return found, chunks

    def chunk_ids(self, call_id: str) -> set[int]:
        """Tell which pool chunks the latest packets of a call came from."""
        found = set()
        for (offset,) in self._rows(tuple[int], _LATEST_BLOCKS[self._version], [self._number(call_id)]):
            try:
                found.add(header_at(self._data, offset, self.files.data_path).chunk)
            except (DamagedBlock, NewerFormat):
                continue  # whoever reads the block says so
        return found

    def began(self, call_ids: Sequence[str]) -> list[Began]:
        """Tell which of the calls are in this part, and since when; at most NAMED_AT_ONCE at a time."""
        return self._rows(Began, _BEGAN[self._version], [*call_ids, *[None] * (NAMED_AT_ONCE - len(call_ids))])

    def knows(self, call_id: str) -> bool:
        """Tell whether anything of a call is in this part."""
        return self._number(call_id) is not None

    def call(self, call_id: str) -> Listed | None:
        """Give what this part knows of a call."""
        return next(iter(self._list("WHERE id = ?", [self._number(call_id)])), None)

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
            clauses.append("id = ?")
            values.append(self._number(criteria.call_id))
        if criteria.user is not None:
            clauses.append("(from_user GLOB ? OR to_user GLOB ?)")
            values += [glob(criteria.user)] * 2
        if criteria.asks_quality and self._version == 1:
            return []  # it does not say how bad media was
        for value, clause in ((criteria.mos_below, "mos < ?"), (criteria.loss_above, "loss_percent > ?")):
            if value is not None:
                clauses.append(clause)
                values.append(value)
        for condition in conditions(criteria.terms):
            clauses.append(f"({condition.clause})")
            values += condition.values
        rows = self._rows(
            _NEWEST_ROW,
            f"SELECT rtp_packets, rtp_streams, {_WORST_COLUMNS[self._version]}, {DIGEST_COLUMNS[self._version]} "
            f"FROM call_meta WHERE {' AND '.join(clauses)} ORDER BY first_us DESC, call_id DESC LIMIT {limit}",
            values,
        )
        return [Row(read_digest(row[7:]), row[0], row[1], Worst(*row[2:7])) for row in rows]

    def _list(self, where: str, values: Sequence[object]) -> list[Listed]:
        columns = f"id, rtp_packets, {_WORST_COLUMNS[self._version]}, {DIGEST_COLUMNS[self._version]}"
        rows = self._rows(_DIGEST_ROW, f"SELECT {columns} FROM call_meta {where}", values)
        return [self._listed(row[0], row[1], row[7:])._replace(worst=Worst(*row[2:7])) for row in rows]

    def _listed(self, number: int, rtp_packets: int | None, digest: Sequence[object]) -> Listed:
        if self._version == 1:
            return self._listed_v1(number, read_digest(digest))
        streams = self._rows(_Stream, "SELECT leg, src, dst, ssrc FROM streams WHERE call = ?", [number])
        named = frozenset((leg, src, dst, ssrc) for leg, src, dst, ssrc in streams if ssrc is not None)
        return Listed(read_digest(digest), rtp_packets or 0, named, self.erased_us if rtp_packets else None)

    def _listed_v1(self, number: int, digest: CallDigest) -> Listed:
        if self.erased_us is not None:
            return self._listed_without_media(number, digest)
        # Version 1 summed a call's media up only when the bucket was sealed.
        streams = self._rows(
            _StreamOfV1,
            "SELECT leg, src, dst, ssrc, sum(packets), min(t0_us), max(t1_us) FROM media_msgs WHERE call = ? "
            "GROUP BY leg, src, dst, ssrc",
            [number],
        )
        digest.first_us = min([digest.first_us, *(stream.first_us for stream in streams)])
        digest.last_us = max([digest.last_us, *(stream.last_us for stream in streams)])
        named = frozenset((one.leg, one.src, one.dst, one.ssrc) for one in streams if one.ssrc is not None)
        return Listed(digest, sum(stream.packets for stream in streams), named)

    def _listed_without_media(self, number: int, digest: CallDigest) -> Listed:
        packets, streams = self._rows(
            tuple[int, int],
            "SELECT coalesce(rtp_packets, 0), coalesce(rtp_streams, 0) FROM call_meta WHERE id = ?",
            [number],
        )[0]
        # Which streams they were is gone: told apart by number only, so that two parts of a call do not add up.
        return Listed(
            digest,
            packets,
            frozenset((GONE, "", "", n) for n in range(streams)),
            self.erased_us if packets else None,
        )
