"""Delay, loss, reordering and partition on the way between nodes: in network namespaces, and through relays."""

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster_nodes import LIMIT_MS, PATIENCE_S, Nodes, recent_calls, script_packets
from rough_network import RoughNetwork, Trouble, Way
from running import RunningServer
from sipflow import Capture
from sipflow.clock import now_us
from sipflow.cluster.page_of_all import STEP_S
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.placement import Placement
from sipflow.wire.packet import Kind

NAMES = "abc"
NETWORK = "10.213.77"
UDP, HTTP = 3000, 3001
# Of calls that nobody has sent yet.
SEEDS = itertools.count(200)
# No answer may take longer, on a machine that does other things as well: a list may search for STEP_S before.
IN_TIME_S = LIMIT_MS / 1000 + STEP_S + 1.5
TAG = f"sf{os.getpid() % 10_000}"

# Several servers are started, on a machine that may do other things.
pytestmark = pytest.mark.timeout(600)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Network(ABC):
    """What is between the nodes."""

    @abstractmethod
    def start(self, home: Path) -> tuple[dict[str, RunningServer], Path]:
        """Start the nodes; gives them by name, and the configuration of who sends to them."""

    @abstractmethod
    def disturb(self, name: str, *how: str) -> None:
        """Have what a node sends and gets disturbed (tc-netem(8)); nothing ends it."""

    @abstractmethod
    def link(self, name: str, state: str) -> None:
        """Cut a node off ("down"), or end that ("up")."""

    @abstractmethod
    def beside(self, name: str) -> str:
        """List the calls as somebody is told who asks a node at the node's own host."""

    @abstractmethod
    def remove(self) -> None:
        """Leave nothing behind."""


class Hosts(Network):
    """A host for each node, joined by a bridge of which this one is a part as well."""

    def __init__(self) -> None:
        self.address = {name: f"{NETWORK}.{number + 1}" for number, name in enumerate(NAMES)}
        self.here = f"{NETWORK}.100"

    def build(self) -> None:
        ip("link", "add", f"{TAG}br", "type", "bridge")
        ip("addr", "add", f"{self.here}/24", "dev", f"{TAG}br")
        ip("link", "set", f"{TAG}br", "up")
        for name, address in self.address.items():
            ip("netns", "add", self.space(name))
            ip("link", "add", f"{TAG}{name}", "type", "veth", "peer", "name", "eth0", "netns", self.space(name))
            ip("link", "set", f"{TAG}{name}", "master", f"{TAG}br", "up")
            ip("-n", self.space(name), "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", self.space(name), "link", "set", "eth0", "up")
            ip("-n", self.space(name), "link", "set", "lo", "up")

    def remove(self) -> None:
        for name in self.address:
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", self.space(name))
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", f"{TAG}br")

    def space(self, name: str) -> str:
        return f"{TAG}{name}"

    def start(self, home: Path) -> tuple[dict[str, RunningServer], Path]:
        if shutil.which("ip") is None or shutil.which("tc") is None:
            pytest.skip("SKIPPED: no ip or tc on this machine (iproute2): the network is not disturbed")
        try:
            self.build()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"SKIPPED: this machine makes no network namespaces: {error.stderr.decode().strip()}")
        lines = ["[sipflow]", 'type = "{kind}"', "peer_timeout_ms = 1500", f'trusted = ["{NETWORK}.0/24"]']
        for name, address in self.address.items():
            lines += ["[[sipflow.nodes]]", f'name = "{name}"', f'udp = "{address}:{UDP}"']
            lines += [f'http = "http://{address}:{HTTP}"']
        local, remote = home / "local.toml", home / "remote.toml"
        local.write_text("\n".join(lines).replace("{kind}", "local"))
        remote.write_text("\n".join(lines).replace("{kind}", "remote"))
        return {name: Far(home / name, local, name, self) for name in NAMES}, remote

    def disturb(self, name: str, *how: str) -> None:
        for way in (["-n", self.space(name)], []):
            device = "eth0" if way else f"{TAG}{name}"
            with contextlib.suppress(subprocess.CalledProcessError):
                subprocess.run(["tc", *way, "qdisc", "del", "dev", device, "root"], check=True, capture_output=True)
            if how:
                added = subprocess.run(
                    ["tc", *way, "qdisc", "add", "dev", device, "root", "netem", *how], check=False, capture_output=True
                )
                if added.returncode:
                    pytest.skip(f"SKIPPED: this machine has no netem: {added.stderr.decode().strip()}")

    def link(self, name: str, state: str) -> None:
        ip("link", "set", f"{TAG}{name}", state)

    def beside(self, name: str) -> str:
        return subprocess.run(
            ["ip", "netns", "exec", self.space(name), "curl", "-s", "-m", "20",
             f"http://{self.address[name]}:{HTTP}/api/v1/calls?limit=200"],
            check=False, capture_output=True, text=True,
        ).stdout  # fmt: skip


