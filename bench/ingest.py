"""What the recorder takes: a real server on loopback, driven by sipflow-load at rising rates.

PYTHONPATH=src python -m bench.ingest [--calls 1000] [--rates 50000,100000,200000] [--seconds 5] [--single] [--sip-only]

Sender and server share the machine, so the highest rate without loss is a lower bound. Every rate gets a new server and
a new data root on disk. Memory is the highest seen while it ran: private is what a process has for itself.
"""

import argparse
import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
from bench.figures import Cell, Column, publish
from bench.running import Memory, Running, memory_of

from sipflow.clock import SECOND_US
from sipflow.load.report import Report
from sipflow.storage.block import Block, read_block
from sipflow.storage.layout import DATA, DATABASE, find_buckets

_DRAIN_SECONDS = 120.0
_SAMPLED_BLOCKS = 500
_THREADS = ("receiver", "encoder", "committer")

COLUMNS = (
    Column("asked", "rate", ","),
    Column("rate", "sent/s", ",.0f"),
    Column("sent", "sent", ","),
    Column("kernel_drops", "kernel", ","),
    Column("refused", "refused", ","),
    Column("pool_drops", "pool", ","),
    Column("stored", "stored", ","),
    Column("lost", "lost", ","),
    Column("drain_s", "drain s", ".1f"),
    Column("receiver_us", "receiver", ".2f"),
    Column("encoder_us", "encoder", ".2f"),
    Column("committer_us", "committer", ".2f"),
    Column("sender_us", "sender", ".2f"),
    Column("recorder_mb", "rec MB", ".0f"),
    Column("pool_mb", "pool MB", ".0f"),
    Column("reader_mb", "read MB", ".0f"),
    Column("octets_per_call_minute", "B/call-min", ",.0f"),
    Column("payload_ratio", "ratio", ".3f"),
)


class _Outcome(msgspec.Struct):
    """What of sipflow-load's answer is of interest."""

    sent: Report


class _Peak:
    """Watches the memory of both processes while a run lasts."""

    def __init__(self, server: Running) -> None:
        self._pids = (server.recorder, server.reader)
        self.recorder = self.reader = Memory(0, 0)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(0.5):
            recorder, reader = (memory_of(pid) for pid in self._pids)
            self.recorder = Memory(*map(max, self.recorder, recorder))
            self.reader = Memory(*map(max, self.reader, reader))


def send(server: Running, rate: int, asked: argparse.Namespace) -> Report:
    """Drive the server from a process of its own. Raises CalledProcessError."""
    command = [
        sys.executable, "-c", "from sipflow.load.cli import main; main()", "--json",
        "--to", f"127.0.0.1:{server.udp}", "--calls", str(asked.calls), "--rate", str(rate),
        "--duration", str(asked.seconds), "--scenario", asked.scenario,
    ]  # fmt: skip
    command += [option for option, chosen in (("--single", asked.single), ("--sip-only", asked.sip_only)) if chosen]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=_Outcome).sent


def measure(root: Path, rate: int, asked: argparse.Namespace) -> dict[str, Cell]:
    """Measure one rate in an empty data root."""
    server = Running(root, *asked.option)
    try:
        before = server.cpu_seconds()
        peak = _Peak(server)
        with peak.watching():
            report = send(server, rate, asked)
            drain_s = server.drain(_DRAIN_SECONDS)
        after = server.cpu_seconds()
        counts = server.counts()
    finally:
        server.stop()
    spent = {name: (after.get(name, 0.0) - before.get(name, 0.0)) * 1e6 for name in _THREADS}
    return {
        "asked": rate,
        "rate": report.rate,
        "sent": report.records,
        "datagrams": report.datagrams,
        "unsent_datagrams": report.unsent,
        "late_ticks": report.late_ticks,
        "kernel_drops": counts.kernel_drops,
        "refused": counts.refused,
        "pool_drops": counts.pool_drops,
        "stored": counts.stored,
        "lost": report.records - counts.stored,
        "drain_s": drain_s,
        **{f"{name}_us": spent[name] / max(1, counts.taken) for name in _THREADS},
        "sender_us": report.cpu_s * 1e6 / max(1, report.records),
        "recorder_mb": peak.recorder.private,
        "pool_mb": peak.recorder.shared,
        "reader_mb": peak.reader.private,
        **on_disk(root),
    }


def on_disk(root: Path) -> dict[str, Cell]:
    """Hold the octets on disk, index included, against the minutes of calls with media and the audio in them."""
    octets = call_us = blocks = packets = 0
    stored = audio = 0
    for path in find_buckets(root):
        directory = root / path
        octets += sum(file.stat().st_size for file in directory.iterdir() if file.name.startswith((DATA, DATABASE)))
        with contextlib.closing(sqlite3.connect(directory / DATABASE)) as index:
            call_us += index.execute(
                "SELECT coalesce(sum(last_us - first_us), 0) FROM call_meta WHERE rtp_packets > 0"
            ).fetchone()[0]
            blocks += index.execute("SELECT count(*) FROM media_msgs").fetchone()[0]
            packets += index.execute("SELECT coalesce(sum(packets), 0) FROM media_msgs").fetchone()[0]
            offsets = [row[0] for row in index.execute("SELECT block FROM media_msgs")]
        sample = random.Random(1).sample(offsets, min(_SAMPLED_BLOCKS, len(offsets)))
        with (directory / DATA).open("rb") as file:
            for offset in sample:
                block: Block = read_block(file.fileno(), offset, directory / DATA)
                stored += block.header.length
                audio += int(block.chunk().rows["payload_length"].sum())
    minutes = call_us / SECOND_US / 60
    return {
        "octets_on_disk": octets,
        "blocks": blocks,
        "call_minutes": minutes,
        "octets_per_call_minute": octets / minutes if minutes else None,
        "packets_per_chunk": packets / blocks if packets else None,
        "payload_ratio": stored / audio if audio else None,
    }


def main() -> None:
    """Measure every rate, print one table and leave it as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=1000, help="calls in progress at any time")
    options.add_argument("--rates", default="50000,100000,200000,300000", help="packets per second, one run each")
    options.add_argument("--seconds", type=float, default=5.0, help="of sending at each rate")
    options.add_argument("--scenario", default="answered", help="as sipflow-load takes it")
    options.add_argument("--single", action="store_true", help="one packet per datagram instead of batches")
    options.add_argument("--sip-only", action="store_true", help="no RTP")
    options.add_argument("--dir", type=Path, help="where data roots are made; must be a disk, not memory")
    options.add_argument(
        "--option", action="append", default=[], help="given to sipflow-server, e.g. --option=--encoders=1"
    )
    asked = options.parse_args()
    rows = []
    for rate in (int(text) for text in asked.rates.split(",")):
        with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=asked.dir) as root:
            rows.append(measure(Path(root), rate, asked))
        print(json.dumps({key: rows[-1][key] for key in ("asked", "rate", "sent", "lost")}), file=sys.stderr)
    mode = "sip" if asked.sip_only else "single" if asked.single else "batch"
    publish(
        f"ingest-{mode}",
        f"ingest, {mode}: {asked.calls} calls, {asked.seconds:g} s a rate; CPU in us a packet by thread",
        COLUMNS,
        rows,
        mode=mode,
        calls=asked.calls,
        seconds=asked.seconds,
        scenario=asked.scenario,
        server_options=" ".join(asked.option),
    )


if __name__ == "__main__":
    main()
