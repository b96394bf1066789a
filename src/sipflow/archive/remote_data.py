"""The data.raw of an archived part, read in spans."""

import bisect
import threading
import time
from collections.abc import Sequence
from typing import Final

from sipflow.archive.remote_reader import REQUESTS, SpanReader
from sipflow.archive.remote_spans import PIECE_OCTETS, join, join_few
from sipflow.errors import StorageError
from sipflow.storage.source import Span

# What is read without having been expected, a header for instance, is read with what follows it.
_UNEXPECTED_OCTETS: Final = 64 << 10
# Chunks that are read when no question is under way any more, while sound is sent, are waited for so long [s].
READ_SECONDS: Final = 15.0
# Of so many pieces it is remembered that they were expected; a call of ten hours has a hundred.
_EXPECTED_MOST: Final = 4096


class RemoteData:
    """The octets of one object, as a DataSource. Safe to read from several threads."""

    def __init__(self, reader: SpanReader, key: str, octets: int) -> None:
        """Read the object at `key`, which has so many octets. Asks nothing yet."""
        self._reader = reader
        self._key = key
        self._octets = octets
        self._lock = threading.Lock()
        self._expected: list[Span] = []
        self._until = 0.0

    def allow(self, seconds: float) -> None:
        """Wait no longer than until then for what is expected [s from now]."""
        self._until = time.monotonic() + seconds

    def read(self, offset: int, length: int) -> bytes:
        """Give the octets from `offset` on, fewer only at the end. Raises StorageError."""
        wanted = Span(offset, min(length, self._octets - offset))
        if wanted.offset < 0 or wanted.length <= 0:
            return b""
        found = self._reader.ring.get(self._key, wanted)
        if found is None:
            pieces = self._pieces_of(wanted)
            fetched = self._reader.fetch(self._key, pieces, self._reader.patience(READ_SECONDS))
            found = self._reader.ring.get(self._key, wanted) or _cut_out(wanted, pieces, fetched)
        return found

    def expect(self, spans: Sequence[Span]) -> None:
        """Fetch what is not here of some spans, as much of it as is kept, in few requests. Raises StorageError."""
        ring = self._reader.ring
        # As much is in memory at once.
        room = ring.octets // 2
        pieces = join_few((lack for span in spans for lack in ring.missing(self._key, span)), self._octets, room)
        with self._lock:
            self._expected = sorted({*self._expected, *pieces})[-_EXPECTED_MOST:]
        # The rest of a call that is longer comes when it is read.
        now = []
        for piece in pieces:
            room -= piece.length
            if room < 0:
                break
            now.append(piece)
        if now:
            seconds = max(0.0, self._until - time.monotonic())
            self._reader.fetch(self._key, now, self._reader.patience(seconds))

    def doubt(self, span: Span) -> None:
        """Read anew what was damaged there."""
        self._reader.ring.forget(self._key, span)

    def _pieces_of(self, wanted: Span) -> list[Span]:
        """Choose what to fetch for a span: the piece that was expected there and those behind it, else what is near."""
        with self._lock:
            place = bisect.bisect_right(self._expected, wanted.offset, key=lambda piece: piece.offset) - 1
            ahead = self._expected[max(place, 0) : place + REQUESTS // 2]
        if place < 0 or wanted.end > ahead[0].end:
            near = Span(wanted.offset, max(wanted.length, min(_UNEXPECTED_OCTETS, self._octets - wanted.offset)))
            return join([near], self._octets)
        room = max(self._reader.ring.octets // 2, PIECE_OCTETS)
        chosen = [ahead[0]]
        for piece in ahead[1:]:
            room -= piece.length
            if room < 0:
                break
            if self._reader.ring.missing(self._key, piece):
                chosen.append(piece)
        return chosen


def _cut_out(wanted: Span, pieces: Sequence[Span], fetched: Sequence[bytes]) -> bytes:
    """Take a span out of pieces that follow each other."""
    found = bytearray()
    for piece, octets in zip(pieces, fetched, strict=True):
        start, stop = max(wanted.offset + len(found), piece.offset), min(wanted.end, piece.end)
        if start == wanted.offset + len(found) and start < stop:
            found += octets[start - piece.offset : stop - piece.offset]
    if len(found) < wanted.length:
        raise StorageError(
            "read", "the archive", f"{wanted.length} octets from {wanted.offset} on could not be put together"
        )
    return bytes(found)
