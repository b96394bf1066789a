"""What packing a sealed bucket costs and gives: octets before and after, its speed, and in how many pieces a call lies.

Calls of three minutes go side by side into one bucket, as a recorder would store them; then it is packed. A piece is a
stretch of data.raw in which nothing of other calls lies between blocks of the call: a ranged read each from an archive.
"""

import heapq
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import zstandard
from bench.calls import Frame, Pattern, patterns, put
from bench.figures import Column, Findings, Line, Row, Scale, spread_rows, written

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US, now_us
from sipflow.storage.block import Block, header_at, iter_blocks
from sipflow.storage.catalog import Catalog
from sipflow.storage.index import connect
from sipflow.storage.layout import DATA, DATABASE, HOUR_US, Subdirs
from sipflow.storage.packing import pack_part
from sipflow.storage.store import MIB, Store

_POOL_MB = 256
_PATTERNS = 40
_TALK_US = 180 * SECOND_US
_PACKETS = 500
# Calls begin so far apart that some hundred are up at once.
_APART_US = 700_000
_LEVELS = (1, 3, 6, 9, 12, 15, 19)
_OF_CALL = """
SELECT DISTINCT s.block FROM sip_msgs s WHERE s.id >> 32 = ?1
UNION SELECT m.block FROM streams t JOIN media_msgs m ON m.stream = t.id WHERE t.call = ?1 ORDER BY 1
"""

COLUMNS = [
    Column("what", "what"),
    Column("calls", "calls", ","),
    Column("before", "MB before", ",.1f"),
    Column("after", "MB after", ",.1f"),
    Column("cpu_s", "CPU s", ".2f"),
    Column("mb_per_cpu_s", "MB per CPU s", ",.0f"),
    Column("seconds", "seconds", ".1f"),
    Column("pieces_before", "pieces of a call before", ",.0f"),
    Column("pieces_after", "after", ",.0f"),
    *(Column(f"level_{level}", f"SIP at level {level}", ".3f") for level in _LEVELS),
]


def measure(scale: Scale) -> Findings:
    """Pack a bucket of calls with media, and one of signalling alone."""
    calls = 150 if scale.quick else 600
    rows = [
        spread_rows([_run("three-minute calls", calls, True, scale.directory) for _ in range(scale.runs)]),
        spread_rows([_run("signalling alone", 40 * calls, False, scale.directory) for _ in range(scale.runs)]),
    ]
    talk = rows[0]
    lines = [
        Line("pieces in which a three-minute call lies, before and after packing",
             f"{written(talk['pieces_before'], '.0f')}, {written(talk['pieces_after'], '.0f')}"),
        Line("packing, MB of a bucket per second of a processor", written(talk["mb_per_cpu_s"], ".0f")),
    ]  # fmt: skip
    return Findings(f"{calls} calls", COLUMNS, rows, {"calls": calls}, lines)


def _run(what: str, calls: int, media: bool, directory: Path | None) -> Row:
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
        root = Path(scratch) / "root"
        _write(root, calls, media)
        with closing(Catalog(root)) as catalog:
            (part,) = catalog.parts()
        before = _pieces(root / part.path)
        levels = _levels(root / part.path) if not media else {}
        cpu, start = time.process_time(), time.perf_counter()
        packed = pack_part(root, part)
        took, cpu = time.perf_counter() - start, time.process_time() - cpu
        assert packed is not None
        return {
            "what": what,
            "calls": calls,
            "before": packed.before / 1e6,
            "after": packed.after / 1e6,
            "cpu_s": cpu,
            "mb_per_cpu_s": packed.before / 1e6 / cpu,
            "seconds": took,
            "pieces_before": before,
            "pieces_after": _pieces(root / part.path),
            **levels,
        }


def _write(root: Path, calls: int, media: bool) -> None:
    some = patterns(_PATTERNS, _PACKETS if media else 0)
    begin = 480_000 * HOUR_US
    apart = _APART_US if media else (HOUR_US - 600 * SECOND_US) // calls
    pool = Pool.open(str(root.parent / "pool"), _POOL_MB * MIB, now_us())
    # As an import: filed by packet time, sealed at the end.
    store = Store(root, pool, Subdirs.HOURLY, encoders=1, owner=os.getpid())
    store.start()
    intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
    frames = (_call(some[n % len(some)], n, begin + n * apart, media) for n in range(calls))
    try:
        put(heapq.merge(*frames, key=lambda frame: frame.time_us), intake, pool, now_us=now_us())
        intake.drain()
    finally:
        store.stop()


def _call(pattern: Pattern, number: int, start_us: int, media: bool) -> Iterator[Frame]:
    """Write a call whose parties say what the pattern says again and again, until three minutes are over."""
    name = f"{number:08x}-{pattern.call_id}"
    said = list(pattern.again(name, start_us))
    yield from said
    spoken = [frame for frame in said if frame.kind == 1]
    if not media or not spoken:
        return
    span = spoken[-1].time_us - spoken[0].time_us + 20_000
    for turn in range(1, _TALK_US // span + 1):
        for frame in spoken:
            yield frame._replace(time_us=frame.time_us + turn * span)


def _pieces(directory: Path) -> float:
    """Count the pieces of every tenth call; gives the median."""
    file = os.open(directory / DATA, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with closing(connect(directory / DATABASE, readonly=True, immutable=True)) as index:
            numbers = [number for (number,) in index.execute("SELECT id FROM call_meta WHERE id % 10 = 0")]
            counts = []
            for number in numbers:
                end = count = 0
                for (offset,) in index.execute(_OF_CALL, [number]):
                    count += offset != end or count == 0
                    end = offset + header_at(file, offset, directory / DATA).length
                counts.append(count)
    finally:
        os.close(file)
    return statistics.median(counts)


def _levels(directory: Path) -> Row:
    """Compress the messages of a bucket at other levels of zstd, as they are stored; gives shares of the content."""
    blocks = [one.content for one in iter_blocks(directory / DATA) if isinstance(one, Block)][:64]
    whole = sum(map(len, blocks))
    found: Row = {}
    for level in _LEVELS:
        compressor = zstandard.ZstdCompressor(level=level)
        found[f"level_{level}"] = sum(len(compressor.compress(one)) for one in blocks) / whole
    return found
