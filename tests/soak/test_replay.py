"""A start over packets that were committed and not yet given back, from a disk that can hardly be read."""

import errno
import time
from pathlib import Path

import pytest

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US, now_us
from sipflow.storage.block import Block, iter_blocks
from sipflow.storage.bucket import Bucket
from sipflow.storage.catalog import Catalog
from sipflow.storage.encoder import Encoder
from sipflow.storage.layout import DATA, POOL_DIRECTORY, Subdirs, find_buckets
from soak.faults import Faults, Op
from soak.traffic import hours_ago
from soak.verdict import settle
from soak.victim import POOL_MB, Victim

STREAMS = 300
ENDS = (bytes([10, 0, 0, 1]), 4000, bytes([10, 0, 0, 2]), 4002)
RTP = bytes([0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7]) + bytes(160)


def committed_and_killed(root: Path) -> None:
    """Leave a pool with a packet of each of some streams: every other is in its bucket already, and not released."""
    (root / POOL_DIRECTORY).mkdir(parents=True)
    pool = Pool.open(str(root / POOL_DIRECTORY / "pool"), POOL_MB << 20, now_us())
    intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
    when_us = hours_ago(2)
    for number in range(STREAMS):
        intake.put(1, 4, *ENDS, when_us + number, 0, f"call-{number}".encode(), 0, RTP, when_us)
    intake.drain()
    chunks = pool.take(STREAMS, 0)
    assert len(chunks) == STREAMS
    ((period, portion),) = Encoder(pool, Subdirs.HOURLY).encode(chunks[::2]).portions
    catalog = Catalog(root)
    part = catalog.claim(period, 0)
    catalog.made(part)
    catalog.close()
    bucket = Bucket(root / part.path)
    bucket.append([portion])
    bucket.close()


def stored(root: Path) -> list[str]:
    """List the calls of all blocks on disk."""
    found = []
    for path in find_buckets(root, DATA):
        for block in iter_blocks(root / path / DATA):
            assert isinstance(block, Block)
            found.append(block.chunk().key.call_id)
    return sorted(found)


FAULTS = {
    "none": (Op.READ, "*data.raw", 0),
    "data": (Op.READ, "*data.raw", 300_000),
    "index": (Op.READ, "*sipflow.db*", 300_000),
    "index-opened": (Op.OPEN, "*sipflow.db*", 500_000),
    "everything": (Op.STORE | Op.READ, "20*", 100_000),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_committed_is_not_stored_again(victim: Victim, faults: Faults, fault: str) -> None:
    """Started and killed while reading fails now and then, it goes on where it was: nothing twice, nothing missing."""
    committed_and_killed(victim.root)
    ops, pattern, chance = FAULTS[fault]
    for seconds in (0.7, 1.5, 3.0):
        faults.fail(ops, pattern, errno.EIO, chance=chance)
        victim.start(healthy=False)
        time.sleep(seconds)
        victim.kill()
        faults.clear()
    victim.start()
    settle(victim)
    assert stored(victim.root) == sorted(f"call-{number}" for number in range(STREAMS))