class Far(RunningServer):
    """A server in the namespace of its host."""

    def __init__(self, root: Path, config: Path, name: str, hosts: Hosts) -> None:
        self._name, self._hosts = name, hosts
        super().__init__(
            root, "--config", str(config), "--node", name, wait=False, host=hosts.address[name], ports=(UDP, HTTP),
            before=("ip", "netns", "exec", hosts.space(name)),
        )  # fmt: skip


class Relays(Network):
    """A relay on loopback from each node, and from whoever sends, to each other node: for machines without netem."""

    def __init__(self, seed: int) -> None:
        self._network = RoughNetwork(seed)
        self._ways: dict[tuple[str, str], Way] = {}
        self._servers: dict[str, RunningServer] = {}

    def start(self, home: Path) -> tuple[dict[str, RunningServer], Path]:
        places = Nodes(home, NAMES).places
        for asker in ("sender", *NAMES):
            for name, (udp, http) in places.items():
                if name != asker:
                    self._ways[asker, name] = self._network.way(("127.0.0.1", udp), http)
        for asker in ("sender", *NAMES):
            kind = "remote" if asker == "sender" else "local"
            lines = ["[sipflow]", f'type = "{kind}"', f"peer_timeout_ms = {LIMIT_MS}", "report_interval_secs = 1"]
            for name, (udp, http) in places.items():
                way = self._ways.get((asker, name))
                lines += ["[[sipflow.nodes]]", f'name = "{name}"']
                lines += [f'udp = "127.0.0.1:{udp if way is None else way.udp[1]}"']
                lines += [f'http = "{f"http://127.0.0.1:{http}" if way is None else way.http}"']
            (home / f"{asker}.toml").write_text("\n".join(lines))
        for name in NAMES:
            self._servers[name] = RunningServer(
                home / name, "--config", str(home / f"{name}.toml"), "--node", name, wait=False, ports=places[name]
            )
        return self._servers, home / "sender.toml"

    def to(self, name: str) -> Way:
        """Give the way of a sender to a node."""
        return self._ways["sender", name]

    def disturb(self, name: str, *how: str) -> None:
        self._trouble(name, Trouble.of_netem(how))

    def link(self, name: str, state: str) -> None:
        self._trouble(name, Trouble(cut=state == "down"))

    def beside(self, name: str) -> str:
        return self._servers[name].get("/api/v1/calls", limit="200").text

    def remove(self) -> None:
        self._network.close()

    def _trouble(self, name: str, trouble: Trouble) -> None:
        for ends, way in self._ways.items():
            if name in ends:
                way.trouble = trouble


class Net:
    """The cluster, and what was sent to it."""

    def __init__(self, hosts: Network, servers: dict[str, RunningServer], config: Path) -> None:
        self.hosts, self.servers, self.config = hosts, servers, config
        self.placement = Placement(list(NAMES))

    def silent(self, name: str) -> dict[str, str]:
        """Tell why each node is silent, as one of them knows."""
        return {one["name"]: one["fault"] for one in self.servers[name].get("/api/v1/nodes").json()["cluster"]}

    def send(self, calls: list[Call]) -> None:
        with Capture.from_config(self.config) as capture:
            for packet in script_packets(calls):
                if packet.kind is Kind.SIP:
                    capture.sip(packet.payload, packet.src, packet.dst, time_us=packet.time_us)
            assert capture.flush(10)

    def listed(self, name: str) -> httpx.Response:
        return self.servers[name].get("/api/v1/calls", limit="200")


