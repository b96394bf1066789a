"""What storing takes: chunks of a full pool encoded, appended and indexed by the threads of the recorder, no sender.

Calls of the load generator go into a pool; then encoders and committer run until it is empty. CPU is in microseconds a
record, by thread; a record is a SIP message or an RTP packet.
"""

import tempfile
import time
from pathlib import Path

from bench.calls import patterns, put
from bench.figures import Column, Findings, Line, Row, Scale, spread_rows, written
from bench.running import cpu_by_thread

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US, now_us
from sipflow.storage.layout import Subdirs
from sipflow.storage.store import MIB, Store

_POOL_MB = 768
_PATTERNS = 50
_ENCODERS = 2

COLUMNS = [
    Column("kind", "what"),
    Column("records", "records", ","),
    Column("records_per_s", "records/s", ",.0f"),
    Column("encoder_us", "encoder us", ".2f"),
    Column("committer_us", "committer us", ".2f"),
    Column("octets_per_record", "B/record", ".1f"),
]


def measure(scale: Scale) -> Findings:
    """Measure signalling alone, media in full chunks, and in short ones."""
    calls = 3000 if scale.quick else 8000
    rows = [
        spread_rows([_run(name, calls, packets, scale.directory) for _ in range(scale.runs)])
        for name, packets in (("SIP", 0), ("media", 100), ("media, chunks of 10", 10))
    ]
    figures = ", ".join(written(row["records_per_s"]) for row in rows[:2])
    line = Line("records stored per second from a full pool: SIP messages, RTP packets", figures)
    return Findings(f"{calls} calls", COLUMNS, rows, {"calls": calls, "encoders": _ENCODERS}, [line])


def _run(name: str, calls: int, packets: int, directory: Path | None) -> Row:
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
        path = str(Path(scratch) / "pool")
        records = _fill(path, calls, packets)
        # As after a crash: the store takes over what an earlier process left.
        pool = Pool.open(path, _POOL_MB * MIB, now_us())
        store = Store(Path(scratch) / "root", pool, Subdirs.NONE, encoders=_ENCODERS)
        before, start = cpu_by_thread("self"), time.perf_counter()
        store.start()
        while pool.pending():
            time.sleep(0.002)
        took, after = time.perf_counter() - start, cpu_by_thread("self")
        store.stop()
        octets = sum(file.stat().st_size for file in (Path(scratch) / "root").rglob("*") if file.is_file())
    spent = {one: (after.get(one, 0.0) - before.get(one, 0.0)) * 1e6 / records for one in ("encoder", "committer")}
    return {
        "kind": name,
        "records": records,
        "records_per_s": records / took,
        **{f"{one}_us": value for one, value in spent.items()},
        "octets_per_record": octets / records,
    }


def _fill(path: str, calls: int, packets: int) -> int:
    """Leave so many calls side by side in a pool, media or signalling alone; gives the records."""
    pool = Pool.open(path, _POOL_MB * MIB, now_us())
    intake = Intake(pool, 0, 3600 * SECOND_US, 0, media=True, trust_time=True)
    some = patterns(_PATTERNS, packets)
    now = now_us()
    for number in range(calls):
        pattern = some[number % len(some)]
        written_again = pattern.again(f"{number:08x}-{pattern.call_id}", now + number * 1000, sip=not packets)
        put(written_again, intake, pool, now_us=now)
    intake.drain()
    return pool.pending()
