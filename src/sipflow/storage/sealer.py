"""Buckets whose time is over are completed on a thread of their own: the committer never waits for it."""

import logging
import os
import queue
import threading
import time
from pathlib import Path

from sipflow.errors import StorageError, UnfitBucket
from sipflow.storage.bucket import Bucket
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.reindex import reindex_bucket
from sipflow.thread import NamedThread

LOG = logging.getLogger("sipflow.storage")

# Between two tries of a part that fails: the first may have met a reader, or a disk that was full for a moment.
_AGAIN_SECONDS = (1.0, 2.0, 5.0, 30.0)
# Behind everything that moves packets (nice(2)); Linux keeps a niceness per thread.
_NICENESS = 10


class Sealer:
    """Seals parts one after the other; one that cannot be sealed is tried again."""

    def __init__(self, root: Path) -> None:
        """Make a sealer for the parts of `root`. Raises StorageError."""
        self._root = root
        self._catalog = Catalog(root)
        self._queue: queue.Queue[tuple[Part, Bucket | None] | None] = queue.Queue()
        self._pending: set[int] = set()
        self._failed: dict[int, tuple[Part, int, float]] = {}
        self._stopping = threading.Event()
        self._thread = NamedThread(target=self._run, name="sealer", daemon=True)
        self.fault = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def put(self, part: Part, bucket: Bucket | None) -> None:
        """Hand over a part that is not written any more, with its bucket when that is open."""
        if bucket is not None or part.id not in self._pending:
            self._pending.add(part.id)
            self._queue.put((part, bucket))

    def stop(self) -> None:
        """Seal what was handed over, then stop; what fails now is found again by the next start."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while True:
            try:
                item = self._queue.get(timeout=self._seconds_to_next())
            except queue.Empty:
                self._try_again()
                continue
            if item is None:
                break
            part, bucket = item
            if not self._seal(part, bucket):
                self._failed[part.id] = (part, 1, time.monotonic() + _AGAIN_SECONDS[0])
        self._catalog.close()

    def _seconds_to_next(self) -> float | None:
        if not self._failed:
            return None
        return max(0.0, min(due for _, _, due in self._failed.values()) - time.monotonic())

    def _try_again(self) -> None:
        now = time.monotonic()
        for part, tries, due in list(self._failed.values()):
            if due <= now:
                if self._seal(part, None):
                    del self._failed[part.id]
                else:
                    again = _AGAIN_SECONDS[min(tries, len(_AGAIN_SECONDS) - 1)]
                    self._failed[part.id] = (part, tries + 1, time.monotonic() + again)

    def _seal(self, part: Part, bucket: Bucket | None) -> bool:
        directory = self._root / part.path
        try:
            if not directory.is_dir():
                raise StorageError("seal", directory, "the directory was removed")
            try:
                opened = bucket or Bucket(directory)
            except UnfitBucket as error:
                LOG.error("making the index anew: %s", error)
                reindex_bucket(directory)
                opened = Bucket(directory)
            rtp_octets = opened.rtp_octets
            totals = opened.seal()
            self._catalog.sealed(part, totals, opened.call_ids(), rtp_octets)
        except StorageError as error:
            self.fault = str(error)
            LOG.error("could not seal %s: %s", part.path or ".", error)
            return False
        self.fault = ""
        self._pending.discard(part.id)
        LOG.info(
            "sealed %s: %d calls, %d SIP messages, %d RTP packets, %d octets",
            part.path or ".", totals.calls, totals.sip_messages, totals.rtp_packets, totals.octets,
        )  # fmt: skip
        return True
