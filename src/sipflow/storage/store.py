"""The store: a pool, its encoders and the committer, joined; what the recorder and an import write through."""

import errno
import fcntl
import logging
import os
import threading
import time
from pathlib import Path

from sipflow._fast import Pool
from sipflow.clock import now_us
from sipflow.config import POOL_MIN_MB
from sipflow.errors import NewerFormat, RootBusy, StorageError
from sipflow.storage.bucket import Bucket
from sipflow.storage.committer import Committer
from sipflow.storage.encoder import Encoder
from sipflow.storage.layout import LOCK, POOL_DIRECTORY, Period, Subdirs
from sipflow.thread import NamedThread

LOG = logging.getLogger("sipflow.storage")

MIB = 1 << 20
# Ten thousand calls keep 410 MB of chunks open, and as much again may wait for the encoders.
POOL_MAX_AUTO_MB = 2048
_SHM = Path("/dev/shm")  # noqa: S108 - the pool is shared memory by design, 0600 and named at random
# A pool in shared memory is a directory: the pool, and a note of the root it belongs to.
_POOL_PREFIX = "sipflow-"
_ROOT_NOTE = "root"
# How often the disk is asked again what of a replay is committed.
_REPLAY_SECONDS = 0.5
_TAKE_CHUNKS = 128
_TAKE_MS = 200
# Service managers kill after a minute and a half at most.
_GIVE_UP_SECONDS = 30.0


