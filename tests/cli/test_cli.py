"""The command line, over a data directory made by an import and over a server on a real socket."""

import io
import json
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import capture_writer
from memory_history import T0_US, MemoryHistory, Served, SteadyRecorder, sip
from sipflow.cli import main
from sipflow.client import SipflowClient
from sipflow.config import Address, Settings
from sipflow.errors import BadQuery, CallUnknown, ConfigError, NothingToPlay, QueryError, ServerUnreachable
from sipflow.importer import import_files
from sipflow.query.answer import Criteria, Fault
from sipflow.query.window import Window
from sipflow.web.app import build

TOKEN = "0123456789abcdef-secret"
ODD = "../a/b?x=1&y#z% +é\"'@[::1]"
PEERS = (("192.0.2.1", 5060), ("192.0.2.2", 5060))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one call, imported from a capture file."""
    folder = tmp_path_factory.mktemp("cli")
    there, back = PEERS, PEERS[::-1]
    invite = capture_writer.sip("INVITE sip:bob@192.0.2.2 SIP/2.0", "dir-call@h", "1 INVITE",
                                capture_writer.sdp("192.0.2.1", 4000))  # fmt: skip
    answer = capture_writer.sip("SIP/2.0 200 OK", "dir-call@h", "1 INVITE",
                                capture_writer.sdp("192.0.2.2", 4002), to_tag="to")  # fmt: skip
    frames = [(T0_US, capture_writer.frame(*there, invite)), (T0_US + 500_000, capture_writer.frame(*back, answer))]
    frames += [
        (T0_US + 600_000 + n * 20_000,
         capture_writer.frame(("192.0.2.1", 4000), ("192.0.2.2", 4002), capture_writer.rtp(n)))
        for n in range(50)
    ]  # fmt: skip
    file = folder / "call.pcap"
    file.write_bytes(capture_writer.pcap(frames))
    import_files([file], folder / "root")
    return folder / "root"


@pytest.fixture(scope="module")
def history() -> MemoryHistory:
    history = MemoryHistory()
    history.add(ODD, 0, sip("any", "INVITE sip:bob@example.org SIP/2.0", "1 INVITE"))
    history.add(ODD, 1_000, b"SIP/2.0 486 Busy\x1b[2J \xff\r\n\r\n")
    history.add("..", 0, sip("..", "OPTIONS sip:bob@example.org SIP/2.0", "1 OPTIONS"))
    history.add_audio(ODD, 0)
    history.add_audio(ODD, 1)
    for number in range(3):
        history.add_call(f"plain{number}", 10_000_000 * (1 + number))
    return history


@pytest.fixture(scope="module")
def url(history: MemoryHistory) -> Iterator[str]:
    settings = Settings(token=TOKEN)
    with Served(build(history, SteadyRecorder(), settings)) as address:
        yield address + "/"


def run(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], env=environment or {"SIPFLOW_TOKEN": TOKEN})


class TestDirectory:
    def test_calls_are_listed(self, root: Path) -> None:
        result = run("calls", "--dir", root)
        assert result.exit_code == 0, result.output
        head, line = result.stdout.splitlines()
        assert head.split() == ["TIME", "(UTC)", "FROM", "TO", "METHOD", "RESULT", "LENGTH", "SIP", "RTP", "CALL-ID"]
        assert line.startswith("2025-07-20 08:26:40")
        assert line.endswith("dir-call@h")
        assert "answered 200" in line
        assert json.loads(run("calls", "--dir", root, "--json").stdout)["calls"][0]["call_id"] == "dir-call@h"

    def test_a_ladder_is_drawn(self, root: Path) -> None:
        result = run("flow", "dir-call@h", "--dir", root)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert lines[0].split() == ["192.0.2.1:5060", "192.0.2.2:5060"]
        assert lines[2] == "2025-07-20 UTC"
        assert "INVITE (SDP) ─" in lines[3]
        assert "+0.500000" in lines[4]
        assert "◄" in lines[4]
        assert "\x1b" not in result.stdout

    def test_raw_is_octet_for_octet(self, root: Path) -> None:
        raw = run("flow", "dir-call@h", "--dir", root, "--raw").stdout_bytes
        assert raw.startswith(b"INVITE sip:bob@192.0.2.2 SIP/2.0\r\n")
        assert raw.count(b"m=audio") == 2

    def test_audio_is_written_whole(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        result = run("wav", "dir-call@h", "--dir", root)
        assert result.exit_code == 0, result.output
        assert [path.name for path in tmp_path.iterdir()] == ["dir-call@h.wav"]
        with wave.open(str(tmp_path / "dir-call@h.wav")) as wav:
            assert wav.getnframes() == 50 * 160
        piped = run("wav", "dir-call@h", "--dir", root, "-o", "-", "--leg", "0").stdout_bytes
        with wave.open(io.BytesIO(piped)) as wav:
            assert wav.getnchannels() == 1

    def test_an_unknown_call_leaves_no_file(self, root: Path, tmp_path: Path) -> None:
        for command in (("flow", "none"), ("wav", "none", "-o", str(tmp_path / "none.wav"))):
            result = run(*command, "--dir", root)
            assert (result.exit_code, result.stderr) == (1, "sipflow: no packet of call 'none' is stored here\n")
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_that_is_none_is_named(self, tmp_path: Path) -> None:
        result = run("calls", "--dir", tmp_path / "absent")
        assert result.exit_code == 1
        assert "absent: no such directory" in result.stderr
        assert result.stderr.count("\n") == 1


class TestServer:
    def test_calls_are_listed_page_by_page(self, url: str) -> None:
        result = run("calls", "--url", url, "--limit", "2")
        assert [line.split()[-1] for line in result.stdout.splitlines()[1:]] == ["plain2", "plain1"]
        assert result.stderr == "more: --after 2\n"
        result = run("calls", "--url", url, "--limit", "2", "--after", "2", "--until", "1753000010123456")
        assert "plain0" not in result.stdout

    @pytest.mark.parametrize("command", [["flow"], ["flow", "--json"], ["flow", "--raw"], ["wav", "-o", "-"]])
    def test_any_call_id_can_be_asked_for(self, url: str, command: list[str]) -> None:
        result = run(command[0], ODD, "--url", url, *command[1:])
        assert result.exit_code == 0, result.output
        if command == ["flow"]:
            assert "486 Busy\\x1b[2J" in result.stdout
            assert "\x1b" not in result.stdout

    def test_the_octets_arrive_unchanged(self, url: str, history: MemoryHistory) -> None:
        client = SipflowClient(url, TOKEN)
        assert client.flow(ODD) == history.flow(ODD)
        assert client.call(ODD) == history.call(ODD)
        assert client.flow("..") == history.flow("..")
        assert client.calls(Criteria(user="ali*", limit=2)) == history.calls(Criteria(user="ali*", limit=2))
        window = Window(T0_US + 1_000, T0_US + 1_000)
        assert client.flow(ODD, window) == history.flow(ODD, window)
        left = b"".join(client.wav(ODD, leg=0))
        assert left != b"".join(client.wav(ODD, leg=1))
        client.close()

    def test_refusals_are_the_errors_they_stand_for(self, url: str) -> None:
        client = SipflowClient(url, TOKEN)
        with pytest.raises(CallUnknown, match="'none'"):
            client.flow("none")
        with pytest.raises(NothingToPlay, match="only SIP"):
            list(client.wav("plain0"))
        with pytest.raises(BadQuery, match="status"):
            client.calls(Criteria(status="7xx"))
        client.close()
        stranger = SipflowClient(url)
        with pytest.raises(QueryError, match="401"):
            stranger.call("plain0")
        stranger.close()

    def test_the_token_comes_from_the_environment(self, url: str) -> None:
        result = run("calls", "--url", url, SIPFLOW_TOKEN="wrong")
        assert result.exit_code == 1
        assert "refused (401)" in result.stderr

    def test_what_could_not_be_read_is_said(self, url: str, history: MemoryHistory) -> None:
        history.faults = [Fault("2025/07/20/08", "gone")]
        result = run("flow", "plain0", "--url", url)
        history.faults = []
        assert result.stderr == "sipflow: not everything could be read: 2025/07/20/08: gone\n"

    def test_a_silent_server_is_named(self) -> None:
        with closing(SipflowClient("http://127.0.0.1:1")) as client:
            with pytest.raises(ServerUnreachable, match=r"http://127\.0\.0\.1:1 did not answer"):
                client.call("x")
            with pytest.raises(ServerUnreachable):
                list(client.wav("x"))
        assert run("calls", "--url", "http://127.0.0.1:1").exit_code == 1

    def test_a_url_that_is_none_is_refused(self) -> None:
        for url in ("127.0.0.1:3001", "ftp://h", "http://", "http://h:x"):
            with pytest.raises(ConfigError, match="--url"):
                SipflowClient(url)
            assert run("calls", "--url", url).exit_code == 2


def test_wrong_arguments_exit_2(root: Path) -> None:
    assert run("calls", "--limit", "0").exit_code == 2
    result = run("calls", "--dir", root, "--status", "7xx")
    assert result.exit_code == 2
    assert result.stderr.startswith("sipflow: status: found '7xx'; allowed: a code (486)")
    assert run("calls", "--dir", root, "--since", "then").exit_code == 2


def test_version() -> None:
    assert run("--version").stdout.startswith("sipflow, version 0.")


def test_loopback_needs_no_token() -> None:
    history = MemoryHistory()
    history.add_call("open")
    with Served(build(history, SteadyRecorder(), Settings(http=Address("127.0.0.1", 0)))) as address:
        assert "open" in run("calls", "--url", address, SIPFLOW_TOKEN="").stdout
