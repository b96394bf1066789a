"""Rebuilding: sipflow.db of a bucket from its data.raw alone, and the catalog from the buckets."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sipflow._fast import Portion
from sipflow.errors import DamagedBlock, DamagedSeal, NewerFormat, StorageError
from sipflow.storage.block import Block, Damage, iter_blocks
from sipflow.storage.catalog import Catalog
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.erasure import carry_over
from sipflow.storage.index import Index, tell_state
from sipflow.storage.layout import DATA, DATABASE, find_buckets
from sipflow.storage.listing import list_calls, renew_catalog
from sipflow.storage.seal import SEAL_LENGTH, read_seal, write_seal
from sipflow.storage.sealed import is_sealed, packed_us
from sipflow.storage.swap import settle

_BLOCKS_A_COMMIT = 256

Progress = Callable[[Path, int, int], None]


class Rebuilt(NamedTuple):
    """What a rebuilt bucket holds, and what of data.raw could not be read; `failed` says why it was left alone."""

    path: Path
    blocks: int
    records: int
    damage: list[Damage]
    failed: str = ""


class Reindexed(NamedTuple):
    """What came of rebuilding a root; `catalog` says what was wrong with the catalog, `aside` where the old one is."""

    buckets: list[Rebuilt]
    catalog: str
    aside: Path | None
    unlisted: list[tuple[str, str]]


def reindex(root: Path, progress: Progress | None = None) -> Reindexed:
    """Rebuild the index of every bucket under `root`, then the catalog. Raises StorageError.

    A bucket that cannot be rebuilt is left as it is. The root must be locked: the buckets of a running recorder change
    under the feet of whoever reads them whole.
    """
    results = []
    for path in find_buckets(root, DATA, DATABASE):
        try:
            results.append(reindex_bucket(root / path, progress))
        except (StorageError, OSError, *UNREADABLE) as error:
            results.append(Rebuilt(root / path, 0, 0, [], str(error)))
    left = {one.path.relative_to(root).as_posix() for one in results if one.failed}
    wrong, aside = renew_catalog(root, newer=True)
    catalog = Catalog(root)
    try:
        catalog.reconcile()
        parts = catalog.parts()
        for part in parts:
            if part.evicted_us is not None:
                continue  # its files are in the archive
            if not (root / part.path).is_dir():
                catalog.forget(part)
            # All anew: an index that was rebuilt may know more calls, or fewer, than its filter.
            elif part.state == "unlisted" and not is_sealed(root / part.path) and part.path not in left:
                catalog.reopen(part)
        sealed = [part for part in parts if is_sealed(root / part.path)]
        failed = list_calls(catalog, sealed, progress)
    finally:
        catalog.close()
    return Reindexed(results, wrong, aside, [(part.path, why) for part, why in failed])


def reindex_bucket(directory: Path, progress: Progress | None = None) -> Rebuilt:
    """Build a new index beside the old one, then put it in its place by rename; a sealed bucket is sealed again.

    Raises StorageError, NewerFormat when a later version wrote some of the data: an index without it would hide it.
    """
    settle(directory)
    data, database = directory / DATA, directory / DATABASE
    fresh = directory / (DATABASE + ".new")
    sealed = data.stat().st_mode & 0o200 == 0
    _remove(fresh)
    index = Index(fresh)
    try:
        rebuilt = fill(index, directory, progress)
        newer = next((damage for damage in rebuilt.damage if damage.newer), None)
        if newer is not None:
            raise NewerFormat("reindex", data, newer.what)
        if sealed:
            index.judge()
        index.seal()
        if sealed:
            carry_over(directory, fresh)
            _carry_packed(directory, fresh)
    except BaseException:
        index.close()
        _remove(fresh)
        raise
    if sealed:
        fresh.chmod(0o400)
    try:
        for suffix in ("-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        fresh.replace(database)
    except OSError as error:
        raise StorageError("replace", database, error.strerror or str(error)) from None
    return _sealed_again(directory, rebuilt) if sealed else rebuilt


def _carry_packed(directory: Path, fresh: Path) -> None:
    """Let the new index say since when the bucket is packed, if the old one can be asked."""
    try:
        when_us = packed_us(directory)
    except StorageError:
        return  # it is packed again, which changes nothing
    if when_us is not None:
        tell_state(fresh, "packed", when_us)


def _sealed_again(directory: Path, rebuilt: Rebuilt) -> Rebuilt:
    """Write the seal of the new index; that there was none before is worth telling."""
    data = directory / DATA
    damage = list(rebuilt.damage)
    size = data.stat().st_size
    try:
        read_seal(data)
    except DamagedSeal as error:
        damage.append(Damage(size, 0, f"{error.hint}: cut off, or sealed by a version that had no seals"))
    data.chmod(0o600)
    try:
        if rebuilt.damage and size - rebuilt.damage[-1].offset < SEAL_LENGTH:
            # What is left of a seal that was cut; no block is so short.
            os.truncate(data, rebuilt.damage[-1].offset)
        write_seal(directory, rebuilt.blocks, rebuilt.records)
    except OSError as error:
        raise StorageError("seal", data, error.strerror or str(error)) from None
    finally:
        data.chmod(0o400)
    return rebuilt._replace(damage=damage)


def fill(index: Index, directory: Path, progress: Progress | None) -> Rebuilt:
    """Add everything that data.raw in a directory holds to an empty index. Raises StorageError, OSError."""
    data = directory / DATA
    size = data.stat().st_size
    damage: list[Damage] = []
    portion = Portion()
    blocks = records = 0
    for found in iter_blocks(data):
        unread = found if isinstance(found, Damage) else _added(portion, found, data)
        if unread is not None:
            damage.append(unread)
            continue
        assert isinstance(found, Block)
        blocks += 1
        records += found.header.records
        if portion.blocks == _BLOCKS_A_COMMIT:
            index.append([portion])
            portion = Portion()
            if progress is not None:
                progress(data, found.offset, size)
    index.append([portion])
    if progress is not None:
        progress(data, size, size)
    return Rebuilt(directory, blocks, records, damage)


def _added(portion: Portion, block: Block, data: Path) -> Damage | None:
    try:
        portion.add(block.offset, block.header.encoded, block.content)
    except ValueError as error:
        return Damage(block.offset, block.header.length, DamagedBlock(data, block.offset, str(error)).hint)
    return None


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
