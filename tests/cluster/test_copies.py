"""Calls that lie on several nodes: copies that senders keep, and what RustPBX 0.5 tears apart."""

from collections.abc import Iterator
from functools import partial
from random import Random

import pytest

from cluster_nodes import PATIENCE_S, Nodes, cluster, differing, holdings, listed, recent_calls, script_packets
from running import RunningServer
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.placement import Placement
from sipflow.wire.packet import Kind

NAMES = "abc"

# Several servers are started, on a machine that may do other things.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with cluster(tmp_path_factory.mktemp("nodes"), NAMES, replicas=2) as nodes:
        yield nodes


def sent_twice(nodes: Nodes, calls: list[Call], losing: float) -> None:
    """Send each packet to both owners, and lose some of each copy, never the same ones."""
    chance = Random(5)
    packets = script_packets(calls)
    fates = [chance.random() for _ in packets]
    for replica in (0, 1):
        low, high = replica * losing, (replica + 1) * losing
        kept = [packet for packet, fate in zip(packets, fates, strict=True) if not low <= fate < high]
        for name in NAMES:
            own = [one for one in kept if nodes.placement().owners(one.call_id)[replica] == name]
            nodes.send_to(name, own)


def test_each_call_is_counted_once(nodes: Nodes) -> None:
    calls = [call for call in recent_calls(40, 30) if not call.streams()]
    nodes.send([packet for packet in script_packets(calls) if packet.kind is Kind.SIP])
    attempts = sum(call.scenario is not Scenario.REGISTER for call in calls)
    for server in nodes.servers.values():
        # What is not in a bucket yet is not counted, and what was counted is believed for ten seconds.
        server.until(partial(counted, server, attempts), "counted", PATIENCE_S)
        found = server.get("/api/v1/registrations").json()
        assert sum(one["dialogs"] for one in found["registrations"]) == len(calls) - attempts


def counted(server: RunningServer, attempts: int) -> bool:
    return bool(server.get("/api/v1/statistics").json()["total"]["attempts"] == attempts)


@pytest.mark.parametrize(("seed", "losing"), [(50, 0.0), (51, 0.03)])
def test_copies_are_one_call_and_make_up_for_what_each_lost(nodes: Nodes, seed: int, losing: float) -> None:
    calls = recent_calls(seed, 5)
    sent_twice(nodes, calls, losing)
    for server in nodes.servers.values():
        assert differing(server, calls) == []
    for call in calls:
        assert set(holdings(nodes, call.call_id)) == set(nodes.placement().owners(call.call_id))
    found = [one["call_id"] for one in listed(nodes.servers["c"])]
    assert len(found) == len(set(found))
    assert {call.call_id for call in calls} <= set(found)
    if not losing:
        one = next(call for call in calls if call.scenario is Scenario.ANSWERED)
        summary = nodes.servers["a"].get(f"/api/v1/calls/{one.call_id}").json()["call"]
        assert summary["sip_messages"] == len(one.messages())
        assert summary["rtp_packets"] == sum(packet.kind is Kind.RTP for packet in script_packets([one]))


def test_signalling_on_the_first_node_and_media_on_the_owner_is_one_call(nodes: Nodes) -> None:
    calls = [call for call in recent_calls(60, 24) if call.scenario in (Scenario.ANSWERED, Scenario.CHALLENGED)]
    alone = Placement(nodes.slots)
    torn = [call for call in calls if alone.owners(call.call_id)[0] != "a"][:3]
    for packet in (packets := script_packets(torn)):
        assert packet.call_id
    nodes.send_to("a", [packet for packet in packets if packet.kind is Kind.SIP], named=False)
    for name in NAMES:
        nodes.send_to(name, [one for one in packets if one.kind is Kind.RTP and alone.owners(one.call_id)[0] == name])
    for server in nodes.servers.values():
        assert differing(server, torn) == []
        summaries = {one["call_id"]: one for one in listed(server)}
        for call in torn:
            rtp = sum(packet.kind is Kind.RTP for packet in script_packets([call]))
            assert summaries[call.call_id]["rtp_packets"] == rtp > 0
            assert summaries[call.call_id]["sip_messages"] == len(call.messages())
    assert len(holdings(nodes, torn[0].call_id)) == 2
