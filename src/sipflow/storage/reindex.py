"""Rebuilding: sipflow.db of a bucket from its data.raw alone, and the catalog from the buckets."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sipflow._fast import rows_facts
from sipflow.errors import StorageError
from sipflow.storage.block import KIND_MESSAGES, Block, Damage, iter_blocks
from sipflow.storage.catalog import Catalog
from sipflow.storage.erasure import carry_over
from sipflow.storage.facts import CHUNK_FACTS, sip_rows
from sipflow.storage.index import BlockRow, Index, MediaRow, Portion
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
        if sealed:
            carry_over(directory, fresh)
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
    portions: list[Portion] = []
    blocks = records = 0
    for found in iter_blocks(data):
        if isinstance(found, Damage):
            damage.append(found)
            continue
        portions.append(_portion(found))
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
