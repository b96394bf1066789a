"""Nodes that stop, die, come back and are added: what each costs, and who says so."""

import itertools
import os
import re
import signal
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cluster_nodes import LIMIT_MS, Nodes, cluster, differing, listed, recent_calls, script_packets
from faulty_proxy import FaultyProxy, faulty_proxy
from running import RunningServer
from sipflow import Capture
from sipflow.clock import now_us
from sipflow.cluster.page_of_all import STEP_S
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.placement import Placement
from sipflow.wire.packet import Kind

NAMES = "abc"
LIMIT_S = LIMIT_MS / 1000
# No answer may take longer, whatever a node does, on a machine that does other things as well.
IN_TIME_S = LIMIT_S + 1.5
# Two seconds and the limit, says docs/CLUSTER.md.
SEEN_S = 15
AT_ONCE_S = 0.7 * LIMIT_S

# Several servers are started, on a machine that may do other things.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with cluster(tmp_path_factory.mktemp("nodes"), NAMES) as nodes:
        yield nodes


def fill(nodes: Nodes, seed: int) -> list[Call]:
    """Send calls without media until each node has some, and wait until all are found."""
    calls = [call for call in recent_calls(seed, 24) if not call.streams()] + recent_calls(seed + 1000, 6)[:2]
    nodes.send([packet for packet in script_packets(calls) if packet.kind == 0])
    wanted = {call.call_id for call in calls}
    server = next(iter(nodes.servers.values()))
    server.until(lambda: wanted <= {str(one["call_id"]) for one in listed(server, limit="100")}, "found", 60)
    return calls


def named(answer: httpx.Response) -> str:
    return " ".join(fault["what"] for fault in answer.json().get("faults", []))


def silent_on_the_first_screen(server: RunningServer) -> set[str]:
    """List the nodes that the first screen calls silent."""
    page = httpx.get(server.url + "/?part", headers={"Accept": "text/html"}, timeout=20).text
    shown = dict(re.findall(r'<li><span><b>(\w+)</b>.*?<span class="chip \w+">([^<]+)</span>', page))
    silent = {name for name, condition in shown.items() if condition == "silent"}
    assert f"{len(shown) - len(silent)} of {len(shown)} answer" in page
    return silent


