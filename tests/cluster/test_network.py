"""Nodes in network namespaces of their own: delay, loss, reordering and partition on the way between them."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster_nodes import PATIENCE_S, recent_calls, script_packets
from running import RunningServer
from sipflow import Capture
from sipflow.load.call import Call
from sipflow.placement import Placement
from sipflow.wire.packet import Kind

NAMES = "abc"
NETWORK = "10.213.77"
UDP, HTTP = 3000, 3001
TAG = f"sf{os.getpid() % 10_000}"

# Several servers are started, on a machine that may do other things.
pytestmark = pytest.mark.timeout(600)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Hosts:
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

    def disturb(self, name: str, *how: str) -> None:
        """Have what a node sends and gets disturbed (tc-netem(8)); nothing ends it."""
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


class Far(RunningServer):
    """A server in the namespace of its host."""

    def __init__(self, root: Path, config: Path, name: str, hosts: Hosts) -> None:
        self._name, self._hosts = name, hosts
        super().__init__(
            root, "--config", str(config), "--node", name, wait=False, host=hosts.address[name], ports=(UDP, HTTP),
            before=("ip", "netns", "exec", hosts.space(name)),
        )  # fmt: skip


class Net:
    """The cluster, and what was sent to it."""

    def __init__(self, hosts: Hosts, servers: dict[str, Far], config: Path) -> None:
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


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    hosts, home = Hosts(), tmp_path_factory.mktemp("net")
    if shutil.which("ip") is None or shutil.which("tc") is None:
        pytest.skip("SKIPPED: no ip or tc on this machine (iproute2): the network is not disturbed")
    try:
        hosts.build()
    except subprocess.CalledProcessError as error:
        hosts.remove()
        pytest.skip(f"SKIPPED: this machine makes no network namespaces: {error.stderr.decode().strip()}")
    lines = ["[sipflow]", 'type = "{kind}"', "peer_timeout_ms = 1500", f'trusted = ["{NETWORK}.0/24"]']
    for name, address in hosts.address.items():
        lines += ["[[sipflow.nodes]]", f'name = "{name}"', f'udp = "{address}:{UDP}"']
        lines += [f'http = "http://{address}:{HTTP}"']
    local, remote = home / "local.toml", home / "remote.toml"
    local.write_text("\n".join(lines).replace("{kind}", "local"))
    remote.write_text("\n".join(lines).replace("{kind}", "remote"))
    servers: dict[str, Far] = {}
    try:
        servers.update({name: Far(home / name, local, name, hosts) for name in NAMES})
        found = Net(hosts, servers, remote)
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
    calls = fill(net, 200 + len(how))
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
    calls = fill(net, 300)
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
        alone = subprocess.run(
            ["ip", "netns", "exec", net.hosts.space("c"), "curl", "-s", "-m", "20",
             f"http://{net.hosts.address['c']}:{HTTP}/api/v1/calls?limit=200"],
            check=False, capture_output=True, text=True,
        ).stdout  # fmt: skip
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
