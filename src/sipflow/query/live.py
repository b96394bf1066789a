"""The live pool: packets that were received and are not in a bucket yet."""

import errno
from pathlib import Path

from sipflow._fast import Pool
from sipflow.errors import StorageError
from sipflow.query.parts import Listed, bounds
from sipflow.query.window import Window
from sipflow.storage.block import live_chunk
from sipflow.storage.record import live_messages
from sipflow.storage.store import pool_path
from sipflow.wire.dialog import CallDigest, digest_of
from sipflow.wire.packet import Chunk, Message
from sipflow.wire.sip import parse_head


class LivePool:
    """The pool of a data root, mapped read-only; follows when the recorder makes a new one. One thread at a time."""

    def __init__(self, root: Path) -> None:
        """Look for the pool when asked, not before."""
        self._root = root
        self._path: Path | None = None
        self._pool: Pool | None = None

    def pool(self) -> Pool | None:
        """Give the pool as it is now; None when there is none. Raises StorageError when it cannot be read."""
        path = pool_path(self._root)
        if path != self._path:
            self._pool = None
            self._path = path
            if path is not None:
                try:
                    self._pool = Pool.attach(str(path))
                except OSError as error:
                    self._path = None
                    # Gone or half made this moment: the next question finds it. Anything else would hide live packets.
                    if error.errno not in (errno.ENOENT, errno.EPROTO):
                        raise StorageError("open", path, error.strerror or str(error)) from None
        return self._pool

    def messages(self, call_id: str | None, window: Window) -> list[tuple[int, Message]]:
        """Give the live SIP messages of a call, or of all, each with the id of its chunk."""
        pool = self.pool()
        if pool is None:
            return []
        low, high = bounds(window)
        found = []
        # A Call-ID that was not well-formed cannot be told from its octets: then all are looked at.
        exact = call_id is not None and "\ufffd" not in call_id
        wanted = call_id.encode("utf-8", "surrogatepass") if exact and call_id is not None else b""
        for _, chunk_id, count, octets in pool.live(wanted, sip=True, streams=False):
            found += [
                (chunk_id, message)
                for message in live_messages(octets, count)
                if low <= message.time_us <= high and call_id in (None, message.call_id)
            ]
        return found

    def chunks(self, call_id: str, window: Window) -> list[tuple[int, Chunk]]:
        """Give the live media of a call, each chunk with its id."""
        pool = self.pool()
        if pool is None:
            return []
        low, high = bounds(window)
        found = []
        for _, chunk_id, count, octets in pool.live(call_id.encode(), sip=False, streams=True):
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
