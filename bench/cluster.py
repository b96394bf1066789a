"""What it costs to be several: questions to one node of three, and to one server that holds everything alone.

The same calls, sent to the owner of each, or all to one; everything on one machine, so that three nodes share its
processors. One question at a time; recordings are those of calls whose media lies on another node than the one asked.
"""

import socket
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

from bench.figures import Column, Findings, Line, Row, Scale, written
from bench.query import Client, timed
from bench.running import Running, free_port

from sipflow.clock import SECOND_US, now_us
from sipflow.load.call import Call
from sipflow.load.pace import Pace
from sipflow.load.play import Sending, play
from sipflow.load.scenario import Mix
from sipflow.load.schedule import Schedule
from sipflow.placement import Placement

_NODES = ("a", "b", "c")
_SPAN_US = 600 * SECOND_US
_TALK_US = 20 * SECOND_US
_DRAIN_SECONDS = 60.0

COLUMNS = [
    Column("nodes", "nodes"),
    Column("question", "question"),
    Column("asks", "asks", ","),
    Column("p50_ms", "p50 ms", ".2f"),
    Column("p99_ms", "p99 ms", ".2f"),
    Column("worst_ms", "worst ms", ".2f"),
]


def measure(scale: Scale) -> Findings:
    """Ask three nodes, then one."""
    per_second, asks = (0.5, 100) if scale.quick else (3.0, 600)
    schedule = Schedule(
        seed=1, mix=Mix.parse("mix"), start_us=now_us() - _SPAN_US, span_us=_SPAN_US, talk_us=_TALK_US,
        pace=Pace(per_second, per_second),
    )  # fmt: skip
    calls = list(schedule.calls())
    rows: list[Row] = []
    for names in (_NODES, _NODES[:1]):
        with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=scale.directory) as directory:
            rows += _asked(Path(directory), names, calls, asks)
    found = {(str(row["nodes"]), str(row["question"])): row for row in rows}

    def both(question: str) -> str:
        return "; ".join(
            " / ".join(written(found[nodes, question][name], ".1f") for name in ("p50_ms", "p99_ms"))
            for nodes in ("3", "1")
        )

    lines = [
        Line(
            "cluster of 3 nodes: `/flow` of a call; of one server alone [ms, median / 99th percentile]", both("/flow")
        ),
        Line("cluster of 3 nodes: a page of 50 calls; of one server alone [ms]", both("a page of 50 calls")),
    ]
    settings = {"calls": len(calls), "asks": asks}
    return Findings(f"{len(calls):,} calls on three nodes and on one", COLUMNS, rows, settings, lines)


def _asked(home: Path, names: Sequence[str], calls: list[Call], asks: int) -> list[Row]:
    ports = {name: (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)) for name in names}
    config = home / "cluster.toml"
    lines = ["[sipflow]"]
    for name, (udp, http) in ports.items():
        lines += ["[[sipflow.nodes]]", f'name = "{name}"', f'udp = "127.0.0.1:{udp}"']
        lines += [f'http = "http://127.0.0.1:{http}"']
    config.write_text("\n".join(lines))
    placement = Placement(list(names))
    with ExitStack() as stack:
        servers = {}
        for name in names:
            options = ("--pool-mb", "128", *(("--config", str(config)) if len(names) > 1 else ()))
            servers[name] = Running(home / name, *options, ports=ports[name])
            stack.callback(servers[name].stop)
        for name, server in servers.items():
            own = [call for call in calls if placement.owners(call.call_id)[0] == name]
            play(own, ("127.0.0.1", server.udp), Sending(speed=100.0))
            server.drain(_DRAIN_SECONDS)
        client = stack.enter_context(closing(Client(servers["a"].http)))
        some = [calls[n % len(calls)] for n in range(0, 7 * asks, 7)]
        ids = [quote(call.call_id, safe="") for call in some]
        sounding = [quote(call.call_id, safe="") for call in _elsewhere(some)]
        rows = [
            timed("/flow", client.get, [f"/flow?callid={one}" for one in ids]),
            timed("a call by its id", client.get, [f"/api/v1/calls/{one}" for one in ids]),
            timed("figures of its media", client.get, [f"/media?callid={one}&stats=1" for one in sounding]),
            timed("its recording", client.get, [f"/media?callid={one}" for one in sounding]),
            timed("a page of 50 calls", client.get, ["/api/v1/calls"] * (asks // 4)),
            timed("a search, 50 calls", client.get, ["/api/v1/calls?status=486"] * (asks // 4)),
            timed("statistics of a day", client.get, ["/api/v1/statistics"] * (asks // 4)),
        ]
    return [{"nodes": str(len(names)), **row} for row in rows]


def _elsewhere(calls: Sequence[Call]) -> list[Call]:
    """Give calls with media, those that the first of three nodes does not hold."""
    three = Placement(list(_NODES))
    found = [call for call in calls if call.scenario.talks and three.owners(call.call_id)[0] != "a"]
    return found[: max(20, len(calls) // 6)]
