"""Encoded portions into buckets: the one owner of the open buckets and their write connections."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sipflow._fast import Pool, Portion
from sipflow.clock import SECOND_US, now_us
from sipflow.errors import StorageError, UnfitBucket
from sipflow.storage.block import Damage
from sipflow.storage.bucket import Bucket, committed_last
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.encoder import Encoded
from sipflow.storage.layout import CATALOG, ENDLESS, Period
from sipflow.storage.sealed import is_sealed
from sipflow.storage.sealer import Sealer
from sipflow.thread import NamedThread

LOG = logging.getLogger("sipflow.storage")

# Late packets of a period are still taken into its bucket for so long after its end.
GRACE_US = 60 * SECOND_US
# Large commits are cheap ones: an index page that many rows share is written once (bench/ingest.py). The pool holds
# the packets meanwhile, and they can be asked for.
_BATCH_OCTETS = 40 << 20
_GATHER_SECONDS = 0.5
_QUEUED = 16
# What may wait outside the pool for buckets that fail, while others go on.
_WAITING_OCTETS = 32 << 20
_PUT_SECONDS = 0.5
_RETRY_SECONDS = (0.2, 1.0, 5.0)
# A bucket that fails so often is opened anew: its files may have been exchanged under us.
_REOPEN_AFTER = 3
_OPEN_BUCKETS = 8
# Parts of earlier runs are sealed once a replay has had time to complete them.
_LEFTOVERS_AFTER_SECONDS = 2.0


class Committed:
    """What the committer has done since it started; read by other threads."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.sip_messages = 0
        self.rtp_packets = 0
        self.sip_rows = 0
        self.media_rows = 0
        self.octets = 0
        self.commits = 0
        self.failures = 0
        self.damaged_chunks = 0
        self.damaged_packets = 0
        self.known_packets = 0
        self.last_us = 0


class _Open:
    """A bucket open for writing, and where its commits began that a replay may still have to know."""

    def __init__(self, part: Part, bucket: Bucket) -> None:
        self.part = part
        self.bucket = bucket
        self.written_us = 0
        self.failures = 0
        self._earlier = bucket.replay_from
        self._begun: list[tuple[int, int]] = []

    def append(self, portions: list[Portion], commit: int, durable: int, *, replaying: bool) -> None:
        """Append as commit number `commit`; the chunks of commits up to `durable` will not come again.

        While `replaying`, those that the process before committed last may.
        """
        self._begun = [one for one in self._begun if one[0] > durable]
        start = self._begun[0][1] if self._begun else self.bucket.octets
        start = min(start, self._earlier) if replaying else start
        before = self.bucket.octets
        self.bucket.append(portions, start)
        self._begun.append((commit, before))

    def settled(self, durable: int) -> bool:
        """Tell whether what was appended will not come again once commits up to `durable` do not."""
        return not self._begun or self._begun[-1][0] <= durable


class _Unfinished:
    """Encoded chunks of which some portions are not committed yet; `since` is the first turn that committed one.

    `stored` are the periods of those that are.
    """

    def __init__(self, encoded: Encoded, left: int) -> None:
        self.encoded = encoded
        self.left = left
        self.since = 1 << 62
        self.stored: set[Period] = set()


class _Waiting:
    """Portions that wait for their bucket, and when it is tried again."""

    def __init__(self) -> None:
        self.portions: list[tuple[_Unfinished, Portion]] = []
        self.attempts = 0
        self.due = 0.0


