"""How long an archived call of three minutes takes to open, and in how many requests, near the archive and far from it.

python -m bench.archived [--calls 20] [--runs 3]

The call stands alone in its part, as packing leaves it (contiguous), or between others that went on at the same time
(scattered). A proxy in front of a directory served over HTTP adds to each request what a network would. Opened cold:
the catalog alone is here, nothing of the part; then once more, from what was kept. Beside it the part before it went.
"""

import argparse
import http.server
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from bench.figures import Column, Findings, Line, Row, Scale, spread, table

from archived_root import archive_parts
from buckets import T0_US, A, B, record
from capture_writer import frame, rtp, sdp, sip
from sipflow.archive.objects import Objects
from sipflow.archive.opening import open_place
from sipflow.archive.remote_parts import ArchivedParts
from sipflow.destination import Upload
from sipflow.query.history import History
from sipflow.storage.layout import CACHE

PACKETS = 9000  # three minutes, each way
COLUMNS = [
    Column("part", "part"),
    Column("latency_ms", "latency ms", "d"),
    Column("requests", "requests", "d"),
    Column("kilobytes", "KB read", ",d"),
    Column("open_ms", "open ms", ",.0f"),
    Column("again_ms", "again ms", ",.0f"),
    Column("local_ms", "local ms", ",.0f"),
]


class Server(http.server.ThreadingHTTPServer):
    """Serves a directory, whole files and ranges, each request later by so much; counts requests and octets."""

    daemon_threads = True

    def __init__(self, directory: Path, latency_s: float) -> None:
        self.directory = directory
        self.latency_s = latency_s
        self.lock = threading.Lock()
        self.requests = self.octets = 0
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        time.sleep(self.server.latency_s)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        with (self.server.directory / self.path.lstrip("/")).open("rb") as file:
            whole = file.seek(0, os.SEEK_END)
            start, last = (0, whole - 1) if wanted is None else (int(wanted[1]), min(int(wanted[2]), whole - 1))
            file.seek(start)
            octets = file.read(last + 1 - start)
        with self.server.lock:
            self.server.requests += 1
            self.server.octets += len(octets)
        self.send_response(200 if wanted is None else 206)
        if wanted is not None:
            self.send_header("Content-Range", f"bytes {start}-{last}/{whole}")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(directory: Path, latency_s: float) -> Iterator[Server]:
    """Run a server while it is measured."""
    server = Server(directory, latency_s)
    threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Opened(NamedTuple):
    """How long a call took to open, and again; requests and octets of the first time."""

    first_s: float
    again_s: float
    requests: int
    octets: int


def open_call(history: History) -> float:
    """Open a call as its page does: its summary, its messages, all of its media; gives the seconds."""
    began = time.perf_counter()
    history.call("wanted@h")
    assert history.flow("wanted@h").messages
    media = history.media("wanted@h")
    assert sum(chunk.packets for chunk in media.chunks) == 2 * PACKETS
    assert not media.faults
    return time.perf_counter() - began


def open_archived(root: Path, directory: Path, latency_s: float) -> Opened:
    """Open the call with nothing of it here but a line of the catalog."""
    shutil.rmtree(root / CACHE, ignore_errors=True)
    with served(directory.parent, latency_s) as server:
        place = open_place(Upload("http", url=f"http://127.0.0.1:{server.server_address[1]}/{directory.name}"))
        with closing(History.open(root, ArchivedParts(place, root / CACHE, 1 << 30))) as history:
            first = open_call(history)
            requests, octets = server.requests, server.octets
            return Opened(first, open_call(history), requests, octets)


def talk(call_id: str, at_us: int) -> list[tuple[int, bytes]]:
    """Write an answered call in G.711 that does not compress, both ways."""
    noise = random.Random(call_id)
    ends = tuple((host, noise.randrange(10_000, 60_000, 2)) for host, _ in (A, B))
    frames = [
        (0, frame(A, B, sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE", sdp(*ends[0])))),
        (90_000, frame(B, A, sip("SIP/2.0 200 OK", call_id, "1 INVITE", sdp(*ends[1]), to_tag="b"))),
    ]
    for leg in (0, 1):
        ssrc = noise.getrandbits(32)
        frames += [
            (100_000 + n * 20_000 + leg, frame(ends[leg], ends[1 - leg], rtp(n, ssrc, payload=noise.randbytes(160))))
            for n in range(PACKETS)
        ]
    return [(at_us + at, octets) for at, octets in frames]


def scattered(calls: int) -> list[tuple[int, bytes]]:
    """Write the call and others that go on at the same time."""
    draw = random.Random(1)
    others = [one for n in range(calls) for one in talk(f"{n}@h", T0_US + draw.randrange(10**6))]
    return [*others, *talk("wanted@h", T0_US)]


def measure(scale: Scale, calls: int | None = None) -> Findings:
    """Measure a contiguous call and a scattered one, without latency and with 20 ms."""
    calls = (5 if scale.quick else 20) if calls is None else calls
    rows: list[Row] = []
    kinds: dict[str, Callable[[], list[tuple[int, bytes]]]] = {
        "contiguous": lambda: talk("wanted@h", T0_US),
        f"scattered, {calls} others": lambda: scattered(calls),
    }
    for kind, frames in kinds.items():
        with tempfile.TemporaryDirectory(dir=scale.directory) as scratch:
            root, directory = Path(scratch) / "root", Path(scratch) / "archive"
            record(root, frames())
            with closing(History.open(root)) as history:
                open_call(history)
                local_s = open_call(history)
            archive_parts(root, Objects.local(directory))
            for latency_ms in (0, 20):
                runs = [open_archived(root, directory, latency_ms / 1000) for _ in range(scale.runs)]
                rows.append(
                    {
                        "part": kind,
                        "latency_ms": latency_ms,
                        "requests": runs[0].requests,
                        "kilobytes": runs[0].octets >> 10,
                        "open_ms": spread(1000 * run.first_s for run in runs),
                        "again_ms": spread(1000 * run.again_s for run in runs),
                        "local_ms": 1000 * local_s,
                    }
                )
    far = rows[1]
    figure = f"{COLUMNS[4].write(far['open_ms'])} ms, {far['requests']} requests"
    lines = [Line("open a 3-minute call from the archive, 20 ms a request", figure, "10 requests or fewer")]
    return Findings("Archived calls", COLUMNS, rows, {"calls": calls, "packets": PACKETS}, lines)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=20, help="others beside the scattered call")
    options.add_argument("--runs", type=int, default=3)
    asked = options.parse_args()
    print(table(COLUMNS, measure(Scale(quick=False, runs=asked.runs), asked.calls).rows))


if __name__ == "__main__":
    main()
