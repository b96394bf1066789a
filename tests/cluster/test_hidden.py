"""What a node hides stays hidden from the nodes that ask it, whatever they themselves would show."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from cluster_nodes import PATIENCE_S, Nodes, script_packets
from running import RunningServer
from sipflow.clock import now_us
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.wire.packet import Kind, Packet


def test_keys_are_masked_before_they_leave_a_node(tmp_path: Path) -> None:
    call = Call(9, 1, Scenario.DIGITS, now_us() - 30_000_000, 12_000_000)
    nodes = Nodes(tmp_path, "a", hide_digits=True)
    try:
        nodes.start("a")
        nodes.send(script_packets([call]))
        nodes.settings = {}
        config = nodes.config(kind="remote")
        with RunningServer(tmp_path / "none", "--config", str(config), wait=False) as console:
            console.until(lambda: console.get("/health").status_code == 200, "healthy", PATIENCE_S)
            digits = console.get(f"/api/v1/calls/{call.call_id}/dtmf").json()["digits"]
            assert {one["symbol"] for one in digits} == {
                "event 255"
            }  # that there were keys is no secret, which they were is
            clear = digits_of(script_packets([call]))
            assert clear
            capture = console.get(f"/api/v1/calls/{call.call_id}/call.pcapng").content
            assert not any(event in capture for event in clear)
            shown = console.get(f"/api/v1/calls/{call.call_id}/media.wav")
            assert shown.status_code == 200
    finally:
        nodes.stop()


# Several servers are started, on a machine that may do other things.
pytestmark = pytest.mark.timeout(600)


def digits_of(packets: Sequence[Packet]) -> list[bytes]:
    """Give the RTP packets that carry a key (RFC 4733): four octets, the first one its code."""
    return [one.payload for one in packets if one.kind is Kind.RTP and len(one.payload) == 16 and one.payload[12] < 16]
