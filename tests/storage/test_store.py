"""The store: what its pool holds when it starts is written, once."""

import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from capture_writer import sip
from sample_root import ALICE, BEGIN_US, BOB
from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US
from sipflow.config import POOL_MIN_MB
from sipflow.storage.bucket import Bucket
from sipflow.storage.catalog import Catalog
from sipflow.storage.committer import Committer
from sipflow.storage.contents import Contents
from sipflow.storage.encoder import Encoder
from sipflow.storage.layout import Subdirs
from sipflow.storage.sealed import is_sealed
from sipflow.storage.store import MIB, Store, open_pool

CALLS = 12
BUCKET = "2026/06/01/00"


def put(intake: Intake, name: str) -> None:
    payload = sip("OPTIONS sip:bob@example.com SIP/2.0", name, "1 OPTIONS")
    ends = (ip_address(ALICE[0]).packed, ALICE[1], ip_address(BOB[0]).packed, BOB[1])
    intake.put(0, 4, *ends, BEGIN_US, 0, name.encode(), None, payload, BEGIN_US)
    intake.drain()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_smallest_pool_that_settings_allow_is_one(tmp_path: Path) -> None:
    assert open_pool(tmp_path, POOL_MIN_MB, tmp_path).octets() == POOL_MIN_MB * MIB


def test_what_was_committed_but_not_released_stays_known_through_several_crashes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    pool = Pool.open(str(tmp_path / "pool"), 16 * MIB, BEGIN_US)
    intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
    put(intake, "committed")
    (first,) = pool.take(8, 0)
    put(intake, "left")
    # Committed, and killed before the chunk was released.
    catalog = Catalog(root)
    ((period, portion),) = Encoder(pool, Subdirs.HOURLY).encode([first]).portions
    catalog.made(catalog.claim(period, 0))
    catalog.close()
    bucket = Bucket(root / BUCKET)
    bucket.append([portion])
    bucket.close()
    known = pool.chunk_id(first)
    del intake, pool

    pool = Pool.open(str(tmp_path / "pool"), 16 * MIB, BEGIN_US + 1)
    assert pool.recover() == (2, 2)
    committer = Committer(root, pool)
    found = committer.known_chunks()
    assert [chunk for _, chunk in found] == [known]
    committer.expect({chunk: {period} if pool.chunk_id(chunk) == known else set() for chunk in pool.occupied()})
    committer.start()
    encoder = Encoder(pool, Subdirs.HOURLY, found)
    again, left = sorted(pool.take(32, 0), key=pool.chunk_id)
    # Another encoder is quicker: what it has is committed first, and a crash may come at any time.
    committer.put(encoder.encode([left]))
    wait_until(lambda: committer.committed.sip_messages == 1)
    assert known in {chunk for _, chunk in committer.known_chunks()}
    committer.put(encoder.encode([again]))
    wait_until(lambda: pool.pending() == 0)
    intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
    put(intake, "later")
    committer.put(encoder.encode(pool.take(8, 0)))
    wait_until(lambda: committer.committed.sip_messages == 2)
    assert known not in {chunk for _, chunk in committer.known_chunks()}
    committer.stop(5)
    assert Contents(root / BUCKET, sealed=False).totals().sip_messages == 3


def test_what_the_same_pool_took_before_the_start_is_written_once(tmp_path: Path) -> None:
    pool = Pool.open(str(tmp_path / "pool"), 16 * MIB, BEGIN_US)
    intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
    for number in range(CALLS):
        put(intake, f"call-{number}")
    store = Store(tmp_path / "root", pool, Subdirs.HOURLY, encoders=1)
    assert store.start() == 0  # nothing of an earlier process
    store.stop()
    assert (store.committed.sip_messages, pool.pending(), pool.queued()) == (CALLS, 0, 0)
    assert pool.free_chunks() == pool.total_chunks()
    contents = Contents(tmp_path / "root/2026/06/01/00", sealed=False)
    assert contents.totals().sip_messages == CALLS


def test_a_bucket_is_not_sealed_while_the_pool_holds_what_is_committed_in_it(tmp_path: Path) -> None:
    """After a crash what is sealed is not searched for chunks that come again."""
    root = tmp_path / "root"
    root.mkdir()
    pool = Pool.open(str(tmp_path / "pool"), 16 * MIB, BEGIN_US)
    intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
    put(intake, "committed")
    (first,) = pool.take(8, 0)
    catalog = Catalog(root)
    ((period, portion),) = Encoder(pool, Subdirs.HOURLY).encode([first]).portions
    part = catalog.claim(period, 0)
    catalog.made(part)
    bucket = Bucket(root / BUCKET)
    bucket.append([portion])
    bucket.close()
    catalog.sealing(part)
    del intake, pool

    pool = Pool.open(str(tmp_path / "pool"), 16 * MIB, BEGIN_US + 1)
    pool.recover()
    committer = Committer(root, pool)
    known = committer.known_chunks()
    committer.expect({chunk: {period} for chunk in pool.occupied()})
    committer.start()
    time.sleep(2.5)  # longer than leftovers of an earlier run wait
    assert not is_sealed(root / BUCKET)
    assert committer.known_chunks() == known
    committer.put(Encoder(pool, Subdirs.HOURLY, known).encode(pool.take(8, 0)))
    wait_until(lambda: is_sealed(root / BUCKET))
    assert pool.pending() == 0
    committer.stop(5)
    catalog.close()
    assert Contents(root / BUCKET, sealed=True).totals().sip_messages == 1
