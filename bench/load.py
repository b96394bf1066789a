"""What sipflow-load itself costs: it sends to a receiver that discards, batches, single frames, SIP alone and a mix.

PYTHONPATH=src python -m bench.load [--modes batch,offload,single,sip,mixed] [--seconds 4] [--runs 3]

The figures are medians of the runs; the receiver's cost is the floor against which a recorder's can be held.
"""

import argparse
import json
import subprocess
import sys
from typing import NamedTuple

import msgspec
from bench.discard import discarding
from bench.figures import Cell, Column, percentile, publish

from sipflow.load.report import Report


class Mode(NamedTuple):
    """One kind of load: options of sipflow-load, and packets per second."""

    rate: int
    options: tuple[str, ...]


# Two of a hundred packets of "mixed" are SIP.
MODES = {
    "batch": Mode(1_000_000, ("--calls", "10000", "--scenario", "answered")),
    "batch-20000": Mode(1_500_000, ("--calls", "20000", "--scenario", "answered")),
    "offload": Mode(1_000_000, ("--calls", "10000", "--scenario", "answered", "--offload")),
    "single": Mode(500_000, ("--calls", "10000", "--scenario", "answered", "--single")),
    "sip": Mode(250_000, ("--calls", "20000", "--talk", "4", "--sip-only")),
    "mixed": Mode(800_000, ("--calls", "16000", "--talk", "7")),
}

COLUMNS = (
    Column("mode", "mode"),
    Column("asked", "asked", ","),
    Column("rate", "sent/s", ",.0f"),
    Column("sip_share", "SIP %", ".1f"),
    Column("sender_us", "us/packet", ".3f"),
    Column("sender_datagram_us", "us/datagram", ".3f"),
    Column("planning_us", "plan us", ".3f"),
    Column("late_ticks", "late", ","),
    Column("unsent", "unsent", ","),
    Column("receiver_us", "receive us/datagram", ".3f"),
    Column("kernel_drops", "kernel", ","),
)


class _Outcome(msgspec.Struct):
    """What of sipflow-load's answer is of interest."""

    sent: Report


def measure(name: str, seconds: float) -> dict[str, Cell]:
    """Send once. Raises CalledProcessError."""
    mode = MODES[name]
    with discarding() as receiver:
        command = [
            sys.executable, "-c", "from sipflow.load.cli import main; main()", "--json",
            "--to", f"127.0.0.1:{receiver.port}", "--rate", str(mode.rate), "--duration", str(seconds), *mode.options,
        ]  # fmt: skip
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        taken = receiver.stop()
    report = msgspec.json.decode(done.stdout, type=_Outcome).sent
    return {
        "mode": name,
        "asked": mode.rate,
        "rate": report.rate,
        "records": report.records,
        "datagrams": report.datagrams,
        "sip_share": 100 * report.sip / report.records,
        "sender_us": report.cost_us,
        "sender_datagram_us": 1e6 * report.cpu_s / report.datagrams,
        "planning_us": 1e6 * report.planning_s / report.records,
        "late_ticks": report.late_ticks,
        "unsent": report.unsent,
        "receiver_us": 1e6 * taken.cpu_s / max(1, taken.datagrams),
        "received": taken.datagrams,
        "kernel_drops": taken.kernel_drops,
    }


def median(rows: list[dict[str, Cell]]) -> dict[str, Cell]:
    """Give the median of every figure."""
    found: dict[str, Cell] = {}
    for key, value in rows[0].items():
        numbers = [row[key] for row in rows]
        found[key] = value if isinstance(value, str) else percentile([float(n or 0) for n in numbers], 0.5)
        if isinstance(value, int):
            found[key] = int(found[key] or 0)
    return found


def main() -> None:
    """Measure every mode, print one table and leave it as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--modes", default="batch,offload,single,sip,mixed", help=f"of {', '.join(MODES)}")
    options.add_argument("--seconds", type=float, default=4.0, help="of sending")
    options.add_argument("--runs", type=int, default=3, help="of each mode")
    asked = options.parse_args()
    rows = []
    for name in asked.modes.split(","):
        runs = [measure(name, asked.seconds) for _ in range(asked.runs)]
        print(json.dumps({"mode": name, "us": [run["sender_us"] for run in runs]}), file=sys.stderr)
        rows.append(median(runs))
    publish(
        "load",
        f"sipflow-load, {asked.seconds:g} s a run, medians of {asked.runs}: CPU of the sending thread",
        COLUMNS,
        rows,
        seconds=asked.seconds,
        runs=asked.runs,
    )


if __name__ == "__main__":
    main()