@pytest.fixture(scope="module", params=["namespaces", "relays"])
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    yield from run_nodes(Hosts() if request.param == "namespaces" else Relays(7), tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def relayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    yield from run_nodes(Relays(8), tmp_path_factory.mktemp("net"))


def run_nodes(hosts: Network, home: Path) -> Iterator[Net]:
    """Run nodes until whoever asked for them has done."""
    servers: dict[str, RunningServer] = {}
    try:
        servers, config = hosts.start(home)
        found = Net(hosts, servers, config)
        for name, server in servers.items():
            server.until(lambda server=server: server.get("/health").status_code == 200, "healthy", PATIENCE_S)
            server.until(lambda name=name: not any(found.silent(name).values()), "hearing", PATIENCE_S)
        yield found
    finally:
        for server in servers.values():
            server.stop()
        hosts.remove()


def fill(net: Net, seed: int) -> list[Call]:
    calls = [call for call in recent_calls(seed, 24) if not call.streams()]
    net.send(calls)
    wanted = {call.call_id for call in calls}
    server = net.servers["a"]
    server.until(lambda: wanted <= {one["call_id"] for one in net.listed("a").json()["calls"]}, "found", 60)
    return calls


@pytest.mark.parametrize(
    "how",
    [
        ("delay", "40ms", "10ms"),
        ("delay", "20ms", "reorder", "25%", "50%"),
        ("delay", "5ms", "loss", "8%"),
        ("delay", "5ms", "duplicate", "10%"),
    ],
    ids=" ".join,
)
def test_a_bad_way_between_nodes_costs_no_call(net: Net, how: tuple[str, ...]) -> None:
    calls = fill(net, next(SEEDS))
    net.hosts.disturb("b", *how)
    try:
        for name in NAMES:
            server = net.servers[name]
            wanted = {call.call_id: len(call.messages()) for call in calls}
            # A question may be lost on its way, and is then a fault of one answer: the next has all.
            server.until(lambda name=name: net.listed(name).json()["faults"] == [], "complete", PATIENCE_S)
            answers = (net.listed(name) for _ in range(50))
            page = next(one.json() for one in answers if one.json()["faults"] == [])
            assert wanted.items() <= {one["call_id"]: one["sip_messages"] for one in page["calls"]}.items()
    finally:
        net.hosts.disturb("b")


def test_a_node_that_is_cut_off_is_named_by_both_sides_and_comes_back(net: Net) -> None:
    calls = fill(net, next(SEEDS))
    net.hosts.link("c", "down")
    try:
        for name in "ab":
            server = net.servers[name]
            server.until(lambda name=name: net.silent(name)["c"], "seen", PATIENCE_S)
            page = net.listed(name)
            assert page.status_code == 200
            assert "node c" in " ".join(fault["what"] for fault in page.json()["faults"])
            found = {one["call_id"] for one in page.json()["calls"]}
            assert {one.call_id for one in calls if net.placement.owners(one.call_id)[0] != "c"} <= found
            assert not {one.call_id for one in calls if net.placement.owners(one.call_id)[0] == "c"} & found
        alone = net.hosts.beside("c")
        assert '"partial":true' in alone
        assert "node a" in alone
        assert "node b" in alone
    finally:
        net.hosts.link("c", "up")
    for name in NAMES:
        net.servers[name].until(lambda name=name: not any(net.silent(name).values()), "back", PATIENCE_S)
        page = net.listed(name).json()
        assert page["faults"] == []
        assert {call.call_id for call in calls} <= {one["call_id"] for one in page["calls"]}


def test_a_slow_node_is_left_out_and_found_again(net: Net) -> None:
    net.hosts.disturb("b", "delay", "3000ms")
    try:
        net.servers["a"].until(lambda: net.silent("a")["b"], "seen", PATIENCE_S)
        page = net.listed("a")
        assert page.status_code == 200
        assert "node b" in " ".join(fault["what"] for fault in page.json()["faults"])
    finally:
        net.hosts.disturb("b")
    net.servers["a"].until(lambda: not net.silent("a")["b"], "back", PATIENCE_S)
    assert net.listed("a").json()["faults"] == []


class Delivery:
    """Sends through relays, and keeps count of what each way and each node says of it."""

    def __init__(self, net: Net, relays: Relays) -> None:
        self.net, self.relays = net, relays
        self._before = {name: self._now(name) for name in NAMES}

    def _now(self, name: str) -> tuple[int, int, int, int]:
        way = self.relays.to(name)
        return way.came, way.lost, way.passed, self.net.servers[name].metric("sipflow_packets_received_total")

    def counts(self, name: str) -> tuple[int, int, int, int]:
        """Tell of the packets of one node how many came to the way, were lost, passed, and are there."""
        came, lost, passed, there = (
            now - before for now, before in zip(self._now(name), self._before[name], strict=True)
        )
        return came, lost, passed, there

    def send(self, capture: Capture, calls: list[Call]) -> None:
        """Hand over all packets, so slowly that no buffer on this machine runs over."""
        for number, packet in enumerate(script_packets(calls)):
            if packet.kind is Kind.SIP:
                capture.sip(packet.payload, packet.src, packet.dst, time_us=packet.time_us)
            else:
                capture.rtp(packet.call_id, packet.leg or 0, packet.payload, packet.src, packet.dst,
                            time_us=packet.time_us)  # fmt: skip
            if number % 200 == 199:
                self.wait(capture)
        self.wait(capture)

    def wait(self, capture: Capture) -> None:
        """Wait until all that was sent has come to a way, and all that passes there to its node."""
        assert capture.flush(10)
        for node in capture.stats().nodes:
            way, server = self.relays.to(node.name), self.net.servers[node.name]

            def arrived(name: str = node.name, sent: int = node.sent, way: Way = way) -> bool:
                came, _, passed, there = self.counts(name)
                return came == sent and way.waiting == 0 and there == passed

            server.until(arrived, "all of it", PATIENCE_S)


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(loss=0.2),
        Trouble(delay_s=0.03, jitter_s=0.01, reorder=0.25, loss=0.1),
        Trouble(delay_s=0.005, duplicate=0.1),
        Trouble(cut=True),
    ],
    ids=["loss", "loss and reordering", "duplicates", "partition"],
)
def test_every_packet_that_is_lost_on_the_way_to_a_node_is_counted(relayed: Net, trouble: Trouble) -> None:
    relays = relayed.hosts
    assert isinstance(relays, Relays)
    seed = next(SEEDS)
    start_us = now_us() - 30_000_000
    # One of each node with media, that there is something to be lost, and some others.
    some = [Call(seed, n, Scenario.ANSWERED, start_us + n * 100_000, 3_000_000) for n in range(60)]
    calls = [next(one for one in some if relayed.placement.owners(one.call_id)[0] == name) for name in NAMES]
    calls += [call for call in recent_calls(seed + 10_000, 12) if not call.streams()]
    delivery = Delivery(relayed, relays)
    relays.to("b").trouble = trouble
    try:
        with Capture.from_config(relayed.config) as capture:
            delivery.send(capture, calls)
            of = {node.name: node for node in capture.stats().nodes}
            for name, node in of.items():
                came, lost, passed, there = delivery.counts(name)
                assert (came, there) == (node.sent, passed)
                assert node.sent > 0
                if trouble.duplicate and name == "b":
                    assert (lost, passed > came) == (0, True)
                else:
                    assert came == passed + lost
                    assert (lost > 0) == (name == "b")
                # What the node says to have of us, when it can be asked for it.
                relayed.servers[name].until(
                    lambda name=name, there=there: told(capture, name) == there, "told", PATIENCE_S
                )
    finally:
        relays.to("b").trouble = Trouble()
    check_kept(relayed, calls, delivery.counts("b"), trouble)


