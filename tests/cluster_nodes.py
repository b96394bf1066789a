"""Clusters of real servers on loopback, for tests."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import msgspec

from running import RunningServer, free_port
from sipflow.clock import now_us
from sipflow.cluster.connection import Connection
from sipflow.cluster.exchange import OfCalls
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.load.verify import Verifier
from sipflow.node import Node
from sipflow.placement import Placement
from sipflow.query.listed import Known, Listed
from sipflow.wire.datagram import encode_batch, encode_packet
from sipflow.wire.packet import Packet
from sipflow.wire.sip import parse_head

# Short, so that a silent node is found soon; long enough for a machine that does other things as well.
LIMIT_MS = 1500
PATIENCE_S = 90.0


class Nodes:
    """Nodes with their places reserved; servers are started and stopped by name."""

    def __init__(self, home: Path, names: str, replicas: int = 1, **settings: object) -> None:
        self.home = home
        self.replicas = replicas
        self.settings = settings
        self.places = {name: (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)) for name in names}
        # Where others ask a node, if there is something in front of it.
        self.fronts: dict[str, str] = {}
        self.slots: list[str] = list(names)
        self.servers: dict[str, RunningServer] = {}
        # Packets sent to each since it was started.
        self.received: dict[str, int] = {}

    def config(self, slots: Sequence[str] | None = None, kind: str = "local") -> Path:
        """Write the configuration that all nodes share."""
        slots = self.slots if slots is None else slots
        lines = ["[sipflow]", f'type = "{kind}"', f"peer_timeout_ms = {LIMIT_MS}", f"replicas = {self.replicas}"]
        lines += [f"{key} = {str(value).lower()}" for key, value in self.settings.items()]
        for name in slots:
            udp, http = self.places[name]
            lines += ["[[sipflow.nodes]]", f'name = "{name}"', f'udp = "127.0.0.1:{udp}"']
            lines += [f'http = "{self.fronts.get(name, f"http://127.0.0.1:{http}")}"']
        file = self.home / f"{kind}-{''.join(slots)}.toml"
        file.write_text("\n".join(lines) + "\n")
        return file

    def start(self, *names: str, slots: Sequence[str] | None = None) -> None:
        """Start nodes, and wait until each is healthy and hears those that run."""
        for name in names:
            self.received.pop(name, None)
            self.servers[name] = RunningServer(
                self.home / name, "--config", str(self.config(slots)), wait=False, ports=self.places[name]
            )
        for name in names:
            server = self.servers[name]
            server.until(lambda server=server: server.get("/health").status_code == 200, "healthy", PATIENCE_S)
        for name in names:
            running = [one for one in self.servers if one in (slots or self.slots)]
            self.until(name, lambda states, running=running: all(not states[one] for one in running), "hearing")

    def until(self, name: str, condition: "object", what: str, seconds: float = PATIENCE_S) -> None:
        """Wait until what a node knows of all nodes, by name why each is silent, fulfils a condition."""
        server = self.servers[name]
        server.until(lambda: condition(faults(server)), what, seconds)  # type: ignore[operator]

    def placement(self) -> Placement:
        return Placement(self.slots, self.replicas)

    def send(self, packets: Sequence[Packet]) -> None:
        """Send packets to all who keep them."""
        for name in self.slots:
            self.send_to(name, [one for one in packets if name in self.placement().owners(one.call_id)])

    def send_to(self, name: str, packets: Sequence[Packet], *, named: bool = True) -> None:
        """Send packets to one node; RustPBX 0.5 does not name the call of SIP."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number, packet in enumerate(packets):
                sent = packet if named else msgspec.structs.replace(packet, call_id="")
                sock.sendto(encode_batch([encode_packet(sent)]), ("127.0.0.1", self.places[name][0]))
                if number % 500 == 499:
                    self.settle(name, number + 1 + self.received.get(name, 0))
        if packets:
            self.received[name] = self.received.get(name, 0) + len(packets)
            self.settle(name, self.received[name])

    def settle(self, name: str, count: int) -> None:
        """Wait until a node has taken so many packets, so that no buffer runs over."""
        server = self.servers[name]
        server.until(lambda: server.metric("sipflow_packets_received_total") >= count, "received", PATIENCE_S)

    def add(self, name: str) -> None:
        """Append a node to the list; it is not started."""
        self.places[name] = (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM))
        self.slots.append(name)

    def owner(self, call_id: str) -> str:
        return self.placement().owners(call_id)[0]

    def stop(self) -> None:
        for server in self.servers.values():
            with contextlib.suppress(OSError):
                os.kill(server.process.pid, signal.SIGCONT)
            server.stop()


def faults(server: RunningServer) -> dict[str, str]:
    """Tell why each node is silent, by name; empty for one that answers."""
    return {one["name"]: one["fault"] for one in server.get("/api/v1/nodes").json()["cluster"]}


@contextlib.contextmanager
def cluster(home: Path, names: str, replicas: int = 1, **settings: object) -> Iterator[Nodes]:
    """Run a cluster while a `with` lasts."""
    nodes = Nodes(home, names, replicas, **settings)
    try:
        nodes.start(*names)
        yield nodes
    finally:
        nodes.stop()


def recent_calls(seed: int, count: int = 6) -> list[Call]:
    """Plan calls that are over, of all kinds in turn; registrations among them."""
    kinds = [Scenario.ANSWERED, Scenario.BUSY, Scenario.REGISTER, Scenario.CHALLENGED, Scenario.UNANSWERED,
             Scenario.LOSSY]  # fmt: skip
    start_us = now_us() - 30_000_000
    return [Call(seed, n, kinds[n % len(kinds)], start_us + n * 500_000, 8_000_000) for n in range(count)]


def listed(server: RunningServer, **asked: str) -> list[dict[str, object]]:
    """List all calls, page by page."""
    calls: list[dict[str, object]] = []
    after: dict[str, str] = {}
    while True:
        page = httpx.get(f"{server.url}/api/v1/calls", params={"limit": "2", **asked, **after}, timeout=20)
        assert page.status_code == 200, page.text
        calls += page.json()["calls"]
        if page.json()["next"] is None:
            return calls
        after = {"after": page.json()["next"]}


def script_packets(calls: Sequence[Call]) -> list[Packet]:
    """Write every packet of calls, in order of time."""
    packets = [packet for call in calls for packet in call.messages()]
    for call in calls:
        for stream in call.streams():
            packets += [msgspec.structs.replace(one, client_id=7) for one in stream.packets(VoiceBank.make(call.seed))]
    named = [msgspec.structs.replace(one, call_id=one.call_id or sip_id(one)) for one in packets]
    return sorted(named, key=lambda one: one.time_us)


def sip_id(packet: Packet) -> str:
    return parse_head(packet.payload).call_id or ""


def holdings(nodes: Nodes, call_id: str) -> dict[str, Listed]:
    """Ask each node alone what it knows of a call."""
    found = {}
    for name, (_, http) in nodes.places.items():
        if name in nodes.servers:
            connection = Connection(Node(name, "127.0.0.1", 1, f"http://127.0.0.1:{http}"), None)
            with contextlib.closing(connection):
                for one in connection.ask("known", OfCalls([call_id]), Known, 10).calls:
                    found[name] = one
    return found


def differing(server: RunningServer, calls: Sequence[Call]) -> list[object]:
    """Compare calls with what a server answers: every message and stream, and the sound."""
    verifier = Verifier(server.url, timeout_s=30)
    with contextlib.closing(verifier):
        return list(verifier.run(iter(calls), 20.0).wrong)
