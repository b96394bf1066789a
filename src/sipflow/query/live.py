"""The live pool: packets that were received and are not in a bucket yet."""

import errno
import threading
from pathlib import Path
from typing import NamedTuple

from sipflow._fast import Pool, arena_messages
from sipflow.errors import StorageError
from sipflow.query.parts import Listed, bounds
from sipflow.query.window import Window
from sipflow.storage.block import live_chunk
from sipflow.storage.layout import POOL_DIRECTORY
from sipflow.storage.record import MessageFields, live_messages, message_of
from sipflow.storage.store import pool_path
from sipflow.wire.dialog import CallDigest, digest_of
from sipflow.wire.packet import Chunk, Message
from sipflow.wire.sip import parse_head

ALWAYS = Window()


class Span(NamedTuple):
    """When the SIP of a call was filed, first and last; microseconds."""

    first_us: int
    last_us: int


class Spoken:
    """What was said in the live calls at one moment; messages are read when they are asked for, one by one call."""

    def __init__(self) -> None:
        """Begin with nothing; `LivePool.spoken` fills it."""
        self._said: dict[str, list[tuple[int, MessageFields]]] = {}
        self.spans: dict[str, Span] = {}

    def add(self, chunk: int, said: list[MessageFields]) -> None:
        """Take in the messages of one chunk."""
        for fields in said:
            call_id, time_us, arrival_us = fields[:3]
            filed_us = arrival_us if fields[10] else time_us
            known = self.spans.get(call_id)
            if known is None:
                self._said[call_id] = [(chunk, fields)]
                self.spans[call_id] = Span(filed_us, filed_us)
            else:
                self._said[call_id].append((chunk, fields))
                if not known.first_us <= filed_us <= known.last_us:
                    self.spans[call_id] = Span(min(known.first_us, filed_us), max(known.last_us, filed_us))

    def messages(self, call_id: str) -> list[tuple[int, Message]]:
        """Give the messages of a call, each with the id of its chunk."""
        return [(chunk, message_of(fields)) for chunk, fields in self._said.get(call_id, ())]

    def digest(self, call_id: str) -> CallDigest:
        """Sum up what was said in a live call."""
        return list_live([message for _, message in self.messages(call_id)])[call_id]


class LivePool:
    """The pool of a data root, mapped read-only; follows when the recorder makes a new one.

    Safe to ask from several threads at once.
    """

    def __init__(self, root: Path) -> None:
        """Look for the pool when asked, not before."""
        self._root = root
        self._link = root / POOL_DIRECTORY / "pool"
        self._pool: Pool | None = None
        self._file: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def pool(self) -> Pool | None:
        """Give the pool as it is now; None when there is none. Raises StorageError when it cannot be read."""
        with self._lock:
            try:
                status = self._link.stat()
            except (FileNotFoundError, NotADirectoryError):
                self._pool = None
                return None
            except OSError as error:
                raise StorageError("open", self._link, error.strerror or str(error)) from None
            # Device and inode are not given to another file while the pool is mapped.
            file = status.st_dev, status.st_ino
            if self._pool is None or file != self._file:
                self._pool, self._file = self._attached(), file
            return self._pool

    def _attached(self) -> Pool | None:
        path = pool_path(self._root)
        if path is None:
            return None
        try:
            return Pool.attach(str(path))
        except OSError as error:
            # Gone or half made this moment: the next question finds it. Anything else would hide live packets.
            if error.errno not in (errno.ENOENT, errno.EPROTO):
                raise StorageError("open", path, error.strerror or str(error)) from None
            return None

    def _copies(self, call_id: bytes, *, sip: bool, streams: bool) -> list[tuple[bool, int, int, bytes]]:
        pool = self.pool()
        if pool is None:
            return []
        return pool.live(call_id, sip=sip, streams=streams)

    def messages(self, call_id: str | None, window: Window) -> list[tuple[int, Message]]:
        """Give the live SIP messages of a call, or of all, each with the id of its chunk."""
        low, high = bounds(window)
        found = []
        # A Call-ID that was not well-formed cannot be told from its octets: then all are looked at.
        wanted = b"" if call_id is None or "\ufffd" in call_id else call_id.encode("utf-8", "surrogatepass")
        for _, chunk_id, count, octets in self._copies(wanted, sip=True, streams=False):
            found += [
                (chunk_id, message)
                for message in live_messages(octets, count)
                if low <= message.time_us <= high and call_id in (None, message.call_id)
            ]
        return found

    def spoken(self) -> Spoken:
        """Give the SIP of all live calls."""
        spoken = Spoken()
        for _, chunk_id, count, octets in self._copies(b"", sip=True, streams=False):
            spoken.add(chunk_id, arena_messages(octets, count))
        return spoken

    def chunks(self, call_id: str, window: Window) -> list[tuple[int, Chunk]]:
        """Give the live media of a call, each chunk with its id."""
        low, high = bounds(window)
        found = []
        for _, chunk_id, count, octets in self._copies(
            call_id.encode("utf-8", "surrogatepass"), sip=False, streams=True
        ):
            chunk = live_chunk(octets, count)
            if chunk.key.call_id == call_id:
                times = chunk.rows["time_us"]
                if times.min() <= high and times.max() >= low:
                    found.append((chunk_id, chunk))
        return found


def list_live(messages: list[Message]) -> dict[str, CallDigest]:
    """Gather messages into one digest per call."""
    digests: dict[str, CallDigest] = {}
    for message in messages:
        filed_us = message.arrival_us if message.clock_skew else message.time_us
        digest = digest_of(message.call_id, parse_head(message.payload), filed_us, message.src, message.dst)
        if message.call_id in digests:
            digests[message.call_id].merge(digest)
        else:
            digests[message.call_id] = digest
    return digests


def media_of(chunks: list[Chunk]) -> Listed | None:
    """Sum what live chunks say of one call's media."""
    if not chunks:
        return None
    first = min(int(chunk.rows["time_us"].min()) for chunk in chunks)
    last = max(int(chunk.rows["time_us"].max()) for chunk in chunks)
    streams = frozenset(
        (chunk.key.leg, str(chunk.key.src), str(chunk.key.dst), chunk.key.ssrc)
        for chunk in chunks
        if chunk.key.ssrc is not None
    )
    return Listed(CallDigest(chunks[0].key.call_id, first, last), sum(len(chunk.rows) for chunk in chunks), streams)
