"""A run against a real server, checked by a sample: what it must find right, and what it must not."""

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from click.testing import CliRunner

from running import RunningServer, free_port
from sipflow.clock import now_us
from sipflow.errors import StorageError
from sipflow.load import cli
from sipflow.load.archive import Archive
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.captured import differing_packets
from sipflow.load.codec import G722
from sipflow.load.play import Sending, play
from sipflow.load.scenario import Scenario
from sipflow.load.style import Style
from sipflow.load.target import Target
from sipflow.load.verify import Verifier


def test_a_run_is_checked_by_a_sample_and_its_totals(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--flush-interval", "1") as server:
        to = f"127.0.0.1:{server.udp[1]}"
        arguments = ["--to", to, "--calls", "60", "--duration", "3", "--talk", "3", "--rate", "5000", "--json", "-"]
        check = ["--verify", server.url, "--sample", "12", "--root", str(server.root)]
        done = CliRunner().invoke(cli.main, [*arguments, *check])
        assert done.exit_code == 0, done.output
        outcome = json.loads(done.output)
        totals = outcome["verdict"]["totals"]
        assert totals == {"sent": outcome["sent"]["sip"] + outcome["sent"]["rtp"], "stored": totals["sent"], "lost": {}}
        assert outcome["verdict"]["calls"] == 12
        assert outcome["verdict"]["packets"] > 0

        # A frame that is none of the run's is one too many, and a bad one is a loss.
        class Meddling(httpx.Client):
            def get(self, *args: object, **kwargs: object) -> httpx.Response:
                answer = super().get(*args, **kwargs)  # type: ignore[arg-type]
                server.send(b"\x53\x46\x09")
                return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("httpx.Client", Meddling)
            done = CliRunner().invoke(cli.main, [*arguments[:3], "5", *arguments[4:], *check, "--seed", "2"])
        assert done.exit_code == 1, done.output
        assert any(reason.startswith("refused") for reason in json.loads(done.output)["verdict"]["totals"]["lost"])


def test_every_packet_is_compared_in_the_data_root(tmp_path: Path) -> None:
    call = Call(1, 1, Scenario.LOSSY, now_us() - 5_000_000, 4_000_000)
    bank = VoiceBank.make(1)
    with RunningServer(tmp_path / "data", "--flush-interval", "1") as server:
        report = play([call], server.udp, Sending(speed=20))
        server.until(lambda: server.metric("sipflow_packets_received_total") == report.records, "received")
        archive = Archive(server.root)
        try:
            first, second = call.streams()
            assert archive.differences([first, second], bank) == []
            (told,) = archive.differences([first], bank)
            assert f"SSRC {second.ssrc}: 0 not stored as sent, {second.sent(bank)} never sent" in told
            (told,) = archive.differences([first, replace(second, position=second.position ^ 1)], bank)
            assert f"{second.sent(bank)} not stored as sent" in told
            (told,) = archive.differences([first, replace(second, start_us=second.start_us + 1)], bank)
            assert "not stored as sent" in told
        finally:
            archive.close()
    with pytest.raises(StorageError, match="no such directory"):
        Archive(tmp_path / "nowhere")


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(cli.main, [*arguments, "--json", "-"])
    return done.exit_code, json.loads(done.output)


def test_every_scenario_through_poor_networks_is_found_whole_at_two_nodes(tmp_path: Path) -> None:
    """Two servers that know nothing of each other: each has the Call-IDs that are its own, and no other's."""
    with (
        RunningServer(tmp_path / "one", "--flush-interval", "1") as one,
        RunningServer(tmp_path / "two", "--flush-interval", "1") as two,
    ):
        nodes = [f"--node=udp=127.0.0.1:{s.udp[1]},http={s.url},name={s.root.name}" for s in (one, two)]
        talk = ["--calls", "16", "--duration", "3", "--talk", "3", "--rate", "2500", "--senders", "2"]
        poor = ["--leg-a", "loss=4%,burst=2,jitter=25ms,duplicate=1%", "--leg-b", "loss=1%,reorder=2%"]
        mix = [f"--scenario={','.join(Scenario)}", "--codec", "PCMU,PCMA", "--ptime", "20,30"]
        status, outcome = run(*nodes, *talk, *poor, *mix, "--clients", "3", "--status", "503=10,486=5", "--verify")
        verdict = outcome["verdict"]
        assert (status, verdict["wrong"]) == (0, []), outcome["conclusion"]
        assert outcome["conclusion"].startswith(f"everything is there: {verdict['calls']} calls")
        assert f"{verdict['dropped']} packets are missing on purpose" in outcome["conclusion"]
        assert verdict["dialogs"] > verdict["calls"] == outcome["sent"]["calls"]
        assert verdict["dropped"] > 20
        sent = outcome["sent"]["sip"] + outcome["sent"]["rtp"]
        name = "sipflow_items_recorded_total"
        one.until(lambda: one.metric(name) + two.metric(name) == sent, "recorded")
        assert min(one.metric(name), two.metric(name)) > 0
        # The nodes in another order are another cluster: what was sent is at the wrong one, and is missed.
        again = [*reversed(nodes), *talk, *mix, "--seed", "9", "--sip-only"]
        assert run(*again)[0] == 0
        swapped = Target(nodes=tuple(node.removeprefix("--node=") for node in nodes)).route(1)
        verifier = Verifier(swapped, sip_only=True)
        try:
            call = Call(9, 1, Scenario.REGISTER, now_us() - 5_000_000, 300_000)
            play([call], Target(nodes=tuple(n.removeprefix("--node=") for n in reversed(nodes))).route(1))
            (found,) = verifier.check(call)
            assert found.differences[0] == "messages: sent 4, stored 0"
        finally:
            verifier.close()


def test_a_lost_packet_of_a_codec_without_known_samples_is_missed(tmp_path: Path) -> None:
    call = Call(1, 2, Scenario.ANSWERED, now_us() - 8_000_000, 4_000_000, Style(codecs=((G722, 1.0),), ptimes=(20,)))
    with RunningServer(tmp_path / "data", "--flush-interval", "1") as server:
        sent = play([call], server.udp, Sending(speed=20)).records
        server.until(lambda: server.metric("sipflow_packets_received_total") == sent, "received")
        verifier = Verifier(server.url)
        try:
            (found,) = verifier.check(call)
            assert (found.differences, found.streams) == ([], 2)
            bank = call.bank()
            other = replace(call.streams()[0], position=0)
            assert differing_packets(call.streams(), bank, server.get(pcapng_of(call)).content) == []
            (told,) = differing_packets([other], bank, server.get(pcapng_of(call)).content)
            assert f"{other.count} not stored as sent" in told
        finally:
            verifier.close()


def pcapng_of(call: Call) -> str:
    return f"/api/v1/calls/{quote(call.call_id, safe='')}/call.pcapng"


def test_calls_that_came_as_hep_are_compared_packet_by_packet(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    with RunningServer(tmp_path / "data", "--flush-interval", "1", "--hep", f"127.0.0.1:{port}") as server:
        mix = ["--scenario", "answered,lossy,b2bua,register", "--calls", "6", "--duration", "3", "--talk", "3"]
        where = ["--to", f"127.0.0.1:{port}", "--format", "hep", "--verify", server.url, "--root", str(server.root)]
        status, outcome = run(*mix, *where)
        assert (status, outcome["verdict"]["wrong"]) == (0, []), outcome["conclusion"]
        assert outcome["verdict"]["packets"] > 100
        sent = outcome["sent"]["sip"] + outcome["sent"]["rtp"]
        server.until(lambda: server.metric("sipflow_items_recorded_total") == sent, "recorded")
