"""Octets fetched from the archive, kept in a file without a name: a ring in which the newest overwrite the oldest."""

import bisect
import os
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import NamedTuple

from sipflow.storage.source import Span


class _Piece(NamedTuple):
    """Octets of an object, and where they stand in the ring."""

    offset: int
    length: int
    at: int
    key: str

    @property
    def end(self) -> int:
        """Tell the octet of the object behind the last one."""
        return self.offset + self.length


class Ring:
    """What was read of objects last. Safe to use from several threads.

    Its file has no name, so that the kernel removes it with the process, however that ends.
    """

    def __init__(self, directory: Path, octets: int) -> None:
        """Keep at most `octets`; the file is made in `directory` when it is first needed."""
        self.octets = octets
        self._directory = directory
        self._lock = threading.Lock()
        self._file = -1
        self._head = 0
        self._queue: deque[_Piece] = deque()
        # By object, in order of their offsets; no two overlap.
        self._pieces: dict[str, list[_Piece]] = {}

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1
            self._queue.clear()
            self._pieces.clear()

    def get(self, key: str, span: Span) -> bytes | None:
        """Give octets of an object; None when not all of them are here."""
        with self._lock:
            found = []
            at = span.offset
            while at < span.end:
                piece = self._covering(key, at)
                if piece is None:
                    return None
                length = min(piece.end, span.end) - at
                octets = os.pread(self._file, length, piece.at + at - piece.offset)
                if len(octets) < length:
                    return None
                found.append(octets)
                at += length
            return b"".join(found)

    def missing(self, key: str, span: Span) -> list[Span]:
        """List the stretches of a span that are not here."""
        with self._lock:
            return self._missing(key, span)

    def put(self, key: str, offset: int, octets: bytes) -> None:
        """Keep octets of an object, as far as they are not here and fit. Raises OSError when the disk is full."""
        with self._lock:
            for lack in self._missing(key, Span(offset, len(octets))):
                if lack.length <= self.octets:
                    self._put(key, lack, octets[lack.offset - offset : lack.end - offset])

    def forget(self, key: str, span: Span) -> None:
        """Give no more of what touches a span of an object."""
        with self._lock:
            pieces = self._pieces.get(key, [])
            self._pieces[key] = [one for one in pieces if one.end <= span.offset or one.offset >= span.end]

    def _put(self, key: str, span: Span, octets: bytes) -> None:
        if self._file < 0:
            self._file = self._make()
        if self._head + span.length > self.octets:
            self._overwrite(self._head, self.octets)
            self._head = 0
        self._overwrite(self._head, self._head + span.length)
        os.pwrite(self._file, octets, self._head)
        piece = _Piece(span.offset, span.length, self._head, key)
        self._head += span.length
        self._queue.append(piece)
        bisect.insort(self._pieces.setdefault(key, []), piece)

    def _make(self) -> int:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._directory) as file:
            return os.dup(file.fileno())

    def _overwrite(self, start: int, end: int) -> None:
        """Forget the pieces in a stretch of the ring: the oldest ones stand there."""
        while self._queue and self._queue[0].at < end and self._queue[0].at + self._queue[0].length > start:
            piece = self._queue.popleft()
            pieces = self._pieces.get(piece.key, [])
            place = bisect.bisect_left(pieces, piece)
            if place < len(pieces) and pieces[place] == piece:
                del pieces[place]
            if not pieces:
                self._pieces.pop(piece.key, None)

    def _covering(self, key: str, at: int) -> _Piece | None:
        pieces = self._pieces.get(key, [])
        place = bisect.bisect_right(pieces, at, key=lambda piece: piece.offset) - 1
        return pieces[place] if place >= 0 and at < pieces[place].end else None

    def _missing(self, key: str, span: Span) -> list[Span]:
        found = []
        at = span.offset
        pieces = self._pieces.get(key, [])
        place = max(0, bisect.bisect_right(pieces, at, key=lambda piece: piece.offset) - 1)
        for piece in pieces[place:]:
            if piece.offset >= span.end:
                break
            if piece.offset > at:
                found.append(Span(at, piece.offset - at))
            at = max(at, piece.end)
        if at < span.end:
            found.append(Span(at, span.end - at))
        return found
