"""Three nodes fed by two senders: every call whole on one node, and found from each, by every question."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest

from cluster_nodes import Nodes, cluster, differing, holdings, listed, recent_calls, script_packets
from running import RunningServer
from sipflow import Capture
from sipflow.load.call import Call
from sipflow.load.play import Sending, play
from sipflow.load.scenario import Scenario
from sipflow.query.census import count_digests
from sipflow.query.live import list_live
from sipflow.query.window import Window
from sipflow.wire.packet import Kind, Message

NAMES = "abc"

# Several servers are started, on a machine that may do other things.
pytestmark = pytest.mark.timeout(600)


class Fed:
    """A cluster with what was sent to it."""

    def __init__(self, nodes: Nodes, calls: list[Call]) -> None:
        self.nodes = nodes
        self.calls = calls
        self.servers = list(nodes.servers.values())

    def recorded(self) -> list[Call]:
        """Give the calls that have sound."""
        return [call for call in self.calls if call.scenario in (Scenario.ANSWERED, Scenario.CHALLENGED)]


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fed]:
    with cluster(tmp_path_factory.mktemp("nodes"), NAMES) as nodes:
        by_load, by_capture = recent_calls(1, 6), recent_calls(2, 6)
        for name in NAMES:
            own = [call for call in by_load if nodes.owner(call.call_id) == name]
            if own:
                play(own, nodes.servers[name].udp, Sending(speed=None))
        with Capture.from_config(nodes.config(kind="remote")) as capture:
            for number, packet in enumerate(script_packets(by_capture)):
                if packet.kind is Kind.SIP:
                    capture.sip(packet.payload, packet.src, packet.dst, time_us=packet.time_us)
                else:
                    capture.rtp(
                        packet.call_id, packet.leg or 0, packet.payload, packet.src, packet.dst, time_us=packet.time_us
                    )
                if number % 200 == 0:
                    assert capture.flush(10)  # faster than any call, and nothing shall be dropped
            assert capture.flush(10)
        yield Fed(nodes, by_load + by_capture)


@pytest.mark.parametrize("number", range(3))
def test_every_call_is_found_octet_for_octet_from_each_node(fed: Fed, number: int) -> None:
    assert differing(fed.servers[number], fed.calls) == []


def test_every_call_is_whole_on_its_owner_and_nowhere_else(fed: Fed) -> None:
    spread = set()
    for call in fed.calls:
        known = holdings(fed.nodes, call.call_id)
        assert set(known) == {fed.nodes.owner(call.call_id)}
        (one,) = known.values()
        assert one.digest.sip_messages == len(call.messages())
        spread |= set(known)
    assert spread == set(NAMES)


def test_pages_are_merged_in_order_and_are_the_same_from_each_node(fed: Fed) -> None:
    first = listed(fed.servers[0], limit="5")
    assert [one["call_id"] for one in first] == [
        call.call_id for call in sorted(fed.calls, key=lambda call: call.messages()[0].time_us, reverse=True)
    ]
    assert all(listed(server, limit="7") == first for server in fed.servers[1:])


@pytest.mark.parametrize(
    "asked",
    [
        {"status": "486"}, {"status": "failed"}, {"q": "method:REGISTER"}, {"q": "-method:REGISTER status:200"},
        {"q": "text:REGISTER"}, {"user": "*1*"}, {"q": "ua:*a*"}, {"q": "ip:10.0.0.0/8"}, {"q": "nothing-says-this"},
    ],
)  # fmt: skip
def test_every_term_of_a_search_is_asked_of_each_node(fed: Fed, asked: dict[str, str]) -> None:
    found = [listed(server, **asked) for server in fed.servers]
    assert found[0] == found[1] == found[2]
    if asked == {"q": "method:REGISTER"}:
        assert len(found[0]) == sum(call.scenario is Scenario.REGISTER for call in fed.calls)
    if asked == {"status": "486"}:
        assert len(found[0]) == sum(call.scenario is Scenario.BUSY for call in fed.calls)


def test_one_call_is_the_same_from_each_node(fed: Fed) -> None:
    for call in fed.recorded()[:2]:
        path = f"/api/v1/calls/{call.call_id}"
        for view in ("", "/flow", "/streams", "/timeline", "/diagnosis", "/dtmf"):
            answers = [httpx.get(server.url + path + view, timeout=30).json() for server in fed.servers]
            assert answers[0] == answers[1] == answers[2], view
            assert answers[0].get("faults", []) == []
        exports = [httpx.get(f"{server.url}{path}/call.jsonl", timeout=30).content for server in fed.servers]
        assert exports[0] == exports[1] == exports[2] != b""


def test_ranges_of_a_recording_that_lies_elsewhere_are_those_of_the_whole(fed: Fed) -> None:
    call = fed.recorded()[0]
    server = next(server for name, server in fed.nodes.servers.items() if name != fed.nodes.owner(call.call_id))
    url = f"{server.url}/api/v1/calls/{call.call_id}/media.wav"
    whole = httpx.get(url, timeout=30).content
    assert len(whole) > 50_000
    for start, end in (
        (0, 43),
        (44, 1000),
        (len(whole) // 2, len(whole) // 2 + 4096),
        (len(whole) - 100, len(whole) - 1),
    ):
        part = httpx.get(url, headers={"Range": f"bytes={start}-{end}"}, timeout=30)
        assert part.status_code == 206
        assert part.content == whole[start : end + 1]


def test_an_unknown_call_is_unknown_to_all(fed: Fed) -> None:
    for server in fed.servers:
        assert server.get("/api/v1/calls/nobody%40nowhere").status_code == 404
        assert server.get("/flow", callid="nobody@nowhere").json()["flow"] == []
        assert server.get("/media", callid="nobody@nowhere").status_code == 404


def attempts(server: RunningServer, count: int) -> bool:
    return bool(server.get("/api/v1/statistics").json()["total"]["attempts"] == count)


def test_statistics_add_up_to_what_one_node_would_count(fed: Fed) -> None:
    messages = [
        Message(call.call_id, one.time_us, one.time_us, one.src, one.dst, one.payload)
        for call in fed.calls
        for one in call.messages()
    ]
    expected = count_digests(list_live(messages).values(), Window(), [])
    wanted = msgspec.to_builtins(expected)
    for server in fed.servers:
        # What is not in a bucket yet is not counted, and what was counted is believed for ten seconds.
        server.until(partial(attempts, server, expected.total.attempts), "counted", 90)
        found = server.get("/api/v1/statistics").json()
        for name in ("hours", "sources", "destinations", "agents", "faults"):
            assert found[name] == wanted[name], name
        # Media is judged in sealed buckets only, here as there.
        assert found["total"] == wanted["total"]


def test_registrations_are_those_of_all_nodes(fed: Fed) -> None:
    registering = [call for call in fed.calls if call.scenario is Scenario.REGISTER]
    for server in fed.servers:
        found = server.get("/api/v1/registrations").json()
        assert found["faults"] == []
        assert {one["call_id"] for one in found["registrations"]} <= {call.call_id for call in registering}
        assert sum(one["dialogs"] for one in found["registrations"]) == len(registering)
        assert found["users"] == len(found["registrations"]) > 0


def test_what_senders_lost_is_told_on_every_console_and_exported(fed: Fed) -> None:
    first, second, *_ = fed.servers
    received = httpx.post(f"{first.url}/report", json={"client_id": 77, "sent_count": 1000}).json()["packets_received"]
    assert received == 0
    httpx.post(f"{first.url}/report", json={"client_id": 77, "sent_count": 1040})
    line = 'sipflow_report_lost_total{component="sipflow",node="a",client_id="77"} 40'
    assert line in first.get("/metrics").text.splitlines()

    def seen() -> bool:
        told = {one["name"]: one["senders"] for one in second.get("/api/v1/nodes").json()["cluster"]}
        return any(one["client_id"] == 77 and one["sent"] - one["received"] == 40 for one in told["a"])

    second.until(seen, "told", 30)
    page = httpx.get(f"{second.url}/nodes", headers={"Accept": "text/html"}, timeout=30).text
    assert "Lost on the way" in page


def test_a_node_that_stores_nothing_answers_for_all(fed: Fed, tmp_path: Path) -> None:
    config = fed.nodes.config(kind="remote")
    with RunningServer(tmp_path / "none", "--config", str(config), wait=False) as console:
        console.until(lambda: console.get("/health").status_code == 200, "answering", 90)
        assert differing(console, fed.calls[:6]) == []
        assert listed(console) == listed(fed.servers[0])
        assert [one["name"] for one in console.get("/api/v1/nodes").json()["cluster"]] == list(NAMES)
        assert console.get("/api/v1/nodes").json()["nodes"] == []
        for page in ("/", "/nodes", "/calls", "/statistics", "/registrations", "/settings"):
            assert httpx.get(console.url + page, headers={"Accept": "text/html"}, timeout=30).status_code == 200
        assert [(one["name"], one["condition"]) for one in console.get("/api/v1/now").json()["nodes"]] == [
            (name, "answers") for name in NAMES
        ]
        assert not (tmp_path / "none").exists()
        assert console.get("/api/v1/node/pulse").status_code == 404
        assert console.stop() == 0
