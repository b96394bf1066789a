"""The live pool: packets that were received and are not in a bucket yet."""

import errno
import threading
from pathlib import Path
from typing import NamedTuple

from sipflow._fast import Pool, Roster
from sipflow.errors import StorageError
from sipflow.query.descent import Began
from sipflow.query.listed import Listed
from sipflow.query.parts import bounds
from sipflow.query.window import Window
from sipflow.storage.block import live_chunk
from sipflow.storage.layout import POOL_DIRECTORY
from sipflow.storage.record import live_messages
from sipflow.storage.store import pool_path
from sipflow.wire.dialog import CallDigest, digest_of
from sipflow.wire.packet import Chunk, Message
from sipflow.wire.sip import parse_head

ALWAYS = Window()
_FIRST, _LAST_US = Began(bounds(ALWAYS)[0], ""), bounds(ALWAYS)[1]


class Called(NamedTuple):
    """A live call: when its SIP was filed, first and last [us], and what its heads say if they were read."""

    first_us: int
    call_id: str
    last_us: int
    begins: bool
    from_user: str
    to_user: str


class LiveCalls:
    """The live calls at one moment; their packets are read when they are asked for. One thread at a time.

    What was committed since that moment is not given: it is in a bucket, so ask the parts afterwards.
    """

    def __init__(self, roster: Roster | None) -> None:
        """Use `LivePool.calls`; without a roster there are none."""
        self._roster = roster

    def close(self) -> None:
        """Give back the memory; there are no calls then."""
        self._roster = None

    def newest(self, before: Began | None, most: int) -> list[Called]:
        """List calls that began before the given one, or the newest of all, newest first."""
        if self._roster is None:
            return []
        # Whoever asks may name any number, and beyond the times there are is before or behind them all.
        if before is None or before.first_us > _LAST_US:
            return [Called(*one) for one in self._roster.newest(None, most)]
        first_us, call_id = max(before, _FIRST)
        return [Called(*one) for one in self._roster.newest((first_us, _octets(call_id)), most)]

    def find(self, call_id: str) -> Called | None:
        """Give a call; None when it has no SIP here."""
        found = None if self._roster is None else self._roster.find(_octets(call_id))
        return None if found is None else Called(*found)

    def messages(self, call_id: str) -> list[tuple[int, Message]]:
        """Give the messages of a call, each with the id of its chunk."""
        copies = [] if self._roster is None else self._roster.messages(_octets(call_id))
        return [(chunk, message) for chunk, count, octets in copies for message in live_messages(octets, count)]

    def chunks(self, call_id: str, window: Window) -> list[tuple[int, Chunk]]:
        """Give the media of a call, each chunk with its id."""
        copies = [] if self._roster is None else self._roster.media(_octets(call_id))
        return _chunks_of(call_id, window, copies)


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
        wanted = b"" if call_id is None or "\ufffd" in call_id else _octets(call_id)
        for _, chunk_id, count, octets in self._copies(wanted, sip=True, streams=False):
            found += [
                (chunk_id, message)
                for message in live_messages(octets, count)
                if low <= message.time_us <= high and call_id in (None, message.call_id)
            ]
        return found

    def calls(self, *, heads: bool) -> LiveCalls:
        """Look at the SIP of all live calls, for who closes them; `heads` has users and beginnings read too."""
        pool = self.pool()
        return LiveCalls(None if pool is None else Roster(pool, heads=heads))

    def chunks(self, call_id: str, window: Window) -> list[tuple[int, Chunk]]:
        """Give the live media of a call, each chunk with its id."""
        copies = [copy[1:] for copy in self._copies(_octets(call_id), sip=False, streams=True)]
        return _chunks_of(call_id, window, copies)


def _octets(call_id: str) -> bytes:
    return call_id.encode("utf-8", "surrogatepass")


def _chunks_of(call_id: str, window: Window, copies: list[tuple[int, int, bytes]]) -> list[tuple[int, Chunk]]:
    """Read copies of stream chunks; some may be another call's."""
    low, high = bounds(window)
    found = []
    for chunk_id, count, octets in copies:
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
