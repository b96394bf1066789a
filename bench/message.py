"""What a SIP message takes on disk: of real captures, and of dialogs of the load generator."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import zstandard
from bench.calls import Frame, frame_of, patterns, put
from bench.disk import measure as on_disk
from bench.figures import Column, Findings, Line, Row, Scale, written

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US, now_us
from sipflow.errors import SipflowError
from sipflow.ingest.capture_file import CaptureFile
from sipflow.storage.block import Block, iter_blocks
from sipflow.storage.layout import DATA, Subdirs
from sipflow.storage.store import MIB, Store
from sipflow.wire.packet import Kind

_POOL_MB = 256
# Of zstd, tried on the blocks as they are stored: what encoder.c chooses from.
_LEVELS = (1, 2, 3, 6)

COLUMNS = [
    Column("what", "what"),
    Column("messages", "messages", ","),
    Column("calls", "calls", ","),
    Column("captured", "captured B/msg", ".0f"),
    Column("stored", "stored B/msg", ".1f"),
    Column("index", "index B/msg", ".1f"),
    *(
        column
        for level in _LEVELS
        for column in (
            Column(f"level_{level}", f"level {level} B/msg", ".1f"),
            Column(f"level_{level}_us", "us/msg", ".2f"),
        )
    ),
]


def measure(scale: Scale) -> Findings:
    """Store the messages of all captures at hand, and generated ones."""
    calls = 2_000 if scale.quick else 20_000
    rows = [_stored("generated", _generated(calls), scale.directory)]
    if scale.captures is not None:
        rows.insert(0, _stored("captures", _captured(scale.captures), scale.directory))
    aims = {"captures": "60", "generated": "50"}
    lines = [
        Line(f"octets stored per SIP message, {row['what']}, without and with the index",
             f"{written(row['stored'], '.1f')}, {written(row['whole'], '.1f')}", aims[str(row["what"])])
        for row in rows
    ]  # fmt: skip
    return Findings(f"{calls} generated calls", COLUMNS, rows, {"calls": calls}, lines)


def _generated(calls: int) -> Iterator[Frame]:
    some = patterns(200, 0)
    now = now_us()
    for number in range(calls):
        pattern = some[number % len(some)]
        yield from pattern.again(f"{number:08x}-{pattern.call_id}", now + number * 10_000)


def _captured(folder: Path) -> Iterator[Frame]:
    for path in sorted(folder.glob("*.pcap*")):
        try:
            packets = CaptureFile(path).packets()
            yield from (frame_of(packet) for packet in packets if packet.kind == Kind.SIP)
        except SipflowError:
            continue  # not every file there is one that can be read


def _stored(name: str, frames: Iterator[Frame], directory: Path | None) -> Row:
    captured = 0

    def counted() -> Iterator[Frame]:
        nonlocal captured
        for frame in frames:
            captured += len(frame.payload)
            yield frame

    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
        pool = Pool.open(str(Path(scratch) / "pool"), _POOL_MB * MIB, now_us())
        root = Path(scratch) / "root"
        store = Store(root, pool, Subdirs.NONE, encoders=1)
        store.start()
        # Real captures are years old; what is measured is size alone.
        intake = Intake(pool, 0, SECOND_US, 0, media=False, trust_time=True)
        put(counted(), intake, pool, now_us=now_us())
        intake.drain()
        store.stop()
        found = on_disk(root)
        levels = _levels(root, max(1, found.sip_messages))
    messages = max(1, found.sip_messages)
    return {
        "what": name,
        "messages": found.sip_messages,
        "calls": found.calls,
        "captured": captured / messages,
        "stored": found.data_octets / messages,
        "index": found.index_octets / messages,
        "whole": found.octets / messages,
        **levels,
    }


def _levels(root: Path, messages: int) -> Row:
    contents = [block.content for block in iter_blocks(root / DATA) if isinstance(block, Block)]
    row: Row = {}
    for level in _LEVELS:
        compressor = zstandard.ZstdCompressor(level)
        start = time.process_time()
        octets = sum(len(compressor.compress(content)) for content in contents)
        row[f"level_{level}"] = octets / messages
        row[f"level_{level}_us"] = (time.process_time() - start) * 1e6 / messages
    return row
