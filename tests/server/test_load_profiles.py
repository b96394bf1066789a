"""Every profile, and ways of sending, by the command sipflow-load: to a real server, and compared with what it has."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from running import RunningServer, free_port
from sipflow.load.profile import PROFILES, profile_of
from sipflow.load.scenario import Scenario
from sipflow.wire.endpoint import parse_endpoint

SEEDS = {name: 100 + number for number, name in enumerate(PROFILES)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("load") / "data", "--flush-interval", "1") as server:
        yield server


def load(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command; gives its status and the outcome it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", "from sipflow.load.cli import main; main()", *arguments, "--json", "-"],
        check=False, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def check_whole(status: int, outcome: dict[str, Any]) -> None:
    """See that all that was sent was compared and found right."""
    verdict, sent = outcome["verdict"], outcome["sent"]
    assert (status, verdict["wrong"], outcome["status"]) == (0, [], 0), outcome["conclusion"]
    assert outcome["conclusion"].startswith(f"everything is there: {sent['calls']} calls, {sent['sip']} messages")
    assert (verdict["calls"], verdict["messages"], verdict["packets"]) == (sent["calls"], sent["sip"], sent["rtp"])
    assert sent["calls"] > 0
    assert (sent["errors"], sent["unsent"]) == (0, 0)


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "office"])
def test_a_profile_is_sent_and_found_whole(server: RunningServer, name: str) -> None:
    before = server.metric("sipflow_items_recorded_total")
    to = ["--to", f"127.0.0.1:{server.udp[1]}", "--verify", server.url]
    status, outcome = load(
        *to, "--profile", name, "--calls", "16", "--duration", "3", "--talk", "2", "--seed", str(SEEDS[name])
    )
    check_whole(status, outcome)
    assert outcome["profile"] == name
    sent = outcome["sent"]
    assert set(sent["scenarios"]) <= {scenario.value for scenario, _ in profile_of(name).mix.weights}
    assert len(sent["scenarios"]) > 1
    if name in ("register-storm", "sip-only"):
        assert sent["rtp"] == 0
    else:
        assert sent["rtp"] > 500
        # What the profile says that the network loses is lost, and known to be.
        assert outcome["verdict"]["dropped"] > 0
    if name == "register-storm":
        assert sent["scenarios"][Scenario.REGISTER.value] > sent["calls"] / 2
    server.until(
        lambda: server.metric("sipflow_items_recorded_total") - before == sent["sip"] + sent["rtp"], "recorded"
    )


@pytest.mark.parametrize("framing", ["sf", "hep"])
def test_calls_between_ipv6_addresses_to_an_ipv6_address(tmp_path: Path, framing: str) -> None:
    hep = f"[::1]:{free_port(socket.SOCK_DGRAM)}"
    with RunningServer(tmp_path / "data", "--flush-interval", "1", "--hep", hep, host="[::1]") as server:
        to = hep if framing == "hep" else f"[::1]:{server.udp[1]}"
        status, outcome = load(
            "--to", to, "--verify", server.url, "--root", str(server.root), "--format", framing,
            "--ipv6", "--scenario", "answered,register", "--calls", "4", "--duration", "2", "--talk", "2",
        )  # fmt: skip
        check_whole(status, outcome)
        assert outcome["sent"]["rtp"] > 0
        calls = server.get("/api/v1/calls", limit="100").json()["calls"]
        assert len(calls) == outcome["verdict"]["dialogs"]
        flow = server.get("/flow", callid=calls[0]["call_id"]).json()["flow"]
        ends = {parse_endpoint(end) for one in flow for end in (one["src_addr"], one["dst_addr"])}
        assert {end.family for end in ends} == {6}


def test_calls_begin_at_a_rate_that_rises_in_steps(server: RunningServer) -> None:
    known = {one["call_id"] for one in every_call(server)}
    status, outcome = load(
        "--to", f"127.0.0.1:{server.udp[1]}", "--verify", server.url, "--sip-only", "--talk", "2", "--seed", "90",
        "--scenario", "options", "--cps", "5..20", "--ramp", "2", "--steps", "2", "--duration", "5",
    )  # fmt: skip
    check_whole(status, outcome)
    begun = sorted(one["first_us"] for one in every_call(server) if one["call_id"] not in known)
    # Five in the first second, twenty in each of the two after it, and none whose time would be cut short.
    assert len(begun) == outcome["sent"]["calls"] == 45
    assert begun[4] - begun[0] > 600_000
    assert begun[24] - begun[5] < 1_000_000
    assert 900_000 < begun[44] - begun[24] < 1_100_000


def every_call(server: RunningServer) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = httpx.get(f"{server.url}/api/v1/calls", params={"limit": "500", **after}, timeout=20).json()
        calls += page["calls"]
        if page["next"] is None:
            return calls
        after = {"after": page["next"]}


def test_lines_are_taken_one_by_one_until_all_are_in_progress(server: RunningServer) -> None:
    known = {one["call_id"] for one in every_call(server)}
    status, outcome = load(
        "--to", f"127.0.0.1:{server.udp[1]}", "--verify", server.url, "--sip-only", "--seed", "91",
        "--scenario", "answered", "--calls", "12", "--ramp", "3", "--duration", "6", "--talk", "10", "--length", "even",
    )  # fmt: skip
    check_whole(status, outcome)
    begun = sorted(one["first_us"] for one in every_call(server) if one["call_id"] not in known)
    # The eleven that follow the first are spread evenly over the ramp; no call of the first lines is over before.
    assert [round((at - begun[0]) / 250_000) for at in begun[:12]] == list(range(12))


def test_what_this_machine_can_send_is_sent_to_nobody() -> None:
    status, outcome = load("--ceiling", "--calls", "200", "--duration", "2", "--talk", "2", "--scenario", "answered")
    assert (status, outcome["verdict"], outcome["speed"]) == (0, None, 0.0)
    sent = outcome["sent"]
    assert outcome["conclusion"] == (
        f"{sent['sip'] + sent['rtp']} packets of {sent['calls']} calls were sent; nothing was compared"
    )
    assert sent["calls"] >= 200
    assert sent["rtp"] > 10 * sent["calls"]
    assert sent["unsent"] == 0
