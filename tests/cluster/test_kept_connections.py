"""Connections between nodes: kept for many questions, and made again when the other side has given them up."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster_nodes import Nodes, recent_calls, script_packets
from rough_network import RoughNetwork, Way
from sipflow.cluster.connection import CONNECTIONS_MAX
from sipflow.load.call import Call
from sipflow.wire.packet import Kind

QUESTIONS = 60
AT_ONCE = 6

# Several servers are started, on a machine that may do other things.
pytestmark = pytest.mark.timeout(600)


@dataclass
class Pair:
    """Two nodes: the first asks the second through a relay, which sees the connections, about a call that it has."""

    nodes: Nodes
    network: RoughNetwork
    way: Way
    call: Call

    def ask(self) -> list[str]:
        """Ask the first node about the call; gives what it says is missing."""
        flow = self.nodes.servers["a"].get("/flow", callid=self.call.call_id)
        assert flow.status_code == 200, flow.text
        assert len(flow.json()["flow"]) == len(self.call.messages())
        return [fault["what"] for fault in flow.json().get("faults", [])]

    def ask_at_once(self) -> list[list[str]]:
        """Ask several times side by side, each by a connection of its own."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda _: self.ask(), range(AT_ONCE)))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home: Path = tmp_path_factory.mktemp("nodes")
    nodes, network = Nodes(home, "ab"), RoughNetwork(1)
    udp, http = nodes.places["b"]
    way = network.way(("127.0.0.1", udp), http)
    nodes.fronts["b"] = way.http
    try:
        nodes.start("a", "b")
        call = next(one for one in recent_calls(70, 40) if not one.streams() and nodes.owner(one.call_id) == "b")
        nodes.send([packet for packet in script_packets([call]) if packet.kind is Kind.SIP])
        found = Pair(nodes, network, way, call)
        server = nodes.servers["a"]
        server.until(lambda: server.get("/flow", callid=call.call_id).json().get("flow"), "found", 60)
        yield found
    finally:
        nodes.stop()
        network.close()


def test_many_questions_go_by_few_connections(pair: Pair) -> None:
    pair.ask()
    before = pair.way.connections
    assert before > 0
    assert [pair.ask() for _ in range(QUESTIONS)] == [[]] * QUESTIONS
    # One for them, and another whenever the node is asked how it is at that very moment.
    assert pair.way.connections - before <= QUESTIONS // 6


@pytest.mark.parametrize("kept", [1, AT_ONCE])
def test_a_kept_connection_that_is_closed_when_it_is_used_is_made_again(pair: Pair, kept: int) -> None:
    for _ in range(3):
        assert (pair.ask_at_once() if kept > 1 else [pair.ask()]) == [[]] * kept
        before = pair.way.connections
        pair.network.grow_stale(pair.way)
        assert pair.ask() == []
        assert pair.way.connections > before


def test_connections_that_a_restart_has_ended_are_no_fault_of_the_next_answers(pair: Pair) -> None:
    nodes = pair.nodes
    assert pair.ask_at_once() == [[]] * AT_ONCE
    nodes.servers["b"].stop()
    nodes.start("b")
    nodes.until("a", lambda states: not states["b"], "back")
    before = pair.way.connections
    assert pair.ask_at_once() == [[]] * AT_ONCE
    assert [pair.ask() for _ in range(10)] == [[]] * 10
    assert pair.way.connections - before <= CONNECTIONS_MAX
