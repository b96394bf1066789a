"""What a G.711 packet of real captures takes on disk: payload, columns, block headers, index.

The captures are the four files named below; without them nothing is measured. Their streams are stored again and again
under fresh Call-IDs, through pool, encoders and committer, until there are enough that the empty tables of an index
count for nothing. Captures know one time only, so arrival is capture plus a delay drawn with a fixed seed (log-normal,
median 0.3 ms).
"""

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.calls import Frame
from bench.disk import measure as on_disk
from bench.figures import Column, Findings, Line, NothingToMeasure, Row, Scale, written

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US, now_us
from sipflow.ingest.datagram import Datagram, datagrams
from sipflow.ingest.pcap import HEADER, PcapFrames
from sipflow.storage.layout import Subdirs
from sipflow.storage.store import MIB, Store
from sipflow.wire.packet import Kind

FILES = ("codec-g711", "subscribe-notify-call", "magicjack", "ssrc-change")
G711 = (0, 8)
_SHORTEST = 50  # packets of a stream that counts
_POOL_MB = 256
_SPARE_CHUNKS = 2000

COLUMNS = [
    Column("capture", "capture"),
    Column("packets", "packets", ","),
    Column("payload_ratio", "payload ratio", ".3f"),
    Column("columns", "columns B/pkt", ".2f"),
    Column("headers", "headers B/pkt", ".2f"),
    Column("index", "index B/pkt", ".2f"),
    Column("whole", "whole B/pkt", ".1f"),
]


def measure(scale: Scale) -> Findings:
    """Measure every capture and all of them together. Raises NothingToMeasure when they are not there."""
    folder = scale.captures
    missing = [name for name in FILES if folder is None or not (folder / f"{name}.pcap").is_file()]
    if folder is None or missing:
        raise NothingToMeasure(f"looked for {', '.join(missing)}.pcap in {folder}; name a folder with --captures")
    wanted = 50_000 if scale.quick else 500_000
    streams = {name: g711_streams(folder / f"{name}.pcap") for name in FILES}
    streams["all"] = [stream for name in FILES for stream in streams[name]]
    rows = [_stored(name, some, wanted, scale.directory) for name, some in streams.items()]
    last = rows[-1]
    outside = sum(float(str(last[key])) for key in ("columns", "headers"))
    lines = [
        Line("G.711 of real captures: payload stored to captured", written(last["payload_ratio"], ".3f"), "0.66"),
        Line("G.711 of real captures: columns and headers [octets a packet]", f"{outside:.2f}", "2.1"),
        Line("G.711 of real captures: index [octets a packet]", written(last["index"], ".2f"), "0.7"),
    ]
    return Findings("G.711 of real captures", COLUMNS, rows, {"packets": wanted}, lines)


def g711_streams(path: Path) -> list[list[Datagram]]:
    """Read the RTP packets of one capture that carry G.711, by stream."""
    streams: dict[tuple[object, ...], list[Datagram]] = {}
    with path.open("rb") as file:
        for one in datagrams(PcapFrames(file, file.read(HEADER))):
            if not isinstance(one, Datagram) or len(one.payload) < 12 or one.payload[0] >> 6 != 2:
                continue
            if one.payload[1] & 0x7F in G711:
                streams.setdefault((one.src, one.dst, one.payload[8:12]), []).append(one)
    return [stream for stream in streams.values() if len(stream) >= _SHORTEST]


def _frames(streams: list[list[Datagram]], wanted: int) -> Iterator[Frame]:
    written_packets = call = 0
    while written_packets < wanted:
        for stream in streams:
            call += 1
            call_id = f"{call:06}-3848276298220188511@atlanta.example.com".encode()
            for one in stream:
                family = 4 if len(one.src[0]) == 4 else 6
                yield Frame(Kind.RTP, family, *one.src, *one.dst, one.time_us, 1, call_id, 0, one.payload)
            written_packets += len(stream)


def _stored(name: str, streams: list[list[Datagram]], wanted: int, directory: Path | None) -> Row:
    delays = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
        pool = Pool.open(str(Path(scratch) / "pool"), _POOL_MB * MIB, now_us())
        root = Path(scratch) / "root"
        store = Store(root, pool, Subdirs.NONE, encoders=1)
        store.start()
        intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
        for number, frame in enumerate(_frames(streams, wanted)):
            while number % 1000 == 0 and pool.free_chunks()[0] < _SPARE_CHUNKS:
                time.sleep(0.002)
            intake.put(*frame, frame.time_us + int(300 * delays.lognormvariate(0, 0.5)))
        intake.drain()
        store.stop()
        found = on_disk(root)
    packets = found.rtp_packets
    return {
        "capture": name,
        "packets": packets,
        "payload_ratio": found.payload / found.audio,
        "columns": found.columns / packets,
        "headers": found.headers / packets,
        "index": found.index_octets / packets,
        "whole": found.octets / packets,
    }
