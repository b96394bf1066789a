"""data.raw of a sealed bucket written anew, call by call: all messages in blocks that calls share, then all media."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from sipflow._fast import (
    block_header_decode,
    block_status_text,
    block_verify,
    blocks_assemble,
    messages_block,
    messages_lift,
)
from sipflow.errors import CannotPack, DamagedBlock, StorageError
from sipflow.storage.block import KIND_MESSAGES, KIND_STREAM, Block, BlockHeader, read_block
from sipflow.storage.index import connect
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.seal import read_seal

# Measured (bench/packing.py): higher levels take four times as long and more, for the last hundredths.
SIP_LEVEL: Final = 9
# As the recorder makes them: smaller ones compress worse, larger ones cost more to read one message of.
SIP_BLOCK_OCTETS: Final = 1 << 20
# What messages are read and written in: heads in columns.
_TRANSFORM: Final = 2
# What is held at once: messages cut out of their blocks, media on its way from where it was to where it belongs.
_HELD_OCTETS: Final = 32 << 20
_MESSAGES_AT_ONCE: Final = (256, 32_768)
# Blocks nearer to each other than this are read in one go, with what lies between them.
_GAP_OCTETS: Final = 64 << 10
_READ_OCTETS: Final = 4 << 20
# So much is written between two syncs: a recorder beside must not find the disk full of our pages.
_SYNC_OCTETS: Final = 32 << 20
_ROWS_AT_ONCE: Final = 2_000

_SIP_BLOCKS = "SELECT DISTINCT block FROM sip_msgs"
_MEDIA_BLOCKS = "SELECT block FROM media_msgs"
# What a block holds of a call stands together in it, and its messages are numbered in that order.
_RUNS = """
SELECT id >> 32, block, min(position), count(*), max(id)
FROM (SELECT id, block, position FROM sip_msgs WHERE id > ? ORDER BY id LIMIT ?) GROUP BY 1, 2 ORDER BY min(id)
"""
_MEDIA = """
SELECT m.block FROM streams s CROSS JOIN media_msgs m ON m.stream = s.id ORDER BY s.call, m.id
"""

# Called after each piece of work with the octets of the old file that are done; raises what is to end it all.
Turn = Callable[[int], None]


class Written(NamedTuple):
    """What a packed data.raw holds, its seal left out: blocks, records in them, octets."""

    blocks: int
    records: int
    octets: int


class _Piece(NamedTuple):
    """Messages of one call, as records of an arena."""

    octets: bytes
    records: int


def write_packed(directory: Path, target: Path, turn: Turn) -> Written:
    """Write the blocks of a sealed bucket to the new file `target`, in the order of calls in its index.

    Messages are cut out of their blocks and put together by call; blocks of media are moved octet for octet. Every
    octet of the old file is held against a checksum, and belongs to exactly one block that the index knows: else
    StorageError or DamagedBlock is raised. The bucket is only read.
    """
    seal = read_seal(directory / DATA)
    with closing(connect(directory / DATABASE, readonly=True, immutable=True)) as index:
        source = _Source(index, directory / DATA, seal.end, seal.blocks)
        with closing(source), closing(_Target(target)) as sink:
            _move_messages(index, source, sink, turn)
            _move_media(index, source, sink, turn)
            source.refuse_rest()
            written = sink.finish()
    if written.records != seal.records:
        raise StorageError(
            "pack", directory, f"its index knows {written.records} records; when it was sealed it held {seal.records}"
        )
    return written


class _Source:
    """The blocks of a bucket as its index knows them, each to be taken once."""

    def __init__(self, index: sqlite3.Connection, data: Path, end: int, blocks: int) -> None:
        """Hold the blocks of `index` against the file: they must fill it up to `end` without a hole."""
        self.path = data
        messages, media = (_numbers(index, question) for question in (_SIP_BLOCKS, _MEDIA_BLOCKS))
        self._starts = np.unique(np.concatenate([messages, media]))
        if not len(messages) + len(media) == len(self._starts) == blocks:
            raise StorageError("pack", data, f"its index does not know the {blocks} blocks it was sealed with")
        self._lengths = np.diff(np.append(self._starts, end))
        # Messages that nobody has taken yet, by their block; -1: not looked at. Media blocks are taken whole.
        self._left = dict.fromkeys(messages.tolist(), -1)
        self._media_left = len(media)
        self._file = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
        if len(self._starts) and self._starts[0] != 0:
            self.close()
            raise DamagedBlock(data, 0, "no block that the index knows")

    def close(self) -> None:
        os.close(self._file)

    def length(self, offset: int) -> int:
        """Tell how long the block at `offset` must be [octets]."""
        at = int(np.searchsorted(self._starts, offset))
        return int(self._lengths[at])

    def messages(self, offset: int) -> Block:
        """Read a block of messages."""
        block = read_block(self._file, offset, self.path)
        self._expect(offset, block.header, KIND_MESSAGES)
        if block.header.transform != _TRANSFORM:
            # To the millisecond now: what was said of its messages would change.
            raise CannotPack("pack", self.path, "its messages tell arrival to the microsecond, as version 0.1.0 wrote")
        if self._left[offset] < 0:
            self._left[offset] = block.header.records
        return block

    def cut(self, block: Block, runs: list[tuple[int, int]]) -> list[_Piece]:
        """Take messages out of a block: by run the position of the first, and how many of its call; in order."""
        try:
            records, ends = messages_lift(block.content, block.header.transform, np.array(runs, "<u4").tobytes())
        except ValueError as error:
            raise DamagedBlock(self.path, block.offset, f"its index points to other messages: {error}") from None
        self._left[block.offset] -= sum(count for _, count in runs)
        bounds = [0, *np.frombuffer(ends, "<u8").tolist()]
        return [
            _Piece(records[start:end], count)
            for start, end, (_, count) in zip(bounds[:-1], bounds[1:], runs, strict=True)
        ]

    def media(self, offsets: list[int]) -> dict[int, tuple[bytes, int]]:
        """Take blocks of media; gives their octets and how many packets each holds, by offset."""
        found: dict[int, tuple[bytes, int]] = {}
        for start, length, inside in self._stretches(sorted(offsets)):
            octets = os.pread(self._file, length, start)
            for offset in inside:
                block = octets[offset - start : offset - start + self.length(offset)]
                status, fields = block_header_decode(block)
                if fields is None or (status := block_verify(block)):
                    raise DamagedBlock(self.path, offset, block_status_text(status))
                header = BlockHeader(*fields)
                self._expect(offset, header, KIND_STREAM)
                found[offset] = (block, header.records)
            os.posix_fadvise(self._file, start, length, os.POSIX_FADV_DONTNEED)
        self._media_left -= len(found)
        return found

    def _stretches(self, offsets: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
        """Put blocks that lie near each other together: where to read, how much, and which blocks are in it."""
        inside: list[int] = []
        end = 0
        for offset in offsets:
            if inside and (offset - end > _GAP_OCTETS or offset - inside[0] > _READ_OCTETS):
                yield inside[0], end - inside[0], inside
                inside = []
            inside.append(offset)
            end = offset + self.length(offset)
        if inside:
            yield inside[0], end - inside[0], inside

    def _expect(self, offset: int, header: BlockHeader, kind: int) -> None:
        if (header.kind, header.length) != (kind, self.length(offset)):
            raise DamagedBlock(
                self.path, offset, f"found kind {header.kind} of {header.length} octets; its index says otherwise"
            )

    def refuse_rest(self) -> None:
        """Raise DamagedBlock when anything was left behind, or taken twice."""
        for offset, left in self._left.items():
            if left:
                raise DamagedBlock(self.path, offset, "the index does not know all of its messages, or some twice")
        if self._media_left:
            raise StorageError("pack", self.path, f"{self._media_left} blocks of media belong to no stream")


class _Target:
    """The new file: blocks one behind the other, written out as it grows."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=1 << 20)
        os.fchmod(self._file.fileno(), 0o600)
        self._compressor = zstandard.ZstdCompressor(level=SIP_LEVEL)
        self._blocks = self._records = self._octets = self._synced = 0

    def close(self) -> None:
        self._file.close()

    def put(self, octets: bytes, records: int) -> None:
        """Append a block as it is."""
        self._file.write(octets)
        self._blocks += 1
        self._records += records
        self._octets += len(octets)
        if self._octets - self._synced >= _SYNC_OCTETS:
            self._sync()

    def put_messages(self, pieces: list[_Piece]) -> None:
        """Make a block of messages."""
        records = sum(piece.records for piece in pieces)
        content, head, payload_at = messages_block(b"".join(piece.octets for piece in pieces), records)
        frame = self._compressor.compressobj(size=len(content))
        # What is known of the messages is of another nature than they: each gets codes of its own.
        columns = frame.compress(content[:payload_at]) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        octets, _, _ = blocks_assemble(head, [columns + frame.compress(content[payload_at:]) + frame.flush()])
        self.put(octets, records)

    def finish(self) -> Written:
        """Have everything on the disk; tells what it is."""
        self._sync()
        return Written(self._blocks, self._records, self._octets)

    def _sync(self) -> None:
        self._file.flush()
        os.fdatasync(self._file.fileno())
        os.posix_fadvise(self._file.fileno(), self._synced, self._octets - self._synced, os.POSIX_FADV_DONTNEED)
        self._synced = self._octets


