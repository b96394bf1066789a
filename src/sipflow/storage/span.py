"""Stretches of data.raw, told by their headers alone: where blocks of which kind lie, and what is no block."""

import enum
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sipflow._fast import BLOCK_HEAD_LENGTH, block_find, block_header_decode
from sipflow.storage.block import KIND_MESSAGES, KIND_STREAM, BlockHeader

ERASED_MAGIC = 0x184D2A51  # RFC 8878, section 3.1.2: zstd steps over it
ERASED_NAME = b"SFER"
SEAL_MAGIC = 0x184D2A52
SEAL_NAME = b"SFSE"
FRAME = struct.Struct("<II4s")
# What the size field of a skippable frame can say, and the eight octets before it.
FRAME_MAX = (1 << 32) - 1 + 8

_WINDOW = 1 << 20


class Stretch(enum.Enum):
    """What stands in a span."""

    MESSAGES = "SIP messages"
    STREAM = "a chunk of one stream"
    ERASED = "erased"
    SEAL = "a seal"
    UNKNOWN = "a block of a kind this version does not know"
    DAMAGE = "no sound block"


class Span(NamedTuple):
    """A block, a frame that is none, or damage; in octets of data.raw."""

    offset: int
    length: int
    what: Stretch

    @property
    def end(self) -> int:
        """Tell where the next one starts."""
        return self.offset + self.length


_KINDS = {KIND_MESSAGES: Stretch.MESSAGES, KIND_STREAM: Stretch.STREAM}


class _Windows:
    """Octets of a file by offset; reads ahead a window at a time, so that a walk is one long read."""

    def __init__(self, file: int, pace: Callable[[], None]) -> None:
        self._file = file
        self._pace = pace
        self._start = 0
        self._octets = b""

    def take(self, offset: int, length: int) -> bytes:
        at = offset - self._start
        if not 0 <= at <= len(self._octets) - length:
            self._pace()
            self._start, at = offset, 0
            self._octets = os.pread(self._file, max(_WINDOW, length), offset)
        return self._octets[at : at + length]


def spans(file: int, pace: Callable[[], None] = lambda: None) -> Iterator[Span]:
    """Walk an open data.raw by its headers; contents are not looked at. Raises OSError.

    Behind damage the walk goes on at the next sound block, as `iter_blocks` does. `pace` is called before each read of
    a megabyte.
    """
    size = os.fstat(file).st_size
    windows = _Windows(file, pace)
    offset = 0
    while offset < size:
        span = _span_at(windows, offset, size) or Span(
            offset, _next_block(file, offset + 1, size) - offset, Stretch.DAMAGE
        )
        yield span
        offset = span.end


def _span_at(windows: _Windows, offset: int, size: int) -> Span | None:
    head = windows.take(offset, min(BLOCK_HEAD_LENGTH, size - offset))
    if len(head) >= FRAME.size:
        magic, payload, name = FRAME.unpack_from(head)
        other = {(ERASED_MAGIC, ERASED_NAME): Stretch.ERASED, (SEAL_MAGIC, SEAL_NAME): Stretch.SEAL}.get((magic, name))
        if other is not None and 8 + payload <= size - offset:
            return Span(offset, 8 + payload, other)
    _, fields = block_header_decode(head)
    if fields is None:
        return None
    header = BlockHeader(*fields)
    if header.length > size - offset:
        return None
    return Span(offset, header.length, _KINDS.get(header.kind, Stretch.UNKNOWN))


def _next_block(file: int, start: int, size: int) -> int:
    """Find the next sound block; windows overlap by their half, so that one holds it whole."""
    length = 64 * _WINDOW
    while start < size:
        octets = os.pread(file, length, start)
        at = block_find(octets, 0)
        if at < len(octets) or start + len(octets) >= size:
            return start + at
        start += length // 2
    return size


class Run(NamedTuple):
    """Whole blocks side by side, in octets of data.raw."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """Tell where it ends."""
        return self.offset + self.length


def stream_runs(found: Iterator[Span], streams: Sequence[int], messages: Sequence[int], longest: int) -> Iterator[Run]:
    """Put blocks of streams that stand side by side together, each run no longer than `longest` octets.

    `streams` and `messages` are the offsets, in order, at which the index knows blocks of each kind: damage where a
    stream block stood counts as one, up to the next block of messages. Spans erased already are given again.
    """
    known = set(streams)
    run: Run | None = None
    for span in found:
        if span.what is Stretch.DAMAGE and span.offset in known:
            following = bisect_right(messages, span.offset)
            end = min(span.end, messages[following] if following < len(messages) else span.end)
            piece: Run | None = Run(span.offset, end - span.offset)
        elif span.what in (Stretch.STREAM, Stretch.ERASED):
            piece = Run(span.offset, span.length)
        else:
            piece = None
        if run is not None and (piece is None or run.end != piece.offset or run.length + piece.length > longest):
            yield run
            run = None
        if piece is not None:
            run = Run(run.offset, run.length + piece.length) if run is not None else piece
    if run is not None:
        yield run
