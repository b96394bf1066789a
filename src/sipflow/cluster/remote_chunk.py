"""Chunks of media that stay on another node: what tells them apart is at hand, content is fetched when asked for."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final

import numpy as np

from sipflow.cluster.exchange import CONTENTS_US, ChunkNote, MediaNote, StreamNote
from sipflow.cluster.fetched import Fetched
from sipflow.cluster.prints import print_of
from sipflow.errors import StorageError
from sipflow.query.stored_chunk import Content
from sipflow.query.window import Window
from sipflow.wire.packet import RTP_ROW, Chunk, StreamKey

Fetch = Callable[[str, Window], MediaNote]


class Origin:
    """Where the chunks of one node come from: `fetch` gives those of a call and window with their content."""

    def __init__(self, name: str, fetch: Fetch, fetched: Fetched) -> None:
        """Fetch from the node of this name, and keep what came in `fetched`."""
        self.name = name
        self._fetch = fetch
        self._fetched = fetched

    def content(self, call_id: str, key: Hashable, start_us: int) -> Content:
        """Give the content of a chunk, and keep that of those that follow it. Raises StorageError."""
        try:
            kept = self._fetched.get(key)
            if kept is not None:
                return kept
            note = self._fetch(call_id, Window(start_us, start_us + CONTENTS_US))
            found = None
            for chunk, stream in ((one, note.streams[one.stream]) for one in note.chunks):
                if chunk.rows is None or chunk.data is None:
                    continue
                own = identity(self.name, call_id, stream, chunk)
                if own == key:
                    found = np.frombuffer(chunk.rows, RTP_ROW), chunk.data
                if own == key or self._fetched.get(own) is None:
                    self._fetched.put(own, chunk.rows, chunk.data)
        except OSError as error:
            raise StorageError("keep", "what was fetched", error.strerror or str(error)) from None
        if found is None:
            why = "; ".join(fault.what for fault in note.faults) or "it is not there any more"
            raise StorageError("fetch", self.name, f"media of a call: {why}")
        return found


class RemoteChunk(Chunk):
    """A chunk that another node stores."""

    __slots__ = ("_arrived_us", "_first_us", "_identity", "_last_us", "_origin", "_packets", "print")

    def __init__(self, key: StreamKey, note: ChunkNote, identity: Hashable, origin: Origin) -> None:
        """Stand for the chunk that a node noted."""
        super().__init__(key, _NO_ROWS, b"", note.clock_skew)
        self._identity = identity
        self._origin = origin
        self._packets = note.packets
        self.print = note.print
        self._first_us, self._arrived_us, self._last_us = note.first_us, note.arrived_us, note.last_us

    def content(self) -> Content:
        """Fetch rows and data, unless they were. Raises StorageError."""
        start_us = self._arrived_us if self.clock_skew else self._first_us
        return self._origin.content(self.key.call_id, self._identity, start_us)

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


def identity(node: str, call_id: str, stream: StreamNote, chunk: ChunkNote) -> Hashable:
    """Tell a chunk from all others."""
    return node, call_id, stream, chunk.first_us, chunk.arrived_us, chunk.packets


def note_of(
    chunks: Iterable[Chunk], is_whole: Callable[[Chunk], bool], *, printed: bool = False
) -> tuple[list[StreamNote], list[ChunkNote]]:
    """Write chunks down, with content where `is_whole` says so, and with their prints. Raises StorageError."""
    streams: dict[StreamNote, int] = {}
    notes = []
    for chunk in chunks:
        key = chunk.key
        number = streams.setdefault(StreamNote(key.leg, key.src, key.dst, key.ssrc, key.client_id), len(streams))
        rows, data = chunk.content() if is_whole(chunk) else (None, None)
        notes.append(
            ChunkNote(
                number, chunk.packets, chunk.first_us(), chunk.first_us(by_arrival=True), chunk.last_us,
                chunk.clock_skew, None if rows is None else rows.tobytes(), None if data is None else bytes(data),
                print_of(chunk.rows) if printed else None,
            )
        )  # fmt: skip
    return list(streams), notes


def chunks_of(call_id: str, note: MediaNote, origin: Origin) -> list[Chunk]:
    """Make chunks of what a node noted."""
    keys = [StreamKey(call_id, one.leg, one.src, one.dst, one.ssrc, one.client_id) for one in note.streams]
    return [_chunk(keys, note.streams, one, call_id, origin) for one in note.chunks]


def _chunk(
    keys: Sequence[StreamKey], streams: Sequence[StreamNote], one: ChunkNote, call_id: str, origin: Origin
) -> Chunk:
    key = keys[one.stream]
    if one.rows is not None and one.data is not None:
        return Chunk(key, np.frombuffer(one.rows, RTP_ROW), one.data, one.clock_skew)
    return RemoteChunk(key, one, identity(origin.name, call_id, streams[one.stream], one), origin)


_NO_ROWS: Final = np.zeros(0, np.void)
