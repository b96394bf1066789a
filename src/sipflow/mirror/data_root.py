"""A data root on this machine that a capture writes by itself, without a server."""

from contextlib import ExitStack

from sipflow._fast import Intake
from sipflow.clock import SECOND_US
from sipflow.config import Settings
from sipflow.errors import StorageError
from sipflow.storage.layout import Subdirs
from sipflow.storage.mend import mend_root
from sipflow.storage.store import PoolLock, RootLock, Store, close_pool, empty_pool_in_memory, open_pool, sweep_orphans

# Beside a PBX, not instead of it: some hundred calls; pool_mb says otherwise.
POOL_MB = 64


class DataRoot:
    """The store of a data root, open for writing: one process at a time."""

    def __init__(self, settings: Settings) -> None:
        """Take the root, finish what an earlier process left, and start. Raises RootBusy, StorageError."""
        self.path = settings.root
        with ExitStack() as undo:
            self._lock = RootLock(self.path)
            undo.callback(self._lock.close)
            mend_root(self.path, filters=False)
            sweep_orphans()
            on_disk = settings.durability == "disk"
            if on_disk:
                empty_pool_in_memory(self.path, Subdirs(settings.subdirs))
            pool = open_pool(self.path, settings.pool_mb or POOL_MB, settings.pool_dir, on_disk=on_disk)
            self._store = Store(
                self.path,
                pool,
                Subdirs(settings.subdirs),
                encoders=1,
                grace_us=settings.flush_interval_secs * SECOND_US,
                sync_ms=settings.sync_ms if on_disk else None,
            )
            self._pool_lock = PoolLock(self.path)
            undo.callback(self._pool_lock.close)
            self._store.start()
            undo.pop_all()
        # The times are those of the program that captures: they may be of a replay.
        self.intake = Intake(
            pool, 0, settings.flush_interval_secs * SECOND_US, settings.flush_count, settings.media, trust_time=True
        )

    @property
    def refused(self) -> int:
        """Count what the pool did not take: it was full, or media is switched off."""
        return sum(self._store.pool.ledger()[1].values())

    def faults(self) -> list[str]:
        """Tell what is wrong now, in sentences."""
        return self._store.faults()

    def close(self) -> None:
        """Write everything and give the root up. Raises StorageError when the disk did not take it all.

        What it did not take stays in the pool, for the next who opens the root.
        """
        self._store.stop()
        self._pool_lock.close()
        close_pool(self.path, self._store.pool)
        self._lock.close()
        if self._store.pool.pending():
            raise StorageError(
                "close", self.path, "; ".join(self._store.faults()) or "the disk did not take everything"
            )

    def leave(self) -> None:
        """In the child of a fork: let go of what is the parent's, without touching it."""
        self._pool_lock.close()
        self._lock.close()