def _move_messages(index: sqlite3.Connection, source: _Source, sink: _Target, turn: Turn) -> None:
    """Put the messages of each call together; those of one instant stay in the order in which they were stored."""
    few, at_once = _MESSAGES_AT_ONCE
    filling: list[_Piece] = []
    filled, last = 0, -(1 << 63)
    while rows := index.execute(_RUNS, [last, at_once]).fetchall():
        last = max(row[4] for row in rows)
        pieces = _cut(source, rows, turn)
        for _, together in groupby(zip(rows, pieces, strict=True), key=lambda pair: pair[0][0]):
            call = [piece for _, piece in together]
            if filling and filled + sum(len(piece.octets) for piece in call) > SIP_BLOCK_OCTETS:
                sink.put_messages(filling)
                filling, filled = [], 0
            for piece in call:
                if filling and filled + len(piece.octets) > SIP_BLOCK_OCTETS:
                    sink.put_messages(filling)
                    filling, filled = [], 0
                filling.append(piece)
                filled += len(piece.octets)
        held = sum(len(piece.octets) for piece in pieces)
        at_once = max(few, min(_MESSAGES_AT_ONCE[1], at_once * _HELD_OCTETS // max(1, held)))
    if filling:
        sink.put_messages(filling)


def _cut(source: _Source, rows: list[tuple[int, int, int, int, int]], turn: Turn) -> list[_Piece]:
    """Cut runs of messages out of their blocks, each of which is read once."""
    pieces: dict[int, _Piece] = {}
    ordered = sorted(enumerate(rows), key=lambda pair: pair[1][1])
    for offset, runs in groupby(ordered, key=lambda pair: pair[1][1]):
        block = source.messages(offset)
        inside = sorted(runs, key=lambda pair: pair[1][2])
        cut = source.cut(block, [(position, count) for _, (_, _, position, count, _) in inside])
        pieces.update(zip((number for number, _ in inside), cut, strict=True))
        turn(block.header.length)
    return [pieces[number] for number in range(len(rows))]


def _move_media(index: sqlite3.Connection, source: _Source, sink: _Target, turn: Turn) -> None:
    """Put the media of each call together, chunk after chunk as they were stored."""
    wanted: list[int] = []
    octets = 0
    for offset in _column(index, _MEDIA):
        wanted.append(offset)
        octets += source.length(offset)
        if octets >= _HELD_OCTETS:
            _put_media(source, sink, wanted, turn)
            wanted, octets = [], 0
    _put_media(source, sink, wanted, turn)


def _put_media(source: _Source, sink: _Target, wanted: list[int], turn: Turn) -> None:
    found = source.media(wanted)
    for offset in wanted:
        block, packets = found[offset]
        sink.put(block, packets)
        turn(len(block))


def _column(index: sqlite3.Connection, question: str) -> Iterator[int]:
    rows = index.execute(question)
    while some := rows.fetchmany(_ROWS_AT_ONCE):
        yield from map(itemgetter(0), some)


def _numbers(index: sqlite3.Connection, question: str) -> NDArray[np.int64]:
    return np.fromiter(_column(index, question), np.int64)
