"""Blocks of data.raw: read, verify and decode one, or walk a whole file past damage (docs/FORMAT.md)."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import zstandard

from sipflow._fast import (
    BLOCK_HEAD_LENGTH,
    BLOCK_NEWER,
    BLOCK_RAW_MAX,
    BLOCK_UNKNOWN,
    block_find,
    block_header_decode,
    block_header_encode,
    block_status_text,
    block_verify,
    chunk_rows,
    columns_decode,
    messages_decode_all,
    messages_decode_at,
)
from sipflow.errors import DamagedBlock, NewerFormat
from sipflow.storage.record import chunk_of, message_of
from sipflow.storage.source import DataSource, PatientFile, pread
from sipflow.wire.packet import Chunk, Message

# Where a block is read from: an open file descriptor, octets at hand, or what stands for a file.
Source = int | bytes | memoryview | DataSource

# Frames of data.raw that are no blocks: a span erased by retention, the seal; each by skippable magic and name.
_NO_BLOCKS = ((0x184D2A51, b"SFER"), (0x184D2A52, b"SFSE"))
_STEP = struct.Struct("<II4s")
_SOUND_HEADERS = (0, BLOCK_NEWER, BLOCK_UNKNOWN)
# How far a search for the next block goes at once, at first and at most (BLOCK_RAW_MAX is the longest content).
_FRONTS = (1 << 19, BLOCK_RAW_MAX + (1 << 20))

KIND_MESSAGES = 1
KIND_STREAM = 2
FLAG_CLOCK_SKEW = 1

# The rows that the encoders give and blocks_assemble takes, in the C layout of struct sf_block (block.h).
BLOCK_HEAD = np.dtype(
    [
        ("t0_us", "<i8"),
        ("t1_us", "<i8"),
        ("chunk", "<u8"),
        ("records", "<u4"),
        ("raw_length", "<u4"),
        ("frame_length", "<u4"),
        ("frame_crc", "<u4"),
        ("version", "u1"),
        ("kind", "u1"),
        ("transform", "u1"),
        ("flags", "u1"),
        ("reserved", "<u4"),
    ]
)


class BlockHeader(msgspec.Struct, frozen=True):
    """What the header of a block says; lengths in octets, times are the earliest and latest filing time.

    `chunk` is the pool chunk the records came from, 0 for none.
    """

    version: int
    kind: int
    transform: int
    flags: int
    records: int
    raw_length: int
    frame_length: int
    frame_crc: int
    chunk: int
    t0_us: int
    t1_us: int

    @property
    def clock_skew(self) -> bool:
        """Tell whether records of the block were filed by arrival time instead of capture time."""
        return bool(self.flags & FLAG_CLOCK_SKEW)

    @property
    def encoded(self) -> bytes:
        """Write the header as it stands in the file, its checksum made anew."""
        head = np.zeros(1, BLOCK_HEAD)
        for name in self.__struct_fields__:
            head[name] = getattr(self, name)
        return block_header_encode(head.tobytes())

    @property
    def length(self) -> int:
        """Give the octets of the whole block, header and frame."""
        return BLOCK_HEAD_LENGTH + self.frame_length


class Block(msgspec.Struct, frozen=True):
    """One verified block, decompressed; `path` and `offset` say where it stands."""

    path: Path
    offset: int
    header: BlockHeader
    content: bytes

    def messages(self) -> list[tuple[int, Message]]:
        """Read all SIP messages with their positions. Raises DamagedBlock."""
        self._expect(KIND_MESSAGES)
        try:
            decoded = messages_decode_all(self.content, self.header.transform)
            found = [(position, message_of(fields)) for position, fields in decoded]
        except ValueError as error:
            raise self._damaged(str(error)) from None
        self._expect_records(len(found))
        return found

    def message_at(self, position: int) -> Message:
        """Read the SIP message at `position`. Raises DamagedBlock when none can stand there."""
        self._expect(KIND_MESSAGES)
        try:
            return message_of(messages_decode_at(self.content, self.header.transform, position))
        except (ValueError, OverflowError) as error:
            raise self._damaged(f"message at {position}: {error}") from None

    def chunk(self) -> Chunk:
        """Rebuild the packets of a stream. Raises DamagedBlock."""
        self._expect(KIND_STREAM)
        try:
            chunk = chunk_of(*columns_decode(self.content))
        except ValueError as error:
            raise self._damaged(str(error)) from None
        self._expect_records(len(chunk.rows))
        return chunk

    def _expect(self, kind: int) -> None:
        if self.header.kind != kind:
            raise self._damaged(f"found kind {self.header.kind}; looked for {kind}")

    def _expect_records(self, found: int) -> None:
        if found != self.header.records:
            raise self._damaged(f"found {found} records; its header says {self.header.records}")

    def _damaged(self, what: str) -> DamagedBlock:
        return DamagedBlock(self.path, self.offset, what)


class Damage(msgspec.Struct, frozen=True):
    """A span of data.raw that holds no block this version can read; `newer` when a later version can."""

    offset: int
    length: int
    what: str
    newer: bool = False


def live_chunk(memory: bytes | bytearray | memoryview, count: int) -> Chunk:
    """Read the first `count` packets of pool memory, one chunk's used octets, just as Block.chunk would give them.

    Raises ValueError when the chunk contradicts itself.
    """
    return chunk_of(*chunk_rows(memory, count))


def read_block(source: Source, offset: int, path: Path) -> Block:
    """Read the block at `offset` of a source, and verify all of it.

    `path` names the place in errors. Raises DamagedBlock, NewerFormat for a sound block of a later version, and what
    the source raises when it cannot be reached.
    """
    header = _header(_take(source, offset, BLOCK_HEAD_LENGTH, path), offset, path)
    octets = _take(source, offset, header.length, path)
    status = block_verify(octets)
    if status:
        raise DamagedBlock(path, offset, block_status_text(status))
    return Block(
        path, offset, header, _decompress(memoryview(octets)[BLOCK_HEAD_LENGTH:], header.raw_length, offset, path)
    )


def header_at(source: Source, offset: int, path: Path) -> BlockHeader:
    """Read and verify the header of the block at `offset`, its frame left alone. Raises DamagedBlock, NewerFormat."""
    return _header(_take(source, offset, BLOCK_HEAD_LENGTH, path), offset, path)


def iter_blocks(path: Path, end: int | None = None) -> Iterator[Block | Damage]:
    """Walk data.raw from its start, up to `end` if given; what cannot be read is Damage, the next sound block follows.

    Frames that are no blocks, the seal and spans erased by retention, are stepped over. A block whose header is sound
    is never searched for others: its length says where the next one starts. Raises OSError when the file cannot be
    opened.
    """
    with _opened(path, end) as (file, size):
        offset = 0
        while offset < size:
            step = _step_over(file, offset, size)
            if step:
                offset += step
                continue
            found = _block_or_damage(file, offset, size, path)
            yield found
            offset += found.header.length if isinstance(found, Block) else found.length


def iter_headers(path: Path, start: int = 0, end: int | None = None) -> Iterator[BlockHeader | Damage]:
    """Walk data.raw from the block at `start`, up to `end` if given, by headers alone; their frames are left alone.

    What holds no block is stepped over or Damage, as `iter_blocks` has it. Raises OSError when the file cannot be
    opened.
    """
    with _opened(path, end) as (file, size):
        offset = start
        while offset < size:
            step = _step_over(file, offset, size)
            if step:
                offset += step
                continue
            try:
                header = header_at(file, offset, path)
            except (DamagedBlock, NewerFormat) as error:
                following = _find_block(file, offset + 1, size)
                yield Damage(offset, following - offset, error.hint, newer=isinstance(error, NewerFormat))
                offset = following
            else:
                yield header
                offset += header.length


@contextmanager
def _opened(path: Path, end: int | None) -> Iterator[tuple[PatientFile, int]]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(file).st_size
        yield PatientFile(file), size if end is None else min(size, end)
    finally:
        os.close(file)


def _step_over(file: PatientFile, offset: int, size: int) -> int:
    """Give the length of a frame that holds no block, 0 when none stands at `offset`.

    Such a frame has no checksum of its length: it is believed when a header or the end of the data follows.
    """
    try:
        head = file.read(offset, _STEP.size)
        if len(head) < _STEP.size:
            return 0
        skippable, payload, name = _STEP.unpack(head)
        if (skippable, name) not in _NO_BLOCKS:
            return 0
        length: int = 8 + payload
        following = file.read(offset + length, BLOCK_HEAD_LENGTH)
    except OSError:
        return 0
    if offset + length == size or block_header_decode(following)[0] in _SOUND_HEADERS:
        return length
    follows_another = len(following) >= _STEP.size and _STEP.unpack_from(following)[::2] in _NO_BLOCKS
    return length if follows_another else 0


def _block_or_damage(file: PatientFile, offset: int, size: int, path: Path) -> Block | Damage:
    try:
        block = read_block(file, offset, path)
        if block.header.length <= size - offset:
            return block
        return Damage(offset, size - offset, f"block at octet {offset}: it ends behind the end of the data")
    except (DamagedBlock, NewerFormat) as error:
        length = _length_at(file, offset)
        if length is None or length > size - offset:
            # No header, or the last write of a crash: anything sound behind it is still looked for.
            length = _find_block(file, offset + 1, size) - offset
        return Damage(offset, length, error.hint, newer=isinstance(error, NewerFormat))


def _length_at(file: PatientFile, offset: int) -> int | None:
    """Tell the length of the block whose header stands at `offset` and is sound."""
    try:
        _, fields = block_header_decode(file.read(offset, BLOCK_HEAD_LENGTH))
    except OSError:
        return None
    return None if fields is None else BlockHeader(*fields).length


def _find_block(file: PatientFile, start: int, size: int) -> int:
    """Find the next sound block at or behind `start`.

    A window twice as long as its front holds any block that starts in the front, unless the block is longer still:
    then it covers the rest of the front, and the second, largest window finds it.
    """
    while start < size:
        searched = _FRONTS[0]
        for front in _FRONTS:
            try:
                window = file.read(start, min(2 * front, size - start))
            except OSError:
                break
            at = block_find(window, 0)
            if at < min(front, len(window)):
                return start + at
            searched = front
        start += searched
    return size


def _header(octets: bytes, offset: int, path: Path) -> BlockHeader:
    status, fields = block_header_decode(octets)
    if status in (BLOCK_NEWER, BLOCK_UNKNOWN):
        raise NewerFormat("read", path, f"block at octet {offset}: {block_status_text(status)}")
    if fields is None:
        raise DamagedBlock(path, offset, block_status_text(status))
    return BlockHeader(*fields)


def _take(source: Source, offset: int, length: int, path: Path) -> bytes:
    if isinstance(source, bytes | memoryview):
        return bytes(source[offset : offset + length])
    try:
        return pread(source, length, offset) if isinstance(source, int) else source.read(offset, length)
    except OSError as error:
        raise DamagedBlock(path, offset, error.strerror or str(error)) from None


def _decompress(frame: memoryview, raw_length: int, offset: int, path: Path) -> bytes:
    try:
        # The size the frame itself claims is what zstandard would allocate: it is held against the header first.
        parameters = zstandard.get_frame_parameters(frame)
        claimed = parameters.content_size
        if claimed not in (raw_length, zstandard.CONTENTSIZE_UNKNOWN) or parameters.window_size > BLOCK_RAW_MAX:
            raise DamagedBlock(path, offset, f"its frame claims {claimed} octets; its header says {raw_length}")
        content = zstandard.ZstdDecompressor().decompress(frame, max_output_size=raw_length)
    except zstandard.ZstdError as error:
        raise DamagedBlock(path, offset, f"zstd: {error}") from None
    if len(content) != raw_length:
        raise DamagedBlock(path, offset, f"found {len(content)} octets; its header says {raw_length}")
    return content
