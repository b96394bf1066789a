"""`sipflow audio` and `sipflow stats`, over a data directory made by an import and over a server on a real socket."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import capture_writer
from memory_history import T0_US, MemoryHistory, Served, SteadyRecorder
from sipflow.cli import main
from sipflow.config import Settings
from sipflow.importer import import_files
from sipflow.query.answer import Fault
from sipflow.web.app import build
from sounds import Speech, hear, mu_law

TOKEN = "0123456789abcdef-secret"
CALL = "dir-call@h"
PEERS = (("192.0.2.1", 5060), ("192.0.2.2", 5060))
PCM = Speech(4, channels=1).pcm(0, 32_000)
WHY = "99.50 % of the audio packets; 1 packets lost before capture: silence"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one call of 4 s, one packet of it lost."""
    folder = tmp_path_factory.mktemp("audio")
    there, back = PEERS, PEERS[::-1]
    invite = capture_writer.sip("INVITE sip:bob@192.0.2.2 SIP/2.0", CALL, "1 INVITE",
                                capture_writer.sdp("192.0.2.1", 4000))  # fmt: skip
    answer = capture_writer.sip("SIP/2.0 200 OK", CALL, "1 INVITE",
                                capture_writer.sdp("192.0.2.2", 4002), to_tag="to")  # fmt: skip
    frames = [(T0_US, capture_writer.frame(*there, invite)), (T0_US + 500_000, capture_writer.frame(*back, answer))]
    audio = mu_law(PCM[:, 0])
    frames += [
        (T0_US + 600_000 + n * 20_000,
         capture_writer.frame(("192.0.2.1", 4000), ("192.0.2.2", 4002), rtp(n, audio[n * 160 : n * 160 + 160])))
        for n in range(200) if n != 50
    ]  # fmt: skip
    file = folder / "call.pcap"
    file.write_bytes(capture_writer.pcap(frames))
    import_files([file], folder / "root")
    return folder / "root"


def rtp(number: int, payload: bytes) -> bytes:
    """Write a packet of mu-law (payload type 0)."""
    return b"\x80\x00" + capture_writer.rtp(number)[2:12] + payload


@pytest.fixture(scope="module")
def history() -> MemoryHistory:
    history = MemoryHistory()
    history.add_call(CALL)
    history.add_audio(CALL, 0, 200, missing=1)
    history.add_audio(CALL, 1, 201)
    return history


@pytest.fixture(scope="module")
def url(history: MemoryHistory) -> Iterator[str]:
    with Served(build(history, SteadyRecorder(), Settings(token=TOKEN))) as address:
        yield address


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], env={"SIPFLOW_TOKEN": TOKEN})


def test_the_suffix_says_the_form(root: Path, tmp_path: Path) -> None:
    magic = {"wav": b"RIFF", "opus": b"OggS", "mp3": b"ID3", "flac": b"fLaC"}
    for form, octets in magic.items():
        target = tmp_path / f"call.{form}"
        result = run("audio", CALL, "--dir", root, "-o", target)
        assert result.exit_code == 0, result.output
        assert result.stderr == f"{target}: {target.stat().st_size} octets; {WHY}\n"
        assert target.read_bytes().startswith(octets)
        heard = hear(target.read_bytes())
        assert abs(len(heard.pcm) / heard.rate - 4) < 0.08
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".flac", ".mp3", ".opus", ".wav"]


def test_the_whole_of_the_sound_is_written(root: Path) -> None:
    left = hear(run("audio", CALL, "--dir", root, "-o", "-", "--format", "flac").stdout_bytes).pcm[:, 0].astype(int)
    silent = slice(50 * 160, 51 * 160)
    assert not left[silent].any()
    left[silent] = PCM[silent, 0]
    # mu-law rounds by up to a 32nd
    assert np.abs(left - PCM[:, 0]).max() < 300


def test_a_cut_and_a_mix(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        run("audio", CALL, "--dir", root, "--mono", "--start", "1", "--end", "2.5", "--format", "FLAC").exit_code == 0
    )
    assert [path.name for path in tmp_path.iterdir()] == [f"{CALL}.flac"]
    heard = hear((tmp_path / f"{CALL}.flac").read_bytes())
    assert heard.pcm.shape == (12_000, 1)
    whole = hear(run("audio", CALL, "--dir", root, "-o", "-").stdout_bytes).pcm
    assert np.array_equal(heard.pcm[:, 0], whole[8_000:20_000, 0])


