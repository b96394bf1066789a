"""The command sipflow-load against three nodes: what it sends, what its verdict says, and what the nodes have."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cluster_nodes import Nodes, cluster, holdings, listed

NAMES = "abc"
CLIENT_IDS = range(9000, 9004)
# Many kinds of calls, of one dialog and of more, with media and without.
MIX = "answered=6,b2bua=2,transfer=1,busy=1,register=2,digits=1"

# Several servers are started, on a machine that may do other things.
pytestmark = pytest.mark.timeout(600)


class Ended(NamedTuple):
    """How the command ended, and what it said."""

    status: int
    outcome: dict[str, Any]


def load(nodes: Nodes, result: Path, *more: str) -> Ended:
    """Run the command against all nodes of the list."""
    where = [
        f"--node=udp=127.0.0.1:{udp},http=http://127.0.0.1:{http},name={name}"
        for name, (udp, http) in nodes.places.items()
    ]
    arguments = ["--scenario", MIX, "--calls", "16", "--duration", "4", "--talk", "2", *more]
    done = subprocess.run(
        [sys.executable, "-c", "from sipflow.load.cli import main; main()", *where, *arguments,
         "--verify", "--json", str(result)],
        check=False, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.exists(), done.stderr
    outcome = json.loads(result.read_text())
    assert f"verdict: {outcome['conclusion']}" in done.stdout
    assert outcome["status"] == done.returncode
    return Ended(done.returncode, outcome)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with cluster(tmp_path_factory.mktemp("nodes"), NAMES) as nodes:
        yield nodes


def test_calls_of_several_clients_are_whole_on_one_node_each_and_found_from_every_one(
    nodes: Nodes, tmp_path: Path
) -> None:
    clients = ["--clients", str(len(CLIENT_IDS)), "--client-id", str(CLIENT_IDS[0]), "--senders", "2"]
    status, outcome = load(nodes, tmp_path / "result.json", *clients)
    verdict, sent = outcome["verdict"], outcome["sent"]
    assert (status, verdict["wrong"], verdict["silent"]) == (0, [], []), outcome["conclusion"]
    assert outcome["conclusion"].startswith(f"everything is there: {sent['calls']} calls")
    assert outcome["nodes"] == list(NAMES)
    assert (verdict["calls"], verdict["messages"], verdict["packets"]) == (sent["calls"], sent["sip"], sent["rtp"])

    lists = [listed(server, limit="100") for server in nodes.servers.values()]
    assert lists[0] == lists[1] == lists[2]
    # With two dialogs or three, each has its own Call-ID, and goes to the node of that.
    assert len(lists[0]) == verdict["dialogs"] > verdict["calls"]
    messages = packets = 0
    keepers = set()
    for call_id in (str(one["call_id"]) for one in lists[0]):
        ((name, known),) = holdings(nodes, call_id).items()
        assert name == nodes.owner(call_id)
        keepers.add(name)
        messages += known.digest.sip_messages
        for server in nodes.servers.values():
            flow = server.get("/flow", callid=call_id).json()
            assert (len(flow["flow"]), flow.get("faults", [])) == (known.digest.sip_messages, [])
        packets += server.get(f"/api/v1/calls/{call_id}").json()["call"]["rtp_packets"]
    assert (messages, packets, keepers) == (sent["sip"], sent["rtp"], set(NAMES))

    taken = dict.fromkeys(CLIENT_IDS, 0)
    for server in nodes.servers.values():
        for client in CLIENT_IDS:
            taken[client] += client_packets(server.get("/metrics").text, client)
    assert min(taken.values()) > 0
    assert sum(taken.values()) == sent["sip"] + sent["rtp"]


def client_packets(metrics: str, client_id: int) -> int:
    """Read how many packets of a client id a node took."""
    name = f'client_id="{client_id}"}}'
    found = [line for line in metrics.splitlines() if name in line and line.startswith("sipflow_client_packets_total{")]
    return int(found[0].rsplit(" ", 1)[1]) if found else 0


def check_verdict(nodes: Nodes, ended: Ended, gone: str) -> None:
    """See that the verdict names the silent node, finds all its calls wanting, and no call of another."""
    verdict = ended.outcome["verdict"]
    assert ended.status == 1
    (silent,) = verdict["silent"]
    assert silent.startswith(f"{gone}: http://127.0.0.1:{nodes.places[gone][1]}/")
    assert silent in ended.outcome["conclusion"]
    assert {one["node"] for one in verdict["wrong"]} == {gone}
    assert {nodes.owner(one["call_id"]) for one in verdict["wrong"]} == {gone}
    assert all(one["differences"] == [f"its node is silent: {silent}"] for one in verdict["wrong"])
    assert verdict["dialogs"] > len(verdict["wrong"]) > 0


def test_a_node_that_is_gone_is_named_and_the_calls_of_the_others_are_compared(nodes: Nodes, tmp_path: Path) -> None:
    nodes.servers["c"].stop(signal.SIGKILL)
    ended = load(nodes, tmp_path / "result.json", "--seed", "2", "--settle", "2")
    check_verdict(nodes, ended, "c")
    assert ended.outcome["sent"]["errors"] > 0
    assert "refused" in ended.outcome["sent"]["last_error"]
    nodes.start("c")


def test_a_node_that_is_killed_while_calls_are_sent_is_no_end_of_the_run(nodes: Nodes, tmp_path: Path) -> None:
    def kill() -> None:
        nodes.settle("b", nodes.servers["b"].metric("sipflow_packets_received_total") + 1)
        nodes.servers["b"].stop(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    ended = load(nodes, tmp_path / "result.json", "--seed", "3", "--settle", "2", "--sample", "12")
    killer.join()
    check_verdict(nodes, ended, "b")
    totals = ended.outcome["verdict"]["totals"]
    assert 0 < totals["stored"] < totals["sent"] == ended.outcome["sent"]["sip"] + ended.outcome["sent"]["rtp"]
