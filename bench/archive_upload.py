"""What archiving costs: a real S3 server (versitygw) on loopback takes sealed buckets, alone and beside a recorder.

python -m bench.archive_upload [--octets 1000000000] [--rate 200000] [--seconds 30]

`alone` archives buckets of octets that do not compress while nothing else runs: MB/s, and how much of one processor the
archiver took. `ingesting` does the same while sipflow-load sends packets to the server, whose drops and processor time
are compared with those of `bare`, the same load without an archive. Sender, server, archiver and the S3 server share
the machine: the archiver has the lowest priority of them.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Column, Findings, Line, NothingToMeasure, Row, Scale, spread_rows, table, written
from bench.running import Running, cpu_by_thread
from bench.sending import Load

from sipflow.archive.state import ArchiveState, read_state
from sipflow.storage.catalog import Catalog
from sipflow.storage.index import Index
from sipflow.storage.layout import DATA, DATABASE, HOUR_US, Period

_BUCKET_OCTETS = 128 << 20
_PIECE = 1 << 20
_START_SECONDS = 20.0
_MB = 1e6
_KEY, _SECRET = "bench-key", "bench-secret-0123456789"

COLUMNS = [
    Column("scenario", "scenario"),
    Column("rate", "sent/s", ",.0f"),
    Column("sent", "sent", ","),
    Column("stored", "stored", ","),
    Column("kernel_drops", "kernel", ","),
    Column("pool_drops", "pool", ","),
    Column("recorder_cpu", "recorder cpu", ".2f"),
    Column("archived_mb", "archived MB", ",.0f"),
    Column("mb_per_s", "MB/s", ",.1f"),
    Column("archiver_cpu", "archiver cpu", ".2f"),
    Column("cpu_s_per_gb", "cpu s/GB", ".1f"),
]


def measure(scale: Scale) -> Findings:
    """Archive alone, record alone, and both together."""
    seconds = 8.0 if scale.quick else 30.0
    octets = 256 << 20 if scale.quick else 1 << 30
    rate = 200_000
    rows = [
        spread_rows([run(name, octets, rate, seconds, scale.directory) for _ in range(scale.runs)])
        for name in ("alone", "bare", "ingesting")
    ]
    alone, bare, both = rows
    lines = [
        Line("archiving to an S3 server of the same machine [MB/s]", written(alone["mb_per_s"], ",.0f")),
        Line(f"the same while {rate:,} packets a second are recorded [MB/s]", written(both["mb_per_s"], ",.0f")),
        Line(
            "its share of one processor; that of the recorder, with and without it",
            "; ".join(
                written(value, ".2f") for value in (both["archiver_cpu"], both["recorder_cpu"], bare["recorder_cpu"])
            ),
        ),
        Line(
            "packets dropped meanwhile, by the kernel and for want of room",
            ", ".join(written(both[one]) for one in ("kernel_drops", "pool_drops")),
        ),
    ]
    return Findings(f"{seconds:g} s each", COLUMNS, rows, {"seconds": seconds, "octets": octets}, lines)


def run(scenario: str, octets: int, rate: int, seconds: float, directory: Path | None) -> Row:
    """Measure one scenario once, in an empty data root."""
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
        place = Path(scratch)
        root = place / "data"
        root.mkdir()
        if scenario == "bare":
            return _served(scenario, root, rate, seconds, ())
        _fill(root, octets)
        with _gateway(place) as url:
            config = place / "sipflow.toml"
            config.write_text(
                f'[sipflow]\nnode = "bench"\n[sipflow.upload]\ntype = "s3"\nvendor = "minio"\nbucket = "archive"\n'
                f'region = "us-east-1"\naccess_key = "{_KEY}"\nsecret_key = "{_SECRET}"\nendpoint = "{url}"\n'
                'pack_wait = "0m"\n'
            )
            options = ("--config", str(config), "--log-level", "error")
            return _served(scenario, root, 0 if scenario == "alone" else rate, seconds, options)


def _served(scenario: str, root: Path, rate: int, seconds: float, options: tuple[str, ...]) -> Row:
    server = Running(root, *options)
    row: Row = {"scenario": scenario}
    try:
        archiver = _archiver_of(server) if options else None
        first, began = _archived(root), time.monotonic()
        spent = sum(cpu_by_thread(archiver).values()) if archiver else 0.0
        before, counted = sum(server.cpu_seconds().values()), server.counts()
        if rate:
            report = Load(10_000, rate).send(server.udp, seconds)
            row |= {"rate": report.rate, "sent": report.records}
        else:
            until = time.monotonic() + 20 * seconds
            while time.monotonic() < until and ((state := read_state(root)) is None or state.parts):
                time.sleep(0.05)
        took = time.monotonic() - began
        row["recorder_cpu"] = (sum(server.cpu_seconds().values()) - before) / took
        if archiver:
            moved = (_archived(root) - first) / _MB
            used = sum(cpu_by_thread(archiver).values()) - spent
            row |= {"archived_mb": moved, "mb_per_s": moved / took, "archiver_cpu": used / took}
            row["cpu_s_per_gb"] = used / moved * 1000 if moved else None
        server.drain(120.0)
        counts = server.counts()
        row |= {
            "stored": counts.stored - counted.stored, "kernel_drops": counts.kernel_drops,
            "pool_drops": counts.pool_drops,
        }  # fmt: skip
    finally:
        server.stop()
    return row


def _archived(root: Path) -> int:
    state = read_state(root) or ArchiveState("")
    return state.archived_octets + state.sent_octets


def _archiver_of(server: Running) -> int:
    """Find the archiver among the programs that the recorder started, and wait until it has begun."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        state = read_state(server.root)
        if state is not None:
            return state.pid
        time.sleep(0.05)
    raise RuntimeError("the archiver does not begin")