class RootLock:
    """The exclusive right to write a data root, held until closed or the process ends."""

    def __init__(self, root: Path) -> None:
        """Take the lock. Raises RootBusy when another process has it, StorageError."""
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError("open", root, error.strerror or str(error)) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._file, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise RootBusy(
                "lock", root, f"another sipflow-server (process {owner}) writes here; stop it or choose another --dir"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give the root up."""
        os.close(self._file)


class PoolLock:
    """Tells others that the pool of a root is in use, even while its root cannot be reached; held until closed."""

    def __init__(self, root: Path) -> None:
        """Take the lock of the pool, when it lies outside the root."""
        pool = pool_path(root)
        note = None if pool is None else pool.parent / _ROOT_NOTE
        self._file = os.open(note, os.O_RDONLY | os.O_CLOEXEC) if note is not None and note.exists() else None
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def close(self) -> None:
        """Give the pool up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def pool_size_mb(wanted_mb: int | None) -> int:
    """Choose the size of the pool: as asked, else an eighth of memory within 16 MB and 2 GB."""
    if wanted_mb is not None:
        return wanted_mb
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    return max(POOL_MIN_MB, min(POOL_MAX_AUTO_MB, memory_mb // 8))


def pool_path(root: Path) -> Path | None:
    """Find the pool of a root: the file that ROOT/.pool/pool names or is; None when there is none."""
    link = root / POOL_DIRECTORY / "pool"
    return link.resolve() if link.exists() else None


def open_pool(root: Path, size_mb: int | None, place: Path | None = None, *, on_disk: bool = False) -> Pool:
    """Open the pool of a root, taking over what an earlier process left in it. Raises StorageError.

    A new one is made in the directory `place`, else in shared memory when that has the room, else under the root;
    ROOT/.pool/pool leads to it. With `on_disk` it is never made in shared memory.
    """
    directory = root / POOL_DIRECTORY
    link = directory / "pool"
    octets = pool_size_mb(size_mb) * MIB
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        standing = pool_path(root)
        if standing is not None:
            pool = Pool.open(str(standing), octets, now_us())
            if pool.octets() // MIB == octets // MIB or pool.pending() or _has_work(pool):
                return pool
            close_pool(root, pool)
        link.unlink(missing_ok=True)
        memory = place or (None if on_disk else _roomy_memory(octets))
        if memory is not None:
            home = memory / f"{_POOL_PREFIX}{os.getpid()}-{now_us():x}"
            home.mkdir(mode=0o700)
            # Before anything large: a sweep finds by it what a killed process left, and by its lock that we live.
            with (home / _ROOT_NOTE).open("x", encoding="utf-8") as note:
                fcntl.flock(note, fcntl.LOCK_SH)
                note.write(str(root.resolve()))
                note.flush()
                pool = Pool.open(str(home / "pool"), octets, now_us())
                link.symlink_to(home / "pool")
        else:
            if not on_disk:
                LOG.warning("shared memory has no room for %d MB: the pool lies on disk, %s", octets // MIB, link)
            pool = Pool.open(str(link), octets, now_us())
    except OSError as error:
        if error.errno == errno.EPROTO:
            raise NewerFormat(
                "open", link, "the pool was left by another version of sipflow; start that one once to empty it"
            ) from None
        raise StorageError("open", link, error.strerror or str(error)) from None
    return pool


def empty_pool_in_memory(root: Path, subdirs: Subdirs) -> None:
    """Write what an earlier process left in shared memory, so that a pool on the disk can take its place.

    Raises StorageError.
    """
    link = root / POOL_DIRECTORY / "pool"
    if not (link.is_symlink() and link.exists()):
        return
    pool = open_pool(root, None)
    store = Store(root, pool, subdirs)
    found = store.start()
    store.stop()
    LOG.info("wrote %d chunks that were left in shared memory: from now on the pool lies on the disk", found)
    close_pool(root, pool)
    if pool.pending():
        raise StorageError("empty", link, "; ".join(store.faults()) or "the disk takes nothing")


def _waits(error: StorageError) -> str:
    return f"what an earlier process left in the pool waits until the disk tells what of it is committed: {error}"


def close_pool(root: Path, pool: Pool) -> None:
    """Remove the pool of a root when nothing is left in it; one that still holds packets stays for the next start."""
    link = root / POOL_DIRECTORY / "pool"
    if not _has_work(pool):
        if link.is_symlink():
            _remove_home(link.resolve().parent)
        link.unlink(missing_ok=True)


def sweep_orphans() -> None:
    """Remove pools in shared memory whose data root is gone or has another pool: nothing leads to them any more."""
    for home in _SHM.glob(f"{_POOL_PREFIX}*"):
        try:
            root = Path((home / _ROOT_NOTE).read_text("utf-8"))
            if pool_path(root) != home / "pool" and not _in_use(home):
                LOG.info("removing %s, the pool of %s that nothing leads to any more", home, root)
                _remove_home(home)
        except OSError:
            continue  # another user's, or being made


def _in_use(home: Path) -> bool:
    """Tell whether a process has the pool, or is just making it."""
    file = os.open(home / _ROOT_NOTE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _remove_home(home: Path) -> None:
    for name in ("pool", _ROOT_NOTE):
        (home / name).unlink(missing_ok=True)
    home.rmdir()


def _roomy_memory(octets: int) -> Path | None:
    room = os.statvfs(_SHM) if _SHM.is_dir() else None
    return _SHM if room is not None and room.f_bavail * room.f_frsize > octets + octets // 10 else None


def _has_work(pool: Pool) -> bool:
    return pool.free_chunks() != pool.total_chunks()


class Store:
    """Pool, encoder threads and committer of one data root."""

    def __init__(
        self,
        root: Path,
        pool: Pool,
        subdirs: Subdirs,
        *,
        encoders: int = 2,
        owner: int = 0,
        grace_us: int = 0,
        sync_ms: int | None = None,
    ) -> None:
        """Join the parts over an open pool; nothing runs yet.

        With `sync_ms` the pool, which then lies on the disk, is written out so often, and commits are on the disk when
        they are done.
        """
        self.pool = pool
        self.replayed = 0
        self._subdirs = subdirs
        self._committer = Committer(root, pool, owner, grace_us, sync=sync_ms is not None)
        self._known: list[tuple[Period, int]] = []
        self._sync_seconds = sync_ms / 1000 if sync_ms is not None else None
        self._syncer = NamedThread(target=self._sync_pool, name="pool-sync", daemon=True)
        self._sync_fault = ""
        self._replayer = NamedThread(target=self._replay_later, name="replay", daemon=True)
        self._replay_fault = ""
        self._encoders = [NamedThread(target=self._encode, name=f"encoder-{n}", daemon=True) for n in range(encoders)]
        self._stopping = threading.Event()
        self.committed = self._committer.committed

    def start(self) -> int:
        """Replay what the pool holds of an earlier process, seal what is over, and start; gives the chunks replayed.

        While the disk does not tell what of them is committed, they wait, and what arrives is stored.
        """
        found = 0
        if _has_work(self.pool):
            self._committer.expect_some()
            try:
                found = self._replay()
            except StorageError as error:
                self._replay_fault = _waits(error)
                LOG.error("%s", self._replay_fault)
                self._replayer.start()
        if self._sync_seconds is not None:
            self._syncer.start()
        self._committer.start()
        for thread in self._encoders:
            thread.start()
        return found

    def _replay(self) -> int:
        # Known before they are queued, or an encoder would take them for new.
        self._known = self._committer.known_chunks()
        found, self.replayed = self.pool.recover()
        periods: dict[int, set[Period]] = {}
        for period, chunk in self._known:
            periods.setdefault(chunk, set()).add(period)
        self._committer.expect({chunk: periods.get(self.pool.chunk_id(chunk), set()) for chunk in self.pool.occupied()})
        return found

    def _replay_later(self) -> None:
        while not self._stopping.wait(_REPLAY_SECONDS):
            try:
                found = self._replay()
            except StorageError as error:
                self._replay_fault = _waits(error)
            else:
                self._replay_fault = ""
                LOG.info("replayed %d chunks that an earlier process left in the pool", found)
                return

    def _encode(self) -> None:
        known = self._known
        encoder = Encoder(self.pool, self._subdirs, known)
        while True:
            # Asked before the look: what was closed before `stop` is then seen, and nothing is closed after it.
            stopping = self._stopping.is_set()
            chunks = self.pool.take(_TAKE_CHUNKS, _TAKE_MS)
            if known is not self._known:
                known = self._known
                encoder = Encoder(self.pool, self._subdirs, known)
            if (chunks and not self._committer.put(encoder.encode(chunks))) or (stopping and not chunks):
                return

    def _sync_pool(self) -> None:
        while not self._stopping.wait(self._sync_seconds):
            released = self._committer.released
            try:
                self.pool.sync()
            except OSError as error:
                self._sync_fault = f"the pool cannot be written to the disk: {error.strerror}"
                continue
            self._sync_fault = ""
            self._committer.durable = released

    def stop(self, give_up_after: float = _GIVE_UP_SECONDS) -> None:
        """Encode and commit all full chunks, then stop; open chunks must have been drained by their intakes.

        What a failing disk refuses for so many seconds stays in the pool, for the next start.
        """
        self._stopping.set()
        self.pool.wake()
        until = time.monotonic() + give_up_after
        for thread in self._encoders:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._encoders):
            self._committer.give_up()
            for thread in self._encoders:
                thread.join()
        self._committer.stop(max(1.0, until - time.monotonic()))
        for thread in (self._syncer, self._replayer):
            if thread.is_alive():
                thread.join()

    def faults(self) -> list[str]:
        """Tell what is wrong now, in sentences; empty when all is well."""
        found = [f"thread {thread.name} died" for thread in self._encoders if not thread.is_alive()]
        if not self._committer.alive:
            found.append("thread committer or sealer died")
        found += self._committer.faults
        found += [fault for fault in (self._sync_fault, self._replay_fault) if fault]
        return [] if self._stopping.is_set() else found

    def open_buckets(self) -> list[tuple[str, Bucket]]:
        """Give the buckets that are open for writing, by path."""
        return self._committer.open_buckets()
