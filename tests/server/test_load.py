"""A run against a real server, checked by a sample: what it must find right, and what it must not."""

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from running import RunningServer
from sipflow.clock import now_us
from sipflow.errors import StorageError
from sipflow.load import cli
from sipflow.load.archive import Archive
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.play import Sending, play
from sipflow.load.scenario import Scenario


def test_a_run_is_checked_by_a_sample_and_its_totals(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--flush-interval", "1") as server:
        to = f"127.0.0.1:{server.udp[1]}"
        arguments = ["--to", to, "--calls", "60", "--duration", "3", "--talk", "3", "--rate", "5000", "--json"]
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
