"""The store: what its pool holds when it starts is written, once."""

from ipaddress import ip_address
from pathlib import Path

from capture_writer import sip
from sample_root import ALICE, BEGIN_US, BOB
from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US
from sipflow.storage.contents import Contents
from sipflow.storage.layout import Subdirs
from sipflow.storage.store import MIB, Store

CALLS = 12


def test_what_the_same_pool_took_before_the_start_is_written_once(tmp_path: Path) -> None:
    pool = Pool.open(str(tmp_path / "pool"), 16 * MIB, BEGIN_US)
    intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
    for number in range(CALLS):
        payload = sip("OPTIONS sip:bob@example.com SIP/2.0", f"call-{number}", "1 OPTIONS")
        ends = (ip_address(ALICE[0]).packed, ALICE[1], ip_address(BOB[0]).packed, BOB[1])
        intake.put(0, 4, *ends, BEGIN_US, 0, f"call-{number}".encode(), None, payload, BEGIN_US)
        intake.drain()
    store = Store(tmp_path / "root", pool, Subdirs.HOURLY, encoders=1)
    assert store.start() == 0  # nothing of an earlier process
    store.stop()
    assert (store.committed.sip_messages, pool.pending(), pool.queued()) == (CALLS, 0, 0)
    assert pool.free_chunks() == pool.total_chunks()
    contents = Contents(tmp_path / "root/2026/06/01/00", sealed=False)
    assert contents.totals().sip_messages == CALLS