class Timed:
    """Asks a server, and keeps how long it took."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.took_s = 0.0

    def get(self, path: str, **parameters: str) -> httpx.Response:
        """Ask; the answer has to come in time."""
        begun_s = time.monotonic()
        answer = self._server.get(path, **parameters)
        self.took_s = time.monotonic() - begun_s
        # A list may search for a while before a node has to answer.
        in_time_s = IN_TIME_S + (STEP_S if path == "/api/v1/calls" else 0)
        assert self.took_s < in_time_s, f"{path} took {self.took_s:.1f} s"
        return answer


def check_loss(nodes: Nodes, calls: list[Call], gone: str) -> None:
    """See that the others answer for all but the share of one node, and name it in every answer."""
    for name, server in nodes.servers.items():
        if name == gone:
            continue
        timed = Timed(server)
        page = timed.get("/api/v1/calls", limit="100")
        assert page.status_code == 200
        assert page.json()["partial"]
        assert f"node {gone}" in named(page)
        found = {one["call_id"] for one in page.json()["calls"]}
        assert found >= {call.call_id for call in calls if nodes.owner(call.call_id) != gone}
        assert not found & {call.call_id for call in calls if nodes.owner(call.call_id) == gone}
        owners = {nodes.owner(call.call_id): call for call in calls}
        for owner, call in owners.items():
            flow = timed.get("/flow", callid=call.call_id)
            one = timed.get(f"/api/v1/calls/{call.call_id}")
            if owner == gone:
                # Nobody can tell whether there is such a call: that is an error, and no empty success.
                assert (
                    flow.status_code == one.status_code == server.get("/media", callid=call.call_id).status_code == 503
                )
                assert f"node {gone}" in flow.json()["message"]
                assert f"node {gone}" in one.json()["message"]
            else:
                assert flow.status_code == one.status_code == 200
                assert len(flow.json()["flow"]) == len(call.messages())
                assert flow.json()["partial"]
                assert f"node {gone}" in named(flow)
        for path in ("/api/v1/statistics", "/api/v1/registrations"):
            assert f"node {gone}" in named(timed.get(path))
        state = httpx.get(server.url + "/health", headers={"Accept": "application/json"}, timeout=20)
        assert state.status_code == 200  # it records as before
        assert f"node {gone}" in " ".join(state.json()["notes"])
        up = f'sipflow_node_up{{component="sipflow",node="{gone}"}} 0'
        assert up in server.get("/metrics").text.splitlines()
        text = httpx.get(server.url + "/nodes?part", headers={"Accept": "text/html"}, timeout=20).text
        assert f"Node {gone}" in text
        assert silent_on_the_first_screen(server) == {gone}
        told = server.get("/api/v1/now").json()["nodes"]
        assert {one["name"] for one in told if one["condition"] == "silent"} == {gone}


def processes(server: RunningServer) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [server.process.pid, *map(int, children)]


def test_a_killed_node_costs_its_share_until_it_is_back(nodes: Nodes) -> None:
    calls = fill(nodes, 10)
    assert silent_on_the_first_screen(nodes.servers["a"]) == set()
    nodes.servers["c"].stop(signal.SIGKILL)
    for name in "ab":
        server = nodes.servers[name]
        server.until(lambda server=server: silent_on_the_first_screen(server) == {"c"}, "named on the first screen", 15)
        nodes.until(name, lambda states: states["c"], "seen", SEEN_S)
    check_loss(nodes, calls, "c")
    nodes.start("c")
    for name in NAMES:
        nodes.until(name, lambda states: not any(states.values()), "back")
        page = nodes.servers[name].get("/api/v1/calls", limit="100").json()
        assert page["faults"] == []
        assert {call.call_id for call in calls} <= {one["call_id"] for one in page["calls"]}


def test_a_stopped_node_does_not_stop_the_others(nodes: Nodes) -> None:
    calls = fill(nodes, 20)
    stopped = processes(nodes.servers["b"])
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    # Before anybody has noticed: the first question waits for the limit, and no longer.
    page = Timed(nodes.servers["a"]).get("/api/v1/calls", limit="100")
    assert page.status_code == 200
    assert "node b" in named(page)
    for name in "ac":
        nodes.until(name, lambda states: states["b"], "seen", SEEN_S)
    check_loss(nodes, calls, "b")
    for process in stopped:
        os.kill(process, signal.SIGCONT)
    for name in NAMES:
        nodes.until(name, lambda states: not any(states.values()), "back")
    assert nodes.servers["a"].get("/api/v1/calls", limit="100").json()["faults"] == []


PULSE = "/api/v1/node/pulse"


@contextmanager
def behind_a_proxy(home: Path, slow: str) -> Iterator[tuple[Nodes, FaultyProxy]]:
    """Run three nodes, one of which the others reach through a proxy that delays what it is told to."""
    nodes = Nodes(home, NAMES)
    with faulty_proxy(f"http://127.0.0.1:{nodes.places[slow][1]}", lambda *_: None) as proxy:
        nodes.fronts[slow] = proxy.url
        try:
            nodes.start(*NAMES)
            yield nodes, proxy
        finally:
            nodes.stop()


def test_a_slow_node_is_named_and_holds_up_only_what_needs_it(tmp_path: Path) -> None:
    with behind_a_proxy(tmp_path, "b") as (nodes, proxy):
        calls = fill(nodes, 50)
        of_b = next(call.call_id for call in calls if nodes.owner(call.call_id) == "b")
        of_c = next(call.call_id for call in calls if nodes.owner(call.call_id) == "c")
        a = Timed(nodes.servers["a"])

        # All of it is slower than the limit, its pulse as well: first noticed, then not waited for.
        proxy.delay_s, proxy.chooser = LIMIT_S + 2, lambda *_: "delay"
        assert "node b" in named(a.get("/api/v1/calls", limit="100"))
        nodes.until("a", lambda states: states["b"], "seen", SEEN_S)
        check_left_out(a, of_b, of_c, "has not answered since")
        proxy.chooser = lambda *_: None
        nodes.until("a", lambda states: not states["b"], "back", SEEN_S)
        assert a.get("/api/v1/calls", limit="100").json()["faults"] == []

        # It says that it is there, and answers no question in time: after three it is left out.
        proxy.chooser = lambda _, path: None if path == PULSE else "delay"
        for _ in range(3):
            flow = a.get("/flow", callid=of_c)
            assert (flow.status_code, "node b" in named(flow)) == (200, True)
        check_left_out(a, of_b, of_c, "answers too slowly")
        proxy.chooser = lambda *_: None
        a_server = nodes.servers["a"]
        a_server.until(lambda: a_server.get("/flow", callid=of_b).status_code == 200, "asked again", SEEN_S)
        assert named(a.get("/flow", callid=of_c)) == ""


def check_left_out(a: Timed, of_b: str, of_c: str, why: str) -> None:
    """See that a call of another node comes at once, and that what is missing is named, never passed over."""
    took = []
    for _ in range(5):
        flow = a.get("/flow", callid=of_c)
        assert flow.status_code == 200
        assert flow.json()["flow"]
        assert f"node b {why}" in named(flow)
        took.append(a.took_s)
    assert statistics.median(took) < AT_ONCE_S
    lost = a.get("/flow", callid=of_b)
    assert lost.status_code == 503
    assert "node b" in lost.json()["message"]
    assert a.took_s < AT_ONCE_S


def test_a_node_that_answers_just_in_time_does_not_slow_every_answer_for_good(tmp_path: Path) -> None:
    with behind_a_proxy(tmp_path, "b") as (nodes, proxy):
        calls = fill(nodes, 60)
        lengths = {call.call_id: len(call.messages()) for call in calls}
        of_b = next(call.call_id for call in calls if nodes.owner(call.call_id) == "b")
        of_c = next(call.call_id for call in calls if nodes.owner(call.call_id) == "c")
        a = Timed(nodes.servers["a"])
        proxy.delay_s, proxy.chooser = 0.7 * LIMIT_S, lambda _, path: None if path == PULSE else "delay"
        for _ in range(3):
            flow = a.get("/flow", callid=of_c)
            assert (named(flow), len(flow.json()["flow"])) == ("", lengths[of_c])
            assert a.took_s > proxy.delay_s
        took = []
        for _ in range(5):
            flow = a.get("/flow", callid=of_c)
            assert len(flow.json()["flow"]) == lengths[of_c]
            assert "node b: answers slowly" in named(flow)
            assert flow.json()["partial"]
            took.append(a.took_s)
        assert statistics.median(took) < proxy.delay_s / 2
        # What needs it waits for it, and is whole: its own calls, and whether there is such a call at all.
        flow = a.get("/flow", callid=of_b)
        assert (named(flow), len(flow.json()["flow"])) == ("", lengths[of_b])
        assert a.get("/api/v1/calls/nobody-has-this").status_code == 404
        assert a.get("/api/v1/calls", limit="100").json()["faults"] == []
        proxy.chooser = lambda *_: None
        # Still asked each time, it is found to be quick again.
        nodes.servers["a"].until(lambda: named(a.get("/flow", callid=of_c)) == "", "waited for again", SEEN_S)


def answered(seed: int, count: int) -> list[Call]:
    """Plan short calls with media that are over."""
    start_us = now_us() - 30_000_000
    return [Call(seed, n, Scenario.ANSWERED, start_us + n * 100_000, 2_000_000) for n in range(count)]


def rtp_of(call: Call) -> int:
    return sum(packet.kind is Kind.RTP for packet in script_packets([call]))


class Traffic:
    """Sends call after call through captures with the old list, the new one, and by turns, until told to stop."""

    def __init__(self, old: Capture, new: Capture, owners: Callable[[Call], list[set[str]]]) -> None:
        self._captures = [[old], [new], [old, new]]
        self._owners = owners
        self._over = threading.Event()
        self._sent: list[tuple[Call, set[str], float, float]] = []
        self._away: list[tuple[str, float, float]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        numbers = itertools.count()
        while not self._over.is_set():
            number = next(numbers)
            (call,) = answered(9000 + number, 1)
            begun_s = time.monotonic()
            way = self._captures[number % 3]
            for turn, packet in enumerate(script_packets([call])):
                capture = way[turn % len(way)]
                if packet.kind is Kind.SIP:
                    capture.sip(packet.payload, packet.src, packet.dst, time_us=packet.time_us)
                else:
                    capture.rtp(packet.call_id, packet.leg or 0, packet.payload, packet.src, packet.dst,
                                time_us=packet.time_us)  # fmt: skip
            for capture in way:
                assert capture.flush(10)
            old, new = self._owners(call)
            self._sent.append((call, (old, new, old | new)[number % 3], begun_s, time.monotonic()))
            self._over.wait(0.05)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Know that a node is away: what is sent to it meanwhile, or lay in its socket, is lost."""
        begun_s = time.monotonic()
        yield
        self._away.append((name, begun_s - 1, time.monotonic()))

    def kept(self) -> list[tuple[Call, set[str]]]:
        """Give the calls that were sent while all who keep them were there, and who these are."""
        return [
            (call, keepers)
            for call, keepers, begun_s, ended_s in self._sent
            if not any(name in keepers and begun_s < to and ended_s > since for name, since, to in self._away)
        ]