class Committer:
    """Commits what the encoders hand over, in the order it comes; has buckets sealed whose time is over."""

    def __init__(
        self,
        root: Path,
        pool: Pool,
        owner: int = 0,
        grace_us: int = 0,
        clock: Callable[[], int] = now_us,
        *,
        sync: bool = False,
    ) -> None:
        """Take charge of the buckets under `root`; `owner` is 0 for the recorder, a process id for an import.

        A bucket is sealed `grace_us` or a minute after its period and its last packet, whichever is longer. With
        `sync` commits are on the disk when they are done. Raises StorageError.
        """
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError("open", root, error.strerror or str(error)) from None
        self._catalog = Catalog(root)
        self._root = root
        self._pool = pool
        self._owner = owner
        self._clock = clock
        self._sync = sync
        self._grace_us = max(GRACE_US, 2 * grace_us)
        self._leftovers_due = time.monotonic() + _LEFTOVERS_AFTER_SECONDS
        self._buckets: dict[Period, _Open] = {}
        self._queue: queue.Queue[Encoded | None] = queue.Queue(maxsize=_QUEUED)
        self._thread = NamedThread(target=self._run, name="committer", daemon=True)
        self._sealer = Sealer(root)
        self._device = root.stat().st_dev
        self.committed = Committed()
        self._waiting: dict[Period, _Waiting] = {}
        self._unfinished: list[_Unfinished] = []
        self._faults: dict[Period, str] = {}
        self._doubted: set[Period] = set()
        # Turns of committing: the one at work, the last whose chunks are all released, and the last whose release is on
        # the disk (durability = "disk").
        self._turn = 0
        self._gathering_until = 0.0
        # Chunks that an earlier process left and that are not released yet, each with the periods it is committed in
        # already, and the turn that released the last. As long as they are not told apart, `_untold`.
        self._replaying: dict[int, set[Period]] = {}
        self._replayed = 0
        self._untold = False
        self._told: dict[int, set[Period]] | None = None
        self._to_seal: list[tuple[Part, Bucket | None]] = []
        self.released = 0
        self.durable = 0
        self._stop_retrying = threading.Event()

    def start(self) -> None:
        """Start the threads."""
        # What is replayed comes at once: the first commit takes it together.
        self._gathering_until = time.monotonic() + _GATHER_SECONDS
        self._sealer.start()
        self._to_seal = [(part, None) for part in self._catalog.open_parts() if part.state == "sealing"]
        self._thread.start()

    def expect_some(self) -> None:
        """Be told that an earlier process left chunks in the pool; `expect` tells which, before any is handed over."""
        self._untold = True

    def expect(self, chunks: Mapping[int, set[Period]]) -> None:
        """Name the chunks that an earlier process left in the pool, and the periods each is committed in already."""
        self._told = dict(chunks)

    def put(self, encoded: Encoded) -> bool:
        """Hand over encoded chunks; waits while too many lie there, which lets the pool fill and drop by its rules.

        False once `give_up` was called: then they stay in the pool for the next start.
        """
        while not self._stop_retrying.is_set():
            try:
                self._queue.put(encoded, timeout=_PUT_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def give_up(self) -> None:
        """Wait no longer for a disk that fails: what it refuses stays in the pool."""
        self._stop_retrying.set()

    def stop(self, give_up_after: float) -> None:
        """Commit everything handed over, then stop; what the disk refuses for so many seconds stays in the pool."""
        try:
            self._queue.put(None, timeout=give_up_after)
            self._thread.join(give_up_after)
        except queue.Full:
            pass
        self._stop_retrying.set()
        self._thread.join()
        self._sealer.stop()

    @property
    def alive(self) -> bool:
        """Tell whether the threads run."""
        return self._thread.is_alive() and self._sealer.alive

    @property
    def faults(self) -> list[str]:
        """Tell what fails now, in sentences."""
        return [*dict.fromkeys(self._faults.copy().values()), *([self._sealer.fault] if self._sealer.fault else [])]

    def open_buckets(self) -> list[tuple[str, Bucket]]:
        """Give the buckets that are open for writing, by path."""
        return [(one.part.path, one.bucket) for one in list(self._buckets.values())]

    def known_chunks(self) -> list[tuple[Period, int]]:
        """Tell which chunks are committed, and where, that the pool may still hold; from any thread.

        Raises StorageError when that cannot be told now.
        """
        known: list[tuple[Period, int]] = []
        catalog = Catalog(self._root)
        try:
            # None of them is sealed before its chunks are released; given up it may be.
            given_up = [part for part in catalog.written_no_more() if not is_sealed(self._root / part.path)]
            parts = [*catalog.open_parts(), *given_up]
        finally:
            catalog.close()
        for part in parts:
            period = Period((part.start_us, part.end_us))
            for found in committed_last(self._root / part.path):
                if isinstance(found, Damage):
                    LOG.error("%s: %s; what stood there may come twice", part.path, found.what)
                else:
                    known.append((period, found.chunk))
        return known

    def _run(self) -> None:
        done = False
        while not done:
            batch, done = self._gather()
            self._turn += 1
            self._learn_what_comes_again()
            self._add(batch)
            self._commit_waiting()
            self._account()
            while done and self._waiting and not self._stop_retrying.wait(_RETRY_SECONDS[0]):
                self._commit_waiting()
                self._account()
            self._seal_finished()
        self._close_all()

    def _learn_what_comes_again(self) -> None:
        told, self._told = self._told, None
        if told is not None:
            occupied = set(self._pool.occupied())
            self._replaying = {chunk: periods for chunk, periods in told.items() if chunk in occupied}
            self._untold = False

    def _gather(self) -> tuple[list[Encoded], bool]:
        """Take what the encoders hand over; nothing while too much waits for a bucket that fails."""
        if self._waiting and sum(one.encoded.held for one in self._unfinished) >= _WAITING_OCTETS:
            return [], self._stop_retrying.wait(_RETRY_SECONDS[0])
        try:
            first = self._queue.get(timeout=_RETRY_SECONDS[0] if self._waiting else 1.0)
        except queue.Empty:
            return [], self._stop_retrying.is_set()
        if first is None:
            return [], True
        batch, octets = [first], first.held
        done = False
        while octets < _BATCH_OCTETS and not done:
            try:
                more = self._queue.get(timeout=max(0.0, self._gathering_until - time.monotonic()))
            except queue.Empty:
                break
            done = more is None
            if more is not None:
                batch.append(more)
                octets += more.held
        # From here: a commit that took long is followed by the next at once.
        self._gathering_until = time.monotonic() + _GATHER_SECONDS
        return batch, done

    def _add(self, batch: list[Encoded]) -> None:
        for encoded in batch:
            unfinished = _Unfinished(encoded, len(encoded.portions))
            self._unfinished.append(unfinished)
            for period, portion in encoded.portions:
                self._waiting.setdefault(period, _Waiting()).portions.append((unfinished, portion))

    def _commit_waiting(self) -> None:
        """Commit what waits for each bucket; one that fails keeps no other waiting."""
        for period, waiting in list(self._waiting.items()):
            if time.monotonic() < waiting.due:
                continue
            try:
                self._commit(period, [portion for _, portion in waiting.portions])
            except StorageError as error:
                self.committed.failures += 1
                self._faults[period] = str(error)
                waiting.due = time.monotonic() + _RETRY_SECONDS[min(waiting.attempts, len(_RETRY_SECONDS) - 1)]
                waiting.attempts += 1
                LOG.error("storage is failing, nothing is lost while the pool has room: %s", error)
                continue
            del self._waiting[period]
            self._faults.pop(period, None)
            for unfinished, portion in waiting.portions:
                unfinished.left -= 1
                unfinished.stored.add(period)
                unfinished.since = min(unfinished.since, self._turn)
                # Before the release: what is stored and what is in the pool never add up to less than what was taken.
                self.committed.sip_messages += portion.sip_messages
                self.committed.rtp_packets += portion.rtp_packets

    def _commit(self, period: Period, portions: list[Portion]) -> None:
        opened = self._opened(period)
        rows = opened.bucket.sip_rows, opened.bucket.media_rows
        try:
            settled = min(self.durable, self.released) if self._sync else self.released
            replaying = self._untold or bool(self._replaying) or settled < self._replayed
            opened.append(portions, self._turn, settled, replaying=replaying)
        except UnfitBucket:
            self._doubt(period)
            raise
        except StorageError:
            opened.failures += 1
            if opened.failures % _REOPEN_AFTER == 0:
                del self._buckets[period]
                opened.bucket.close()
            raise
        opened.failures = 0
        self._doubted.discard(period)
        self.committed.sip_rows += opened.bucket.sip_rows - rows[0]
        self.committed.media_rows += opened.bucket.media_rows - rows[1]
        self.committed.commits += 1
        self.committed.octets += sum(portion.octets for portion in portions)

    def _doubt(self, period: Period) -> None:
        """Open a bucket anew that looks broken: a failing disk can make it look so. The second time it is given up."""
        opened = self._buckets.pop(period)
        opened.bucket.close()
        if period in self._doubted:
            self._doubted.discard(period)
            self._hand_to_sealer(opened.part, None)
        else:
            self._doubted.add(period)

    def _account(self) -> None:
        done = self.committed
        for unfinished in self._unfinished:
            if unfinished.left:
                continue
            encoded = unfinished.encoded
            done.damaged_chunks += encoded.damaged_chunks
            done.damaged_packets += encoded.damaged_packets
            done.known_packets += encoded.known_packets
            self._pool.release(encoded.chunks)
            if self._untold or self._replaying:
                for chunk in encoded.chunks:
                    self._replaying.pop(chunk, None)
                self._replayed = self._turn
            done.last_us = self._clock()
        self._unfinished = [one for one in self._unfinished if one.left]
        # A chunk that waits for one bucket and is committed in another may come again there after a crash.
        self.released = min([self._turn, *(one.since - 1 for one in self._unfinished)])

    def _opened(self, period: Period) -> _Open:
        self._refuse_missing_root()
        found = self._buckets.pop(period, None)
        if found is not None and found.bucket.gone:
            LOG.error("the files of bucket %s were removed while it was written: a new part goes on", found.part.path)
            found.bucket.close()
            self._catalog.forget(found.part)
            found = None
        if found is None:
            found = self._open(period)
        found.written_us = self._clock()
        self._buckets[period] = found
        return found

    def _refuse_missing_root(self) -> None:
        # Below a file system that was unmounted, or in a place that was moved away, nothing may be made anew.
        try:
            device = self._root.stat().st_dev
        except OSError as error:
            raise StorageError("write", self._root, f"the data root is gone: {error.strerror}") from None
        if device != self._device:
            raise StorageError("write", self._root, "the data root is on another file system than at the start")

    def _open(self, period: Period) -> _Open:
        while len(self._buckets) >= _OPEN_BUCKETS:
            self._buckets.pop(next(iter(self._buckets))).bucket.close()
        if not (self._root / CATALOG).exists():
            LOG.error("%s was removed: making it anew", self._root / CATALOG)
            self._catalog.close()
            self._catalog = Catalog(self._root)
            self._catalog.reconcile()
        while True:
            part = self._catalog.claim(period, self._owner)
            try:
                bucket = Bucket(self._root / part.path, sync=self._sync)
            except UnfitBucket as error:
                LOG.error("bucket is not written any further, a new part goes on: %s", error)
                self._hand_to_sealer(part, None)
                continue
            self._catalog.made(part)
            return _Open(part, bucket)

    def _seal_finished(self) -> None:
        if self._owner:
            return  # an import seals once, at its end
        now = self._clock()
        try:
            for period, one in list(self._buckets.items()):
                over = period != ENDLESS and max(period.end_us, one.written_us) + self._grace_us < now
                if over and (not self._sync or one.settled(self.durable)):
                    del self._buckets[period]
                    self._hand_to_sealer(one.part, one.bucket)
            if time.monotonic() >= self._leftovers_due:
                self._leftovers_due = time.monotonic() + self._grace_us / SECOND_US
                self._seal_leftovers(now)
        except StorageError as error:
            LOG.error("sealing waits: %s", error)
        handed, self._to_seal = self._to_seal, []
        for part, bucket in handed:
            if self._may_come_again(Period((part.start_us, part.end_us))):
                self._to_seal.append((part, bucket))
            else:
                self._sealer.put(part, bucket)

    def _may_come_again(self, period: Period) -> bool:
        """Tell whether the pool holds chunks committed in a period: what is sealed is not searched for them."""
        return (
            self._untold
            or any(period in stored for stored in self._replaying.values())
            or any(period in one.stored for one in self._unfinished)
        )

    def _seal_leftovers(self, now: int) -> None:
        handed = {part.id for part, _ in self._to_seal}
        for part in self._catalog.open_parts():
            period = Period((part.start_us, part.end_us))
            over = period.end_us + self._grace_us < now and period not in self._buckets
            if part.owner == 0 and over and part.id not in handed:
                self._hand_to_sealer(part, None)

    def _hand_to_sealer(self, part: Part, bucket: Bucket | None) -> None:
        # From here on the part is never claimed again: late packets make another one.
        self._catalog.sealing(part)
        self._to_seal.append((part, bucket))

    def _close_all(self) -> None:
        for one in self._buckets.values():
            one.bucket.close()
        self._buckets.clear()
        if self._owner:
            # All that an import wrote, those buckets too that were closed to make room.
            for part in self._catalog.open_parts():
                if part.owner == self._owner:
                    self._hand_to_sealer(part, None)
        for part, bucket in self._to_seal:
            if self._owner:
                self._sealer.put(part, bucket)
            elif bucket is not None:
                bucket.close()  # sealed by the next start
        self._catalog.close()