@pytest.mark.parametrize(
    ("arguments", "says", "status"),
    [
        (("-o", "call.ogg"), "names no form; allowed: wav, opus, mp3, flac, or --format", 2),
        (("--start", "1m"), "start: found '1m'; allowed: seconds from the start of the recording, e.g. 12.5", 2),
        (("--start", "9"), "start: found 9; allowed: less than 4.000 s", 2),
        (("--leg", "1"), "no RTP of leg 1 was captured, only of leg 0", 1),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_no_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str, status: int
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("audio", CALL, "--dir", root, *arguments)
    assert result.exit_code == status, result.output
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_asked_the_same(url: str, history: MemoryHistory, tmp_path: Path) -> None:
    target = tmp_path / "call.opus"
    result = run("audio", CALL, "--url", url, "-o", target, "--leg", "0", "--start", "0.5")
    assert result.exit_code == 0, result.output
    assert result.stderr == (f"{target}: {target.stat().st_size} octets; "
                             "99.75 % of the audio packets; 1 packets lost before capture: silence\n")  # fmt: skip
    heard = hear(target.read_bytes())
    assert heard.pcm.shape[1] == 1
    assert abs(len(heard.pcm) / heard.rate - (201 * 0.02 - 0.5)) < 0.08
    history.faults = [Fault("2025/07/20/08", "gone\x1b")]
    try:
        result = run("audio", CALL, "--url", url, "-o", target)
        assert "sipflow: not everything could be read: 2025/07/20/08: gone?" in result.stderr
        result = run("stats", CALL, "--url", url)
        assert "sipflow: not everything could be read: 2025/07/20/08: gone\\x1b" in result.stderr
    finally:
        history.faults = []
    assert run("audio", "none", "--url", url, "-o", tmp_path / "none.mp3").exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["call.opus"]


def test_streams_are_a_table(root: Path, url: str) -> None:
    result = run("stats", CALL, "--dir", root)
    assert result.exit_code == 0, result.output
    head, line, score, verdict, other, last = result.stdout.splitlines()
    assert head.split()[:5] == ["LEG", "CODEC", "SSRC", "PACKETS", "LOST"]
    cells = dict(zip(head.split(), line.split(), strict=False))
    assert (cells["LEG"], cells["CODEC"], cells["PACKETS"], cells["LOST"], cells["LOSS"]) == (
        "0", "PCMU/8000", "199", "1", "0.50%",
    )  # fmt: skip
    assert line.endswith("192.0.2.1:4000 > 192.0.2.2:4002")
    assert 4.0 < float(cells["MOS"]) < 4.4
    assert score == "MOS: MOS-LQ NB, of an adaptive jitter buffer"
    assert verdict.startswith("error: Media flows from 192.0.2.1:4000 to 192.0.2.2:4002 only")
    assert "did not announce" in other
    assert last == f"recording: {WHY}"
    assert len(run("stats", CALL, "--url", url).stdout.splitlines()) == 6


def test_streams_as_json_are_the_same_from_both(root: Path, url: str) -> None:
    local = json.loads(run("stats", CALL, "--dir", root, "--json").stdout)
    assert local["quality"]["streams"][0]["lost"] == 1
    assert (local["note"], local["completeness"]["lost_packets"]) == (WHY, 1)
    remote = json.loads(run("stats", CALL, "--url", url, "--json").stdout)
    assert remote.keys() == local.keys()
    assert remote["quality"]["streams"][0].keys() == local["quality"]["streams"][0].keys()
    for where in (("--dir", root), ("--url", url)):
        result = run("stats", "none", *where)
        assert (result.exit_code, result.stderr) == (1, "sipflow: no packet of call 'none' is stored here\n")


def test_the_bar_is_for_terminals_only(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sipflow", "audio", CALL, "--dir", str(root), "-o", str(tmp_path / "call.mp3")]
    quiet = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert quiet.stdout == b""
    assert quiet.stderr.count(b"\n") == 1
    assert b"\x1b" not in quiet.stderr
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stderr=follower, env={**os.environ, "TERM": "xterm"}) as process:
        process.wait(60)
    os.close(follower)
    shown = io.BytesIO(os.read(leader, 65_536)).getvalue()
    os.close(leader)
    assert b"audio" in shown
    assert b"\x1b[" in shown
