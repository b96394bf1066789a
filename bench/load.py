"""What sipflow-load itself costs: it sends to the bare loop, which receives and throws away.

The sender's cost is what a recorder on the same machine has to live with; the loop's is the least a receiver can spend.
"""

from bench import bare
from bench.figures import Column, Findings, Line, Row, Scale, spread_rows, written
from bench.sending import Load

from sipflow.load.report import Report

LOADS = {
    "batch": Load(10_000, 1_000_000),
    "batch, 20,000 calls": Load(20_000, 1_500_000),
    "batch, not cut by the kernel": Load(10_000, 1_000_000, ("--no-offload",)),
    "single": Load(10_000, 500_000, ("--single",)),
    "single, not cut by the kernel": Load(10_000, 500_000, ("--single", "--no-offload")),
    "sip": Load(20_000, 250_000, ("--talk", "4", "--sip-only")),
    "mixed": Load(16_000, 800_000, ("--talk", "7")),
    "hep": Load(10_000, 400_000, ("--format", "hep")),
    "poor network": Load(
        10_000, 800_000, ("--leg-a", "loss=2%,burst=3,jitter=20ms,reorder=1%", "--leg-b", "loss=1%,duplicate=1%")
    ),
}
CEILINGS = {
    "ceiling, batch": Load(10_000, 0),
    "ceiling, not cut by the kernel": Load(10_000, 0, ("--no-offload",)),
    "ceiling, two senders": Load(10_000, 0, ("--senders", "2")),
}  # fmt: skip
_QUICK = ("batch", "single", "sip")
_QUICK_CEILINGS = ("ceiling, batch",)

COLUMNS = [
    Column("load", "load"),
    Column("asked", "asked", ","),
    Column("rate", "sent/s", ",.0f"),
    Column("sip_percent", "SIP %", ".1f"),
    Column("sender_us", "us/packet", ".3f"),
    Column("sender_datagram_us", "us/datagram", ".3f"),
    Column("planning_us", "plan us", ".3f"),
    Column("cpu_share", "processors", ".2f"),
    Column("late_ticks", "late", ","),
    Column("unsent", "unsent", ","),
    Column("receiver_us", "receive us/datagram", ".3f"),
    Column("kernel_drops", "kernel", ","),
]


def measure(scale: Scale) -> Findings:
    """Send every load."""
    seconds = 2.0 if scale.quick else 4.0
    names = _QUICK if scale.quick else LOADS
    rows = [spread_rows([_run(name, seconds) for _ in range(scale.runs)]) for name in names]
    unread = _QUICK_CEILINGS if scale.quick else CEILINGS
    rows += [spread_rows([_ceiling(name, 4 * seconds) for _ in range(scale.runs)]) for name in unread]
    most = next(row for row in rows if row["load"] == "ceiling, batch")
    lines = [Line(f"`sipflow-load`, processor time a packet [us]: {', '.join(names)}",
                  ", ".join(written(row["sender_us"], ".2f") for row in rows[: len(names)])),
             Line("`sipflow-load --ceiling`, packets/s and processors", f"{written(most['rate'], ',.0f')}, "
                  f"{written(most['cpu_share'], '.2f')}")]  # fmt: skip
    return Findings(f"{seconds:g} s each", COLUMNS, rows, {"seconds": seconds}, lines)


def _ceiling(name: str, seconds: float) -> Row:
    load = CEILINGS[name]
    return _row(name, load, load.send_unread(seconds), bare.Taken(0, 0, 0, 0.0))


def _run(name: str, seconds: float) -> Row:
    load = LOADS[name]
    reports: list[Report] = []
    taken = bare.under(lambda port: reports.append(load.send(port, seconds)))
    (report,) = reports
    return _row(name, load, report, taken)


def _row(name: str, load: Load, report: Report, taken: bare.Taken) -> Row:
    return {
        "load": name,
        "asked": load.rate,
        "rate": report.rate,
        "records": report.records,
        "datagrams": report.datagrams,
        "sip_percent": 100 * report.sip / max(1, report.records),
        "sender_us": report.cost_us,
        "sender_datagram_us": 1e6 * report.cpu_s / max(1, report.datagrams),
        "cpu_share": report.cpu_share,
        "planning_us": 1e6 * report.planning_s / max(1, report.records),
        "late_ticks": report.late_ticks,
        "unsent": report.unsent,
        "receiver_us": 1e6 * taken.cpu_s / max(1, taken.datagrams),
        "received": taken.datagrams,
        "kernel_drops": taken.drops,
    }
