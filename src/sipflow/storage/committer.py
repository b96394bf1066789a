"""Encoded portions into buckets: the one owner of the open buckets and their write connections."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sipflow._fast import Pool
from sipflow.clock import SECOND_US, now_us
from sipflow.errors import StorageError
from sipflow.storage.bucket import Bucket
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.encoder import Encoded
from sipflow.storage.index import Portion
from sipflow.storage.layout import ENDLESS, Period
from sipflow.thread import NamedThread

LOG = logging.getLogger("sipflow.storage")

# Late packets of a period are still taken into its bucket for so long after its end.
GRACE_US = 60 * SECOND_US
_BATCH_OCTETS = 1 << 20
_GATHER_SECONDS = 0.05
_RETRY_SECONDS = (0.2, 1.0, 5.0)
_OPEN_BUCKETS = 8
# Parts of earlier runs are sealed once a replay has had time to complete them.
_LEFTOVERS_AFTER_US = 10 * SECOND_US


class Committed:
    """What the committer has done since it started; read by other threads."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.sip_messages = 0
        self.rtp_packets = 0
        self.media_rows = 0
        self.blocks = 0
        self.octets = 0
        self.commits = 0
        self.failures = 0
        self.damaged_chunks = 0
        self.fault = ""
        self.last_us = 0


