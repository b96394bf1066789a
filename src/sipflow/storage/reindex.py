"""Rebuilding: sipflow.db of a bucket from its data.raw alone, and the catalog from the buckets."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sipflow._fast import rows_facts
from sipflow.errors import DamagedBlock, DamagedSeal, NewerFormat, StorageError
from sipflow.storage.block import KIND_MESSAGES, Block, Damage, iter_blocks
from sipflow.storage.catalog import Catalog, is_sealed
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.facts import CHUNK_FACTS, sip_rows
from sipflow.storage.index import BlockRow, Index, MediaRow, Portion
from sipflow.storage.layout import DATA, DATABASE, find_buckets
from sipflow.storage.listing import list_calls, renew_catalog
from sipflow.storage.seal import SEAL_LENGTH, read_seal, write_seal

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
    data, database = directory / DATA, directory / DATABASE
    fresh = directory / (DATABASE + ".new")
    sealed = data.stat().st_mode & 0o200 == 0
    _remove(fresh)
    index = Index(fresh)
    try:
        rebuilt = _fill(index, directory, progress)
        newer = next((damage for damage in rebuilt.damage if damage.newer), None)
        if newer is not None:
            raise NewerFormat("reindex", data, newer.what)
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
    return _sealed_again(directory, rebuilt) if sealed else rebuilt


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


def _fill(index: Index, directory: Path, progress: Progress | None) -> Rebuilt:
    data = directory / DATA
    size = data.stat().st_size
    damage: list[Damage] = []
    portions: list[Portion] = []
    blocks = records = 0
    for found in iter_blocks(data):
        if isinstance(found, Damage):
            damage.append(found)
            continue
        try:
            portions.append(_portion(found))
        except DamagedBlock as error:
            damage.append(Damage(found.offset, found.header.length, error.hint))
            continue
        blocks += 1
        records += found.header.records
        if len(portions) == _BLOCKS_A_COMMIT:
            index.commit(portions, [0] * len(portions))
            portions.clear()
            if progress is not None:
                progress(data, found.offset, size)
    index.commit(portions, [0] * len(portions))
    if progress is not None:
        progress(data, size, size)
    return Rebuilt(directory, blocks, records, damage)


def _portion(block: Block) -> Portion:
    header = block.header
    row = BlockRow(
        block.offset, header.length, header.kind, header.records, header.t0_us, header.t1_us, header.chunk
    )  # fmt: skip
    if header.kind == KIND_MESSAGES:
        rows, calls = sip_rows(block.messages())
        return Portion(b"", [row], [one._replace(block=block.offset) for one in rows], [], calls)
    return Portion(b"", [row], [], [_media_row(block)], [])


def _media_row(block: Block) -> MediaRow:
    chunk = block.chunk()
    key = chunk.key
    octets = rows_facts(chunk.rows.tobytes(), chunk.data, key.ssrc is not None, chunk.clock_skew)
    facts = np.frombuffer(octets, CHUNK_FACTS)[0]
    rtp = key.ssrc is not None
    return MediaRow(
        key.call_id,
        block.header.t0_us,
        block.header.t1_us,
        key.leg,
        str(key.src),
        str(key.dst),
        key.ssrc,
        int(facts["payload_type"]) if rtp else None,
        int(facts["packets"]),
        int(facts["lost"]),
        int(facts["jitter_us"]) if rtp else None,
        int(facts["first_seq"]) if rtp else None,
        int(facts["last_seq"]) if rtp else None,
        block.offset,
    )


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