def told(capture: Capture, name: str) -> int:
    return next(node.received or 0 for node in capture.stats().nodes if node.name == name)


def check_kept(net: Net, calls: list[Call], of_b: tuple[int, int, int, int], trouble: Trouble) -> None:
    """See that what was lost is missing from the calls of one node, and nothing else, nor their order."""
    came, lost, passed, _ = of_b
    sent = stored = 0
    for call in calls:
        messages = call.messages()
        media = sum(packet.kind is Kind.RTP for packet in script_packets([call]))
        of_b_too = net.placement.owners(call.call_id)[0] == "b"
        flow = net.servers["a"].get("/flow", callid=call.call_id).json()
        assert flow.get("faults", []) == []
        times = [one["timestamp"] for one in flow["flow"]]
        assert times == sorted(times)
        assert set(times) <= {message.time_us for message in messages}
        one = net.servers["a"].get(f"/api/v1/calls/{call.call_id}")
        here = 0
        if one.status_code == 200:
            here = one.json()["call"]["sip_messages"] + one.json()["call"]["rtp_packets"]
        if of_b_too:
            sent += len(messages) + media
            stored += here
        else:
            assert here == len(messages) + media
    assert sent == came
    assert stored == (passed if trouble.duplicate else came - lost)


def test_a_partition_is_named_in_time_and_ends_without_action(relayed: Net) -> None:
    relays = relayed.hosts
    assert isinstance(relays, Relays)
    calls = fill(relayed, next(SEEDS))
    relays.link("c", "down")
    try:
        # Before anybody has noticed, and after.
        for noticed in (False, True):
            for name, others in (("a", "c"), ("b", "c"), ("c", "ab")):
                if noticed:
                    relayed.servers[name].until(
                        lambda name=name, others=others: all(relayed.silent(name)[one] for one in others), "seen",
                        PATIENCE_S,
                    )  # fmt: skip
                begun_s = time.monotonic()
                page = relayed.listed(name)
                assert time.monotonic() - begun_s < IN_TIME_S
                assert (page.status_code, page.json()["partial"]) == (200, True)
                named = " ".join(fault["what"] for fault in page.json()["faults"])
                assert all(f"node {other}" in named for other in others)
                own = {one["call_id"] for one in page.json()["calls"]}
                near = set(NAMES) - set(others)
                assert {one.call_id for one in calls if relayed.placement.owners(one.call_id)[0] in near} <= own
    finally:
        relays.link("c", "up")
    for name in NAMES:
        relayed.servers[name].until(lambda name=name: not any(relayed.silent(name).values()), "back", PATIENCE_S)
        page = relayed.listed(name)
        assert (page.json()["partial"], page.json()["faults"]) == (False, [])
        assert {call.call_id for call in calls} <= {one["call_id"] for one in page.json()["calls"]}
