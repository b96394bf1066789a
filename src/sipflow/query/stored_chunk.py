"""Chunks of media that stay where they are stored: a handle, and the last few that were looked at."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow.storage.block import read_block
from sipflow.storage.source import DataSource
from sipflow.wire.packet import Chunk, StreamKey

Content = tuple[NDArray[np.void], bytes]
# A call of ten minutes stays whole, so that it is decoded once; a longer one is read as it is needed.
HELD_OCTETS: Final = 14 << 20
# Two integers, a key and the like, beside what the content takes.
_OVERHEAD: Final = 512


Place = tuple[DataSource, int]


class HeldContent:
    """The latest contents asked for, up to so many octets. Safe to use from several threads."""

    def __init__(self, octets: int = HELD_OCTETS) -> None:
        """Hold at most `octets`, but always the latest."""
        self._room = octets
        self._lock = threading.Lock()
        self._held: OrderedDict[Place, Content] = OrderedDict()
        self._octets = 0

    def get(self, place: Place) -> Content | None:
        """Give what is held of a place."""
        with self._lock:
            content = self._held.get(place)
            if content is not None:
                self._held.move_to_end(place)
            return content

    def put(self, place: Place, content: Content) -> None:
        """Hold it, and let the longest unused go."""
        with self._lock:
            if place in self._held:
                return
            self._held[place] = content
            self._octets += _size(content)
            while self._octets > self._room and len(self._held) > 1:
                self._octets -= _size(self._held.popitem(last=False)[1])


def _size(content: Content) -> int:
    return content[0].nbytes + len(content[1]) + _OVERHEAD


class StoredChunk(Chunk):
    """A chunk in a block of data.raw: what tells it apart is at hand, its content is read when asked for."""

    __slots__ = ("_arrived_us", "_first_us", "_held", "_last_us", "_offset", "_packets", "_path", "_source")

    def __init__(
        self, chunk: Chunk, key: StreamKey, source: DataSource, path: Path, offset: int, held: HeldContent
    ) -> None:
        """Take the place of `chunk`, just read from `offset` of `source`, the data at `path`; `key` equals its own."""
        super().__init__(key, _NO_ROWS, b"", chunk.clock_skew)
        self._source = source
        self._path = path
        self._offset = offset
        self._held = held
        self._packets = chunk.packets
        self._first_us = chunk.first_us()
        self._arrived_us = chunk.first_us(by_arrival=True)
        self._last_us = chunk.last_us
        held.put(self._place, chunk.content())

    @property
    def _place(self) -> Place:
        return self._source, self._offset

    def content(self) -> Content:
        """Read rows and data, unless they are still held. Raises DamagedBlock, NewerFormat, StorageError."""
        content = self._held.get(self._place)
        if content is None:
            content = read_block(self._source, self._offset, self._path).chunk().content()
            self._held.put(self._place, content)
        return content

    @property
    def packets(self) -> int:
        """Tell how many packets it holds."""
        return self._packets

    @property
    def last_us(self) -> int:
        """Tell when the last of its packets was captured."""
        return self._last_us

    def first_us(self, *, by_arrival: bool = False) -> int:
        """Tell when its first packet was captured, or received."""
        return self._arrived_us if by_arrival else self._first_us


_NO_ROWS = np.zeros(0, np.void)
