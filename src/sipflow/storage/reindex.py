"""Rebuilding: sipflow.db of a bucket from its data.raw alone, and the catalog from the buckets."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sipflow._fast import Portion
from sipflow.errors import DamagedBlock, StorageError
from sipflow.storage.block import Block, Damage, iter_blocks
from sipflow.storage.catalog import Catalog
from sipflow.storage.index import Index
from sipflow.storage.layout import DATA, DATABASE, find_buckets

_BLOCKS_A_COMMIT = 256

Progress = Callable[[Path, int, int], None]


class Rebuilt(NamedTuple):
    """What a rebuilt bucket holds, and the spans of data.raw that could not be read."""

    path: Path
    blocks: int
    records: int
    damage: list[Damage]


def reindex(root: Path, progress: Progress | None = None) -> list[Rebuilt]:
    """Rebuild the index of every bucket under `root`, then the catalog. Raises StorageError.

    The root must be locked: the buckets of a running recorder change under the feet of whoever reads them whole.
    """
    results = [reindex_bucket(root / path, progress) for path in find_buckets(root, DATA)]
    catalog = Catalog(root)
    try:
        catalog.reconcile()
    finally:
        catalog.close()
    return results


def reindex_bucket(directory: Path, progress: Progress | None = None) -> Rebuilt:
    """Build a new index beside the old one, then put it in its place by rename. Raises StorageError."""
    data, database = directory / DATA, directory / DATABASE
    fresh = directory / (DATABASE + ".new")
    sealed = data.stat().st_mode & 0o200 == 0
    _remove(fresh)
    index = Index(fresh)
    try:
        rebuilt = _fill(index, directory, progress)
        index.seal()
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
    return rebuilt


def _fill(index: Index, directory: Path, progress: Progress | None) -> Rebuilt:
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
        return Damage(block.offset, block.header.length, str(DamagedBlock(data, block.offset, str(error))))
    return None


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