def test_a_node_is_added_one_restart_at_a_time_and_all_calls_are_found_from_each(nodes: Nodes) -> None:
    before = fill(nodes, 30)
    heard_before = answered(31, 12)
    nodes.send(script_packets(heard_before))
    old_slots = list(nodes.slots)
    nodes.add("d")
    nodes.start("d")

    def owners(call: Call) -> list[set[str]]:
        return [{Placement(slots, 1).owners(call.call_id)[0]} for slots in (old_slots, nodes.slots)]

    with (
        Capture.from_config(nodes.config(old_slots, kind="remote")) as old,
        Capture.from_config(nodes.config(kind="remote")) as new,
    ):
        traffic = Traffic(old, new, owners)
        try:
            for name in NAMES:
                with traffic.without(name):
                    nodes.servers[name].stop()
                    nodes.start(name)
        finally:
            traffic.stop()
    after = fill(nodes, 40)
    heard_after = answered(41, 12)
    nodes.send(script_packets(heard_after))
    assert any(nodes.owner(call.call_id) == "d" for call in heard_before)
    assert any(nodes.owner(call.call_id) == "d" for call in heard_after)
    # Three calls of each way.
    by_keepers: dict[tuple[str, ...], list[Call]] = defaultdict(list)
    for call, keepers in traffic.kept():
        by_keepers[tuple(sorted(keepers))].append(call)
    chosen = [(keepers, call, rtp_of(call)) for keepers, calls in by_keepers.items() for call in calls[-3:]]
    for name in (*NAMES, "d"):
        server = nodes.servers[name]
        nodes.until(name, lambda states: set(states) == set("abcd") and not any(states.values()), "complete", SEEN_S)
        assert differing(server, heard_before + heard_after) == []
        for way, call, media in chosen:
            one = server.get(f"/api/v1/calls/{call.call_id}").json()["call"]
            assert (one["sip_messages"], one["rtp_packets"]) == (len(call.messages()), media), (name, way)
            found = server.get(f"/api/v1/calls/{call.call_id}/streams").json()
            assert (found["faults"], sum(stream["packet_count"] for stream in found["streams"])) == ([], media)
            assert server.get("/media", callid=call.call_id).content.startswith(b"RIFF")
    moved = [call for call in before if nodes.owner(call.call_id) == "d"]
    assert moved, "no call of before would now belong to the new node"
    assert any(nodes.owner(call.call_id) == "d" for call in after)
    wanted = {call.call_id: len(call.messages()) for call in before + after}
    for name in (*NAMES, "d"):
        nodes.until(name, lambda states: set(states) == set("abcd") and not any(states.values()), "complete")
        page = nodes.servers[name].get("/api/v1/calls", limit="100").json()
        assert page["faults"] == []
        assert wanted.items() <= {one["call_id"]: one["sip_messages"] for one in page["calls"]}.items()
        for call in moved:
            assert len(nodes.servers[name].get("/flow", callid=call.call_id).json()["flow"]) == len(call.messages())
