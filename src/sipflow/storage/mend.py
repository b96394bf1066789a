"""What a recorder mends before it records: a catalog or an open bucket that it could not go on with."""

import contextlib
import errno
import logging
import shutil
import struct
import time
from pathlib import Path

from sipflow._fast import POOL_MAGIC, POOL_VERSION, Pool
from sipflow.errors import NewerFormat, StorageError
from sipflow.storage.aside import aside_name
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.contents import UNREADABLE, Contents
from sipflow.storage.layout import CATALOG, DATA, DATABASE, POOL_DIRECTORY
from sipflow.storage.listing import catalog_damage, list_calls, renew_catalog, renew_filters, unlisted
from sipflow.storage.reindex import reindex_bucket
from sipflow.storage.sealed import is_sealed
from sipflow.storage.store import RootLock, pool_path
from sipflow.thread import NamedThread

LOG = logging.getLogger("sipflow.storage")

# An index that cannot be read is tried so long, so often, before it is taken for damaged.
_PATIENCE_SECONDS = 0.5
_AGAIN_SECONDS = 0.01
_POOL_HEAD = struct.Struct("<QI")


def mend_root(root: Path, *, filters: bool = True) -> None:
    """Renew a damaged catalog, and the index of an open bucket that cannot be gone on with; the root must be locked.

    A damaged pool is moved aside too. Without `filters` those of the catalog are left to a `Completion`, for they take
    long to read. What is sealed is left alone. Raises StorageError, NewerFormat for what a later version wrote.
    """
    _mend_pool(root)
    wrong, aside = renew_catalog(root, filters=filters)
    if wrong:
        LOG.error(
            "the catalog was damaged (%s): it is made anew from the buckets%s",
            wrong, "" if aside is None else f"; the old one is {aside}",
        )  # fmt: skip
    if not (root / CATALOG).exists():
        return
    catalog = Catalog(root)
    try:
        for part in catalog.open_parts():
            if part.owner != 0 and is_alive(part.owner):
                continue
            if part.owner != 0:
                # What a killed import left is the recorder's, to go on with or to seal.
                catalog.reopen(part)
            _mend_part(catalog, part)
    finally:
        catalog.close()


def _mend_pool(root: Path) -> None:
    standing = pool_path(root)
    wrong = "" if standing is None else pool_damage(standing)
    if standing is None or not wrong:
        return
    link = root / POOL_DIRECTORY / "pool"
    aside = aside_name(link)
    try:
        # Out of shared memory, whose room the next pool needs.
        shutil.move(standing, aside)
        link.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError("move aside", standing, error.strerror or str(error)) from None
    LOG.error(
        "the pool was damaged (%s): packets that an earlier process had received and not yet written are not in the "
        "answers; it is now %s", wrong, aside,
    )  # fmt: skip


def pool_damage(pool: Path) -> str:
    """Tell in a sentence why a pool of this version cannot be taken over; empty when it can. Raises NewerFormat."""
    try:
        Pool.attach(str(pool))
    except OSError as error:
        if error.errno != errno.EPROTO:
            raise StorageError("open", pool, error.strerror or str(error)) from None
    else:
        return ""
    with pool.open("rb") as file:
        head = file.read(_POOL_HEAD.size).ljust(_POOL_HEAD.size, b"\0")
    magic, version = _POOL_HEAD.unpack(head)
    if magic == 0:
        return ""  # it was never finished, and is laid out anew
    if magic != POOL_MAGIC:
        return "it does not begin like a pool"
    if version > POOL_VERSION:
        raise NewerFormat(
            "open", pool,
            f"the pool was left by a later sipflow (pool version {version}, this one reads {POOL_VERSION}); "
            "start that one once to empty it",
        )  # fmt: skip
    return "" if version < POOL_VERSION else "its head contradicts itself"


def renew_at_once(root: Path) -> None:
    """Renew a catalog that an import could not go on with, and complete it; takes the lock of the root.

    Raises RootBusy when a server writes there, StorageError, NewerFormat.
    """
    if not catalog_damage(root):
        return
    lock = RootLock(root)
    try:
        mend_root(root)
        catalog = Catalog(root)
        try:
            for part, why in list_calls(catalog, unlisted(catalog)):
                LOG.error("%s cannot be listed, `sipflow reindex` may mend it: %s", part.path, why)
        finally:
            catalog.close()
    finally:
        lock.close()


def is_alive(process: int) -> bool:
    """Tell whether a process of this machine, by its id, still runs."""
    return Path(f"/proc/{process}").exists()


def _mend_part(catalog: Catalog, part: Part) -> None:
    directory = catalog.root / part.path
    if is_sealed(directory):
        # It was sealed, and the process ended before both files or the catalog knew.
        with contextlib.suppress(OSError):
            (directory / DATABASE).chmod(0o400)
        catalog.unlisted(part)
        return
    wrong = broken_index(directory)
    if not wrong:
        return
    LOG.error("%s was damaged (%s): its index is made anew from its data, which takes a while", directory, wrong)
    try:
        rebuilt = reindex_bucket(directory)
    except (NewerFormat, FileNotFoundError) as error:
        LOG.error("%s stays as it is, and a new part is begun beside it: %s", directory, error)
        catalog.unlisted(part)
        return
    except (StorageError, OSError, *UNREADABLE) as error:
        # The sealer tries until it can.
        LOG.error("%s is mended later, and a new part is begun beside it: %s", directory, error)
        catalog.sealing(part)
        return
    LOG.info("%s has an index again: %d blocks, %d records", directory, rebuilt.blocks, rebuilt.records)
    for damage in rebuilt.damage:
        LOG.error("%s: %d octets at %d are lost: %s", directory, damage.length, damage.offset, damage.what)


def broken_index(directory: Path) -> str:
    """Tell in a sentence why an open bucket cannot be written on with its index; empty when it can.

    Raises NewerFormat for an index of a later version.
    """
    try:
        size = (directory / DATA).stat().st_size
    except OSError:
        size = 0
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            end = Contents(directory, sealed=False).end()
        except NewerFormat:
            raise
        except StorageError as error:
            # A process that ended at once may leave a directory with nothing in it.
            if size == 0:
                return ""
            # A disk in trouble makes an index look broken that is not.
            if time.monotonic() > until:
                return error.hint
            time.sleep(_AGAIN_SECONDS)
        else:
            return f"its index knows {end} octets of data, and there are {size}" if end > size else ""


class Completion:
    """Completes the catalog beside a running recorder: filters that are damaged, sealed buckets left unlisted."""

    def __init__(self, root: Path) -> None:
        """Make the thread; it ends by itself."""
        self._root = root
        self._thread = NamedThread(target=self._run, name="catalog-renewal", daemon=True)

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it is done."""
        self._thread.join()

    def _run(self) -> None:
        try:
            catalog = Catalog(self._root)
            try:
                wrong = renew_filters(catalog)
                if wrong:
                    LOG.error("the filter of the catalog was damaged (%s): it is made anew from the buckets", wrong)
                parts = unlisted(catalog)
                for part, why in list_calls(catalog, parts, beside=True):
                    LOG.error("%s cannot be listed, `sipflow reindex` may mend it: %s", part.path, why)
                if parts:
                    LOG.info("the catalog knows the calls of %d further buckets", len(parts))
            finally:
                catalog.close()
        except StorageError as error:
            LOG.error("the catalog could not be completed: %s", error)