def _fill(root: Path, octets: int) -> None:
    """Make sealed buckets of octets that no program can read as blocks, and that compress no further."""
    catalog = Catalog(root)
    for number in range(max(1, octets // _BUCKET_OCTETS)):
        part = catalog.claim(Period((number * HOUR_US, (number + 1) * HOUR_US)))
        directory = root / part.path
        directory.mkdir(parents=True)
        index = Index(directory / DATABASE)
        totals = index.seal()
        with (directory / DATA).open("wb") as file:
            for _ in range(_BUCKET_OCTETS // _PIECE):
                file.write(os.urandom(_PIECE))
        (directory / DATA).chmod(0o400)
        catalog.made(part)
        catalog.sealed(part, totals._replace(octets=_BUCKET_OCTETS), [], _BUCKET_OCTETS)
    catalog.close()


@contextmanager
def _gateway(place: Path) -> Iterator[str]:
    program = shutil.which("versitygw") or shutil.which("versitygw", path=str(Path.home() / "go" / "bin"))
    if program is None:
        raise NothingToMeasure("no S3 server: go install github.com/versity/versitygw/cmd/versitygw@latest")
    (place / "buckets" / "archive").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [program, "--quiet", "--access", _KEY, "--secret", _SECRET, "--port", f"127.0.0.1:{port}", "posix",
         str(place / "buckets")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def main() -> None:
    """Measure with figures of one's own."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--octets", type=int, default=1 << 30)
    options.add_argument("--rate", type=int, default=200_000)
    options.add_argument("--seconds", type=float, default=30.0)
    options.add_argument("--dir", type=Path, help="where data roots are made; must be a disk, not memory")
    asked = options.parse_args()
    rows = []
    for name in ("alone", "bare", "ingesting"):
        rows.append(run(name, asked.octets, asked.rate, asked.seconds, asked.dir))
        print(table(COLUMNS, rows[-1:]), file=sys.stderr)
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()