class Committer:
    """Commits what the encoders hand over, in the order it comes; seals buckets whose time is over."""

    def __init__(
        self, root: Path, pool: Pool, owner: int = 0, grace_us: int = 0, clock: Callable[[], int] = now_us
    ) -> None:
        """Take charge of the buckets under `root`; `owner` is 0 for the recorder, a process id for an import.

        A bucket is sealed `grace_us` or a minute after its period and its last packet, whichever is longer.
        """
        self._catalog = Catalog(root)
        self._root = root
        self._pool = pool
        self._owner = owner
        self._clock = clock
        self._grace_us = max(GRACE_US, 2 * grace_us)
        self._leftovers_due_us = clock() + _LEFTOVERS_AFTER_US
        self._buckets: dict[Period, tuple[Part, Bucket, int]] = {}
        self._queue: queue.Queue[Encoded | None] = queue.Queue(maxsize=64)
        self._thread = NamedThread(target=self._run, name="committer", daemon=True)
        self.committed = Committed()
        self._stop_retrying = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, encoded: Encoded) -> None:
        """Hand over encoded chunks; waits while too many lie there, which lets the pool fill and drop by its rules."""
        self._queue.put(encoded)

    def stop(self, give_up_after: float = 30.0) -> None:
        """Commit everything handed over, then stop; what a failing disk refuses stays in the pool."""
        self._queue.put(None)
        self._thread.join(give_up_after)
        self._stop_retrying.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def open_buckets(self) -> list[str]:
        """Name the buckets that are open for writing."""
        return [part.path for part, _, _ in list(self._buckets.values())]

    def known_chunks(self) -> dict[Period, set[int]]:
        """Tell which chunks are committed in the parts that were open when the last process ended."""
        known: dict[Period, set[int]] = {}
        for part in self._catalog.open_parts():
            period = Period((part.start_us, part.end_us))
            bucket = Bucket(self._root / part.path)
            known.setdefault(period, set()).update(bucket.known_chunks())
            bucket.close()
        return known

    def _run(self) -> None:
        done = False
        while not done:
            batch, done = self._gather()
            if batch and not self._commit_with_retries(batch):
                break
            self._seal_finished()
        self._close_all()

    def _gather(self) -> tuple[list[Encoded], bool]:
        try:
            first = self._queue.get(timeout=1.0)
        except queue.Empty:
            return [], False
        if first is None:
            return [], True
        batch, octets = [first], _octets(first)
        until = time.monotonic() + _GATHER_SECONDS
        while octets < _BATCH_OCTETS:
            try:
                more = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if more is None:
                return batch, True
            batch.append(more)
            octets += _octets(more)
        return batch, False

    def _commit_with_retries(self, batch: list[Encoded]) -> bool:
        by_period: dict[Period, list[Portion]] = {}
        for encoded in batch:
            for period, portion in encoded.portions:
                by_period.setdefault(period, []).append(portion)
        attempt = 0
        while by_period:
            period = next(iter(by_period))
            try:
                self._bucket(period).append(by_period[period])
            except StorageError as error:
                self.committed.failures += 1
                self.committed.fault = str(error)
                LOG.error("storage is failing, nothing is lost while the pool has room: %s", error)
                if self._stop_retrying.wait(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]):
                    return False
                attempt += 1
                continue
            self._account(by_period.pop(period))
        self.committed.fault = ""
        for encoded in batch:
            self._pool.release(encoded.chunks)
            self.committed.media_rows += sum(len(portion.media) for _, portion in encoded.portions)
            self.committed.sip_messages += encoded.sip_messages
            self.committed.rtp_packets += encoded.rtp_packets
            self.committed.damaged_chunks += encoded.damaged
        self.committed.last_us = self._clock()
        return True

    def _account(self, portions: list[Portion]) -> None:
        self.committed.commits += 1
        self.committed.blocks += sum(len(portion.blocks) for portion in portions)
        self.committed.octets += sum(len(portion.data) for portion in portions)

    def _bucket(self, period: Period) -> Bucket:
        now = self._clock()
        if period in self._buckets:
            part, bucket, _ = self._buckets.pop(period)
        else:
            while len(self._buckets) >= _OPEN_BUCKETS:
                self._buckets.pop(next(iter(self._buckets)))[1].close()
            part = self._catalog.claim(period, self._owner)
            bucket = Bucket(self._root / part.path)
            self._catalog.made(part)
        self._buckets[period] = (part, bucket, now)
        return bucket

    def _seal_finished(self) -> None:
        if self._owner:
            return  # an import seals once, at its end
        now = self._clock()
        for period, (part, bucket, written_us) in list(self._buckets.items()):
            if period != ENDLESS and max(period.end_us, written_us) + self._grace_us < now:
                del self._buckets[period]
                self._seal(part, bucket)
        if now >= self._leftovers_due_us:
            self._leftovers_due_us = now + self._grace_us
            self._seal_leftovers(now)

    def _seal_leftovers(self, now: int) -> None:
        for part in self._catalog.open_parts():
            period = Period((part.start_us, part.end_us))
            if part.owner == 0 and period.end_us + self._grace_us < now and period not in self._buckets:
                try:
                    bucket = Bucket(self._root / part.path)
                except StorageError as error:
                    LOG.error("bucket stays as it is: %s", error)
                    continue
                self._seal(part, bucket)

    def _seal(self, part: Part, bucket: Bucket) -> None:
        try:
            totals, call_ids = bucket.totals(), bucket.call_ids()
            bucket.seal()
            self._catalog.sealed(part, totals, call_ids)
        except StorageError as error:
            self.committed.fault = str(error)
            LOG.error("could not seal %s: %s", part.path, error)
            return
        LOG.info(
            "sealed %s: %d calls, %d SIP messages, %d RTP packets, %d octets",
            part.path or ".", totals.calls, totals.sip_messages, totals.rtp_packets, totals.octets,
        )  # fmt: skip

    def _close_all(self) -> None:
        for _, bucket, _ in self._buckets.values():
            bucket.close()
        self._buckets.clear()
        if self._owner:
            self._seal_own()
        self._catalog.close()

    def _seal_own(self) -> None:
        """Seal all that an import wrote, those buckets too that were closed to make room."""
        for part in self._catalog.open_parts():
            if part.owner == self._owner:
                try:
                    bucket = Bucket(self._root / part.path)
                except StorageError as error:
                    LOG.error("bucket stays as it is: %s", error)
                    continue
                self._seal(part, bucket)


def _octets(encoded: Encoded) -> int:
    return sum(len(portion.data) for _, portion in encoded.portions)
