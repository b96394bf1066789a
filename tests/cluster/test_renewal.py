"""The list of nodes read again at SIGHUP: a node comes and goes while all others run, a bad list changes nothing."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from cluster_nodes import Nodes, cluster, differing, faults, holdings, listed, recent_calls, script_packets
from running import RunningServer
from sipflow.load.call import Call
from sipflow.wire.packet import Kind

# Several servers are started, on a machine that may do other things.
pytestmark = pytest.mark.timeout(600)


class Renewed:
    """Two nodes and a console that stores nothing, whose files are written anew while they run."""

    def __init__(self, nodes: Nodes, home: Path) -> None:
        self.nodes = nodes
        self.files = [nodes.config("ab"), nodes.config("ab", kind="remote")]
        self.console = RunningServer(home / "console", "--config", str(self.files[1]), wait=False)
        self.console.until(lambda: self.console.get("/health").status_code == 200, "answering", 90)

    @property
    def hearing(self) -> list[RunningServer]:
        """Give who was there when the list had two nodes."""
        return [self.nodes.servers["a"], self.nodes.servers["b"], self.console]

    def hang_up(self) -> None:
        for server in self.hearing:
            os.kill(server.process.pid, signal.SIGHUP)

    def write(self, change: Callable[[str], str]) -> None:
        """Write the files anew, from those of the list that the test has, and have them read."""
        for file, kind in zip(self.files, ("local", "remote"), strict=True):
            file.write_text(change(self.nodes.config(kind=kind).read_text()))
        self.hang_up()

    def knows(self, server: RunningServer, names: str) -> bool:
        """Tell whether a server asks just these nodes, and all of them answer it."""
        told = faults(server)
        return set(told) == set(names) and not any(told.values())


@pytest.fixture(scope="module")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renewed]:
    home = tmp_path_factory.mktemp("nodes")
    with cluster(home, "ab") as nodes:
        found = Renewed(nodes, home)
        try:
            yield found
        finally:
            found.console.stop()


def as_it_is(text: str) -> str:
    return text


def children(server: RunningServer) -> str:
    return Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()


def send(nodes: Nodes, seed: int) -> list[Call]:
    """Send calls, some with media, of each node of the list."""
    calls = [call for call in recent_calls(seed, 18) if not call.streams()] + recent_calls(seed + 1000, 6)[:1]
    assert {nodes.owner(call.call_id) for call in calls} == set(nodes.slots)
    nodes.send(script_packets(calls))
    return calls


def test_a_third_node_comes_while_the_others_run(renewed: Renewed) -> None:
    nodes = renewed.nodes
    before = send(nodes, 500)
    processes = [children(server) for server in renewed.hearing]
    nodes.add("c")
    nodes.start("c")
    renewed.write(as_it_is)
    for server in renewed.hearing:
        server.until(lambda server=server: renewed.knows(server, "abc"), "hearing all three", 30)
    assert [children(server) for server in renewed.hearing] == processes
    after = send(nodes, 600)
    assert any(set(holdings(nodes, call.call_id)) == {"c"} for call in after)
    assert any(nodes.owner(call.call_id) == "c" for call in before), "no call of before would now be of the new node"
    for server in (*renewed.hearing, nodes.servers["c"]):
        assert differing(server, before + after) == []
        assert {call.call_id for call in before + after} <= {str(one["call_id"]) for one in listed(server, limit="100")}
        page = server.get("/api/v1/calls", limit="100").json()
        assert (page["faults"], page["partial"]) == ([], False)
        # What a node tells of itself is of the new list too.
        rows = {one["key"]: one["value"] for one in server.get("/api/v1/settings").json()["settings"]}
        assert all(f"{name} (udp" in rows["nodes"] for name in "abc")
        notes = {one["name"]: one["notes"] for one in server.get("/api/v1/nodes").json()["cluster"]}
        assert notes == {"a": [], "b": [], "c": []}


def test_a_reader_that_is_started_again_has_the_new_list(renewed: Renewed) -> None:
    server = renewed.nodes.servers["a"]
    (reader,) = (int(process) for process in children(server).split())
    os.kill(reader, signal.SIGKILL)
    server.until(lambda: str(reader) not in children(server).split(), "noticed", 60)
    for one in renewed.hearing:
        one.until(lambda one=one: renewed.knows(one, "abc"), "hearing all three", 60)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text + "\n[[sipflow.nodes]\n", "TOML"),
        (lambda text: text.replace('name = "c"', 'name = "b"'), "each name once"),
        (lambda text: text.replace('name = "c"', 'name = "c"\nslot = 0'), "slot"),
        (lambda text: text.replace("peer_timeout_ms = 1500", "peer_timeout_ms = -1"), "peer_timeout_ms"),
        (lambda text: text.split("[[sipflow.nodes]]")[0], "nodes"),
        (lambda text: text[:0], "[sipflow]"),
    ],
    ids=["no TOML", "a name twice", "a slot twice", "another setting", "no list", "empty"],
)
def test_a_bad_list_changes_nothing_and_is_named(renewed: Renewed, change: Callable[[str], str], why: str) -> None:
    read = [server.log.stat().st_size for server in renewed.hearing]
    renewed.write(change)
    for server, at in zip(renewed.hearing, read, strict=True):
        server.until(lambda server=server, at=at: "stays as it is" in server.log.read_text()[at:], "refused", 20)
        said = server.log.read_text()[at:]
        assert why in said
        assert "level=error" in said
        assert set(faults(server)) == set("abc")
    renewed.write(as_it_is)


def test_what_else_has_changed_is_told_to_take_a_restart(renewed: Renewed) -> None:
    server = renewed.nodes.servers["a"]
    at = server.log.stat().st_size
    renewed.write(lambda text: text.replace("peer_timeout_ms = 1500", "peer_timeout_ms = 1400"))
    server.until(lambda: "takes a restart" in server.log.read_text()[at:], "told", 20)
    assert set(faults(server)) == set("abc")
    rows = {one["key"]: one["value"] for one in server.get("/api/v1/settings").json()["settings"]}
    assert rows["peer_timeout_ms"] == "1500"


def test_a_node_that_is_taken_away_is_asked_no_more(renewed: Renewed) -> None:
    nodes = renewed.nodes
    _, http = nodes.places["c"]
    renewed.write(lambda text: text.replace('name = "c"', 'name = "c"\nremoved = true'))
    for server in renewed.hearing:
        server.until(lambda server=server: renewed.knows(server, "ab"), "hearing two", 30)
    nodes.servers["c"].stop(signal.SIGKILL)
    for server in renewed.hearing:
        assert server.get("/api/v1/calls", limit="100").json()["faults"] == []
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{http}/health", timeout=5)
    calls = [call for call in recent_calls(700, 12) if not call.streams() and nodes.owner(call.call_id) != "c"]
    nodes.send([packet for packet in script_packets(calls) if packet.kind is Kind.SIP])
    assert differing(renewed.console, calls) == []


def test_a_node_that_was_alone_in_its_list_hears_a_second(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, "a")
    file = nodes.config()
    try:
        server = RunningServer(tmp_path / "a", "--config", str(file), ports=nodes.places["a"])
        nodes.servers["a"] = server
        calls = [call for call in recent_calls(800, 12) if not call.streams()]
        nodes.send(script_packets(calls))
        assert differing(server, calls) == []
        assert server.get("/api/v1/now").json()["nodes"] == []
        nodes.add("b")
        nodes.servers["b"] = RunningServer(
            tmp_path / "b", "--config", str(nodes.config()), wait=False, ports=nodes.places["b"]
        )
        file.write_text(nodes.config().read_text())
        os.kill(server.process.pid, signal.SIGHUP)
        for each in nodes.servers.values():
            each.until(lambda each=each: faults(each) == {"a": "", "b": ""}, "hearing both", 60)
            assert differing(each, calls) == []
        shown = {one["name"]: one["condition"] for one in server.get("/api/v1/now").json()["nodes"]}
        assert shown == {"a": "answers", "b": "answers"}
    finally:
        nodes.stop()
