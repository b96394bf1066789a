"""A data root of many days: some buckets are real, the others have their size; the catalog knows the calls of all.

A real bucket is written through pool, encoders and committer like any other. Its index is then given as many rows of
media as calls of an hour have, which point to blocks that stand. The other hours are hard links to a real bucket, and
the catalog holds fingerprints of calls of their own for them: whatever a question must look through has full size.
"""

import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.calls import Frame, Pattern, patterns, put

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US, now_us
from sipflow.load.scenario import Scenario
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.index import Totals
from sipflow.storage.layout import DATA, DATABASE, HOUR_US, Period, Subdirs
from sipflow.storage.seal import read_seal, write_seal
from sipflow.storage.store import MIB, Store

_POOL_MB = 256
_PATTERNS = 200
_HASH_OCTETS = 8
_RTP_PACKETS = 2  # of each stream


class Archive(NamedTuple):
    """What was built: `calls` are those that can be asked for, oldest first."""

    root: Path
    parts: int
    calls: list[str]
    stored_calls: int
    media_rows: int
    catalog_octets: int
    index_octets: int
    seconds: float


def build(
    root: Path,
    hours: int,
    calls_per_hour: int,
    real_hours: int,
    media_rows: int,
    scenarios: Sequence[Scenario] = (Scenario.ANSWERED,),
) -> Archive:
    """Fill an empty root with `hours` of the past, `real_hours` of them real, and `media_rows` rows of media a call."""
    start = time.monotonic()
    newest = now_us() // HOUR_US * HOUR_US - HOUR_US
    oldest = newest - (hours - 1) * HOUR_US
    real = sorted(_spread(hours, real_hours))
    some = patterns(_PATTERNS, _RTP_PACKETS, scenarios=scenarios)
    _write(root, _calls(oldest, real, calls_per_hour, some))
    catalog = Catalog(root)
    parts = {(part.start_us - oldest) // HOUR_US: part for part in catalog.parts()}
    for part in parts.values():
        _grow(root / part.path, media_rows * calls_per_hour)
    for hour in range(hours):
        if hour not in parts:
            nearest = min(parts, key=lambda one: abs(one - hour))
            _link(catalog, oldest + hour * HOUR_US, parts[nearest], calls_per_hour, (hour - nearest) * HOUR_US)
    catalog.close()
    index = (root / parts[real[0]].path / DATABASE).stat().st_size
    asked = [call_id(hour * calls_per_hour + n, some) for hour in real for n in range(calls_per_hour)]
    octets = (root / "catalog.db").stat().st_size
    return Archive(
        root, hours, asked, hours * calls_per_hour, media_rows, octets, index, round(time.monotonic() - start, 1)
    )


def call_id(number: int, some: list[Pattern]) -> str:
    """Name the call of that number."""
    return f"{number:08x}-{some[number % len(some)].call_id}"


def _spread(hours: int, real: int) -> set[int]:
    """Choose hours: the newest and the oldest two, the two in the midst, more in between."""
    wanted = [hours - 1, hours - 2, 0, 1, hours // 2, hours // 2 - 1]
    wanted += [hours * n // max(1, real) for n in range(real)]
    return set([hour for hour in wanted if 0 <= hour < hours][: max(real, 1)])


def _calls(oldest: int, real: list[int], calls_per_hour: int, some: list[Pattern]) -> Iterator[Frame]:
    # None begins in the last minute: a call that reached into the next hour would make that a real one.
    step = (HOUR_US - 60 * SECOND_US) // calls_per_hour
    for hour in real:
        for n in range(calls_per_hour):
            number = hour * calls_per_hour + n
            begin = oldest + hour * HOUR_US + n * step
            yield from some[number % len(some)].again(call_id(number, some), begin)


def _write(root: Path, frames: Iterator[Frame]) -> None:
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-pool-") as scratch:
        pool = Pool.open(str(Path(scratch) / "pool"), _POOL_MB * MIB, now_us())
        # As an import: parts of its own, filed by packet time, sealed at the end.
        store = Store(root, pool, Subdirs.HOURLY, encoders=1, owner=os.getpid())
        store.start()
        intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
        try:
            put(frames, intake, pool, now_us=now_us())
            intake.drain()
        finally:
            store.stop()


def multiply_media(database: Path, wanted: int) -> None:
    """Repeat the rows of media of an index, whatever their columns are, until there are as many as wanted."""
    mode = database.stat().st_mode
    database.chmod(0o600)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as index:
        index.execute("PRAGMA journal_mode = OFF")
        index.execute("PRAGMA synchronous = OFF")
        rows = index.execute("SELECT count(*) FROM media_msgs").fetchone()[0]
        names = ", ".join(row[1] for row in index.execute("PRAGMA table_info(media_msgs)") if row[1] != "id")
        turns = max(1, wanted // max(1, rows))
        index.execute(
            "WITH RECURSIVE turn (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM turn WHERE n < ?) "
            f"INSERT INTO media_msgs ({names}) SELECT {names} FROM media_msgs, (SELECT n FROM turn WHERE n < ?)",
            [turns, turns],
        )
    database.chmod(mode)


def _grow(directory: Path, rows: int) -> None:
    """Give a sealed bucket more rows of media, and a seal that fits its index again."""
    seal = read_seal(directory / DATA)
    multiply_media(directory / DATABASE, rows)
    (directory / DATA).chmod(0o600)
    write_seal(directory, seal.blocks, seal.records)
    (directory / DATA).chmod(0o400)


def _link(catalog: Catalog, start_us: int, like: Part, calls: int, later_us: int) -> None:
    part = catalog.claim(Period((start_us, start_us + HOUR_US)))
    directory = catalog.root / part.path
    directory.mkdir(mode=0o700, parents=True)
    for name in (DATA, DATABASE):
        (directory / name).hardlink_to(catalog.root / like.path / name)
    catalog.made(part)
    times = ((like.t0_us or 0) + later_us, (like.t1_us or 0) + later_us)
    totals = Totals(calls, like.sip_messages or 0, like.rtp_packets or 0, *times, like.octets or 0)
    catalog.filtered(part, totals, os.urandom(calls * _HASH_OCTETS))


def evict(root: Path) -> None:
    """Drop the files of a root from the page cache, so that the next question reads the disk."""
    for path in root.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)
