"""What the recorder takes: a real server on loopback under the load of sipflow-load, in four scenarios.

python -m bench.ingest [--only batch,single,sip,mixed] [--rate N,N] [--calls N] [--seconds 60] [--option=--encoders=1]

Sender and server share the machine, so the sender lets the kernel cut its datagrams (UDP_SEGMENT): the server gets the
same datagrams, for less of the time that both have. Every run gets a new server and a new data root on
disk. The same load is then sent to the bare loop (bench/bare.c), which receives and throws away: `of bare` is the rate
stored, less what the backlog grew by, to the rate it received; `x bare` the processor time of the recorder to the
loop's. CPU is in microseconds a packet, by thread. Memory is the highest seen: private is what a process has for
itself; the pool stands apart. `backlog/s` is how fast the packets in the pool became more over the last two thirds of
sending.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bench import bare, disk
from bench.asking import Asking
from bench.figures import Cell, Column, Findings, Line, Row, Scale, spread_rows, table, written
from bench.running import Running
from bench.sending import Load
from bench.watch import Watch

from sipflow.load.report import Report
from sipflow.query.answer import Criteria
from sipflow.query.history import History

_DRAIN_SECONDS = 120.0
_BARE_SECONDS = 8.0
_SAMPLED_CALLS = 100
THREADS = ("receiver", "encoder", "committer")

COLUMNS = [
    Column("scenario", "scenario"),
    Column("asked", "rate", ","),
    Column("rate", "sent/s", ",.0f"),
    Column("sent", "sent", ","),
    Column("stored", "stored", ","),
    Column("visible", "visible", ","),
    Column("kernel_drops", "kernel", ","),
    Column("pool_drops", "pool", ","),
    Column("refused", "refused", ","),
    Column("backlog_growth", "backlog/s", ",.0f"),
    Column("drain_s", "drain s", ".1f"),
    Column("receiver_us", "receiver", ".2f"),
    Column("encoder_us", "encoder", ".2f"),
    Column("committer_us", "committer", ".2f"),
    Column("cpu_us", "cpu us", ".2f"),
    Column("bare_cpu_us", "bare us", ".2f"),
    Column("cpu_to_bare", "x bare", ".1f"),
    Column("stored_to_bare", "of bare", ".2f"),
    Column("recorder_mb", "rec MB", ".0f"),
    Column("reader_mb", "read MB", ".0f"),
    Column("pool_mb", "pool MB", ".0f"),
    Column("octets_per_call_minute", "B/call-min", ",.0f"),
    Column("payload_ratio", "ratio", ".3f"),
    Column("header_octets_per_packet", "head B/pkt", ".2f"),
    Column("index_octets_per_packet", "index B/pkt", ".2f"),
    Column("octets_per_message", "B/msg", ".0f"),
    Column("live_p50_ms", "live p50", ".1f"),
    Column("live_p99_ms", "live p99", ".1f"),
    Column("earlier_p99_ms", "earlier p99", ".1f"),
    Column("page_p99_ms", "page p99", ".1f"),
]


class Scenario(NamedTuple):
    """A load, how it is described, and how many questions a second are asked meanwhile."""

    name: str
    what: str
    load: Load
    questions: int = 0


SCENARIOS = (
    Scenario("batch", "G.711 in batches, 10,000 calls", Load(10_000, 1_000_000)),
    Scenario("single", "a packet a datagram, 10,000 calls", Load(10_000, 500_000, ("--single",))),
    Scenario("sip", "SIP alone, distinct dialogs", Load(20_000, 200_000, ("--talk", "4", "--sip-only"))),
    # Calls of seven seconds: one packet in fifty is SIP.
    Scenario("mixed", "2 % SIP, 50 questions a second", Load(10_000, 800_000, ("--talk", "7")), 50),
)


def measure(scale: Scale) -> Findings:
    """Run the four scenarios at the rates aimed at."""
    seconds = 8.0 if scale.quick else 60.0
    rows: list[Row] = []
    lines: list[Line] = []
    for scenario in SCENARIOS:
        runs = [run(scenario, seconds, scale.directory) for _ in range(scale.runs)]
        row = spread_rows(runs)
        rows.append(row)
        lines += _lines(scenario, row)
    return Findings(f"{seconds:g} s each", COLUMNS, rows, {"seconds": seconds, "runs": scale.runs}, lines)


def _lines(scenario: Scenario, row: Row) -> list[Line]:
    aims = {"batch": "1,000,000", "single": "500,000", "sip": "200,000", "mixed": "800,000"}
    found = [
        Line(f"{scenario.what}: packets sent per second", written(row["rate"]), aims[scenario.name]),
        Line(f"{scenario.what}: sent, stored, visible",
             ", ".join(written(row[one]) for one in ("sent", "stored", "visible")), "equal"),
        Line(f"{scenario.what}: processor time a packet [us]; to that of a bare receive-and-discard loop",
             f"{written(row['cpu_us'], '.2f')}; {written(row['cpu_to_bare'], '.1f')}"),
        Line(f"{scenario.what}: private memory of recorder and reader [MB]",
             f"{written(row['recorder_mb'])} + {written(row['reader_mb'])}", "300"),
    ]  # fmt: skip
    if scenario.name == "batch":
        found.append(
            Line("octets per minute of a call, both directions", written(row["octets_per_call_minute"]), "645,000")
        )
    if scenario.questions:
        found.append(
            Line("`/flow` of a live call meanwhile, median and 99th percentile [ms]",
                 f"{written(row['live_p50_ms'], '.1f')} / {written(row['live_p99_ms'], '.1f')}", "50")
        )  # fmt: skip
    return found


def run(scenario: Scenario, seconds: float, directory: Path | None, options: tuple[str, ...] = ()) -> Row:
    """Measure one scenario once, in an empty data root, and the bare loop under the same load."""
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
        root = Path(scratch) / "data"
        row = served(root, scenario, seconds, options)
        row |= _on_disk(root)
        row["sample_seen"] = _seen(root)
    bare_seconds = min(seconds / 2, _BARE_SECONDS)
    reports: list[Report] = []
    taken = bare.under(lambda port: reports.append(scenario.load.send(port, bare_seconds)))
    (report,) = reports
    packets = report.records * taken.datagrams / max(1, report.datagrams)
    row["bare_rate"] = packets / report.wall_s
    row["bare_drops"] = taken.drops
    row["bare_cpu_us"] = taken.cpu_s * 1e6 / max(1.0, packets)
    row["cpu_to_bare"] = _ratio(row["cpu_us"], row["bare_cpu_us"])
    row["stored_to_bare"] = _ratio(row["stored_rate"], row["bare_rate"])
    return row


def _ratio(a: Cell, b: Cell) -> Cell:
    return a / b if isinstance(a, int | float) and isinstance(b, int | float) and b else None


def served(root: Path, scenario: Scenario, seconds: float, options: tuple[str, ...] = ()) -> Row:
    """Send the load to a server on `root`; gives what became of it and what it cost. The server is stopped then."""
    server = Running(root, *options)
    try:
        before, earlier = server.cpu_seconds(), server.counts()
        asking = Asking(server.http, scenario.questions)
        with Watch(server) as watch, asking:
            start = time.monotonic()
            report = scenario.load.send(server.udp, seconds)
            end = time.monotonic()
            asking.pause()
            drain_s = server.drain(_DRAIN_SECONDS)
        after, counts = server.cpu_seconds(), server.counts()
    finally:
        server.stop()
    taken, stored = counts.taken - earlier.taken, counts.stored - earlier.stored
    spent = {name: (after.get(name, 0.0) - before.get(name, 0.0)) * 1e6 / max(1, taken) for name in THREADS}
    everything = sum(after.values()) - sum(before.values())
    # The sender needs a moment to begin, and the first chunks of all calls fill at one time.
    growth = watch.growth(start + (end - start) / 3, end)
    return {
        "scenario": scenario.name,
        "asked": scenario.load.rate,
        "calls": scenario.load.calls,
        "rate": report.rate,
        "sent": report.records,
        "sent_sip": report.sip,
        "datagrams": report.datagrams,
        "unsent_datagrams": report.unsent,
        "late_ticks": report.late_ticks,
        "stored": stored,
        "stored_rate": max(0.0, stored / max(1e-9, report.wall_s) - max(0.0, growth)),
        "kernel_drops": counts.kernel_drops,
        "pool_drops": counts.pool_drops,
        "refused": counts.refused,
        "backlog_growth": growth,
        "drain_s": drain_s,
        **{f"{name}_us": value for name, value in spent.items()},
        "cpu_us": everything * 1e6 / max(1, taken),
        "sender_us": report.cpu_s * 1e6 / max(1, report.records),
        "recorder_mb": watch.recorder.private,
        "reader_mb": watch.reader.private,
        "pool_mb": watch.recorder.shared,
        **asking.found(),
    }


def _on_disk(root: Path) -> Row:
    found = disk.measure(root)
    packets, minutes = found.rtp_packets, found.minutes
    return {
        "visible": found.sip_messages + found.rtp_packets,
        "visible_calls": found.calls,
        "octets_on_disk": found.octets,
        "call_minutes": minutes,
        "octets_per_call_minute": found.octets / minutes if minutes else None,
        "payload_per_call_minute": found.payload / minutes if minutes else None,
        "columns_per_call_minute": (found.columns + found.headers) / minutes if minutes else None,
        "index_per_call_minute": found.index_octets / minutes if minutes else None,
        "sip_per_call_minute": found.sip / minutes if minutes else None,
        "payload_ratio": found.payload / found.audio if found.audio else None,
        "header_octets_per_packet": (found.columns + found.headers) / packets if packets else None,
        "index_octets_per_packet": found.index_octets / packets if packets else None,
        "octets_per_message": found.octets / found.sip_messages if not packets and found.sip_messages else None,
    }


def _seen(root: Path) -> int:
    """Ask for some calls, and count those whose flow holds the messages that their summary counts."""
    seen = 0
    with contextlib.suppress(OSError), closing(History.open(root)) as history:
        for call in history.calls(Criteria(limit=_SAMPLED_CALLS)).calls:
            seen += len(history.flow(call.call_id).messages) == call.sip_messages
    return seen


def main() -> None:
    """Measure rates of one's own: how the limit of a machine is found."""
    names = [one.name for one in SCENARIOS]
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default=",".join(names), help="scenarios")
    options.add_argument("--rate", default="", help="packets per second, one run each; else what is aimed at")
    options.add_argument("--calls", type=int, default=0, help="calls in progress at any time; else 10,000")
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--dir", type=Path, help="where data roots are made; must be a disk, not memory")
    options.add_argument(
        "--option", action="append", default=[], help="given to sipflow-server, e.g. --option=--encoders=1"
    )
    asked = options.parse_args()
    rows = []
    for name in asked.only.split(","):
        scenario = SCENARIOS[names.index(name)]
        for rate in [int(text) for text in asked.rate.split(",") if text] or [scenario.load.rate]:
            load = scenario.load._replace(rate=rate, calls=asked.calls or scenario.load.calls)
            rows.append(run(scenario._replace(load=load), asked.seconds, asked.dir, tuple(asked.option)))
            print(table(COLUMNS, rows[-1:]), file=sys.stderr)
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()
