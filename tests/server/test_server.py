"""The server as its users run it: real processes, real sockets, real files."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from buckets import hours, record
from running import RunningServer, free_port
from sipflow.clock import now_us
from sipflow.load.play import Sending, play
from sipflow.load.samples import SAMPLES_SPAN_US, sample_calls
from sipflow.load.verify import Verifier
from sipflow.query.history import History
from sipflow.storage.layout import DATABASE, find_buckets
from sipflow.wire.datagram import encode_batch, encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import UNIDENTIFIED, Kind, Packet

ALICE, BOB = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
FAST = Sending(speed=None)


def options(call_id: str, time_us: int | None = None, **more: object) -> Packet:
    lines = (
        "OPTIONS sip:b@h SIP/2.0",
        "From: <sip:a@h>;tag=1",
        "To: <sip:b@h>",
        f"Call-ID: {call_id}",
        "CSeq: 1 OPTIONS",
    )
    text = "".join(f"{line}\r\n" for line in (*lines, ""))
    return Packet(Kind.SIP, ALICE, BOB, time_us or now_us(), text.encode(), **more)  # type: ignore[arg-type]


def rtp(call_id: str, sequence: int, time_us: int, leg: int = 0) -> Packet:
    payload = b"\x80\x00" + sequence.to_bytes(2, "big") + (160 * sequence).to_bytes(4, "big") + b"\0\0\0\7" + bytes(160)
    return Packet(Kind.RTP, ALICE, BOB, time_us, payload, call_id, leg, 77)


def recent_calls() -> list[object]:
    return sample_calls(now_us() - SAMPLES_SPAN_US - 1_000_000)  # type: ignore[return-value]


def compare(server: RunningServer, calls: list[object]) -> None:
    verifier = Verifier(server.url)
    try:
        verdict = verifier.run(iter(calls), 10.0)  # type: ignore[arg-type]
    finally:
        verifier.close()
    assert verdict.wrong == []
    assert verdict.calls == len(calls)


def test_calls_are_compared_message_by_message_and_survive_a_restart(tmp_path: Path) -> None:
    calls = recent_calls()
    with RunningServer(tmp_path / "data") as server:
        report = play(calls, server.udp, FAST)  # type: ignore[arg-type]
        compare(server, calls)
        assert server.metric("sipflow_packets_received_total") == report.sip + report.rtp
        assert server.stop() == 0
    with RunningServer(tmp_path / "data") as server:
        compare(server, calls)


@pytest.mark.parametrize("instant", [0.0, 0.05, 0.3, 1.0])
def test_kill_9_loses_nothing_that_was_received_and_doubles_nothing(tmp_path: Path, instant: float) -> None:
    calls = recent_calls()
    server = RunningServer(tmp_path / "data", "--flush-interval", "1")
    report = play(calls, server.udp, FAST)  # type: ignore[arg-type]
    server.until(lambda: server.metric("sipflow_packets_received_total") == report.sip + report.rtp, "received")
    time.sleep(instant)
    server.stop(signal.SIGKILL)
    with RunningServer(tmp_path / "data") as server:
        compare(server, calls)
        assert server.stop() == 0
    rows = stored_rows(tmp_path / "data")
    assert rows == Counter(sip=report.sip, rtp=report.rtp)


def stored_rows(root: Path) -> Counter[str]:
    rows: Counter[str] = Counter()
    for bucket in find_buckets(root):
        index = sqlite3.connect(root / bucket / DATABASE)
        # A bucket that is being made has no tables for a moment; the catalog shows it to readers only afterwards.
        if index.execute("PRAGMA user_version").fetchone()[0]:
            rows["sip"] += index.execute("SELECT count(*) FROM sip_msgs").fetchone()[0]
            rows["rtp"] += index.execute("SELECT coalesce(sum(packets), 0) FROM media_msgs").fetchone()[0]
        index.close()
    return rows


def test_a_packet_is_visible_as_soon_as_it_was_received(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--flush-interval", "3600", "--flush-count", "0") as server:
        server.send(encode_packet(options("live-1")))
        server.until(lambda: len(server.get("/flow", callid="live-1").json()["flow"]) == 1, "visible", 3)
        assert stored_rows(tmp_path / "data") == Counter()


def test_flush_interval_bounds_how_long_a_packet_stays_in_the_pool(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--flush-interval", "1", "--flush-count", "0") as server:
        server.send(encode_packet(options("flush-1")))
        server.until(lambda: stored_rows(tmp_path / "data")["sip"] == 1, "stored", 10)


def test_flush_count_brings_the_limit_down_to_two_seconds(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--flush-interval", "3600", "--flush-count", "5") as server:
        server.send(*(encode_packet(options(f"count-{n}")) for n in range(4)))
        time.sleep(3)
        assert stored_rows(tmp_path / "data") == Counter()
        server.send(encode_packet(options("count-4")))
        # The four are two seconds old and go; the fifth is young, and alone again it may wait.
        server.until(lambda: stored_rows(tmp_path / "data")["sip"] >= 4, "stored", 10)


def test_every_refused_frame_is_counted_and_costs_only_itself(tmp_path: Path) -> None:
    good, bad = encode_packet(options("good")), bytearray(encode_packet(options("bad")))
    bad[2] = 9
    with RunningServer(tmp_path / "data") as server:
        server.send(b"\x53", b"nonsense", encode_batch([good, bytes(bad), good]), encode_batch([good]) + b"\0")
        server.until(lambda: len(server.get("/flow", callid="good").json()["flow"]) == 2, "stored")
        text = server.get("/metrics").text
        for reason in ("truncated", "bad_magic", "bad_version", "bad_batch"):
            assert f'sipflow_rejected_total{{component="sipflow",reason="{reason}"}} 1\n' in text


def test_sip_without_a_call_id_is_kept_and_media_without_one_is_counted(tmp_path: Path) -> None:
    silent = Packet(Kind.SIP, ALICE, BOB, now_us(), b"OPTIONS sip:h SIP/2.0\r\n\r\ni: body\r\n")
    with RunningServer(tmp_path / "data") as server:
        server.send(encode_packet(silent), encode_packet(rtp("", 1, now_us())))
        server.until(lambda: len(server.get("/flow", callid=UNIDENTIFIED).json()["flow"]) == 1, "kept")
        assert 'reason="no_call_id"} 1\n' in server.get("/metrics").text


def test_sip_only_capture_counts_the_media_it_leaves_out(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--no-media") as server:
        server.send(encode_packet(options("c")), encode_packet(rtp("c", 1, now_us())))
        server.until(lambda: 'reason="media_off"} 1\n' in server.get("/metrics").text, "counted")
        assert server.get("/media", callid="c").status_code == 404


def test_a_clock_far_off_is_filed_by_arrival_and_flagged(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        server.send(encode_packet(options("skew", time_us=86_400_000_000)), encode_packet(rtp("skew", 1, 5)))
        server.until(lambda: len(server.get("/flow", callid="skew").json()["flow"]) == 1, "stored")
        server.stop()
        (bucket,) = find_buckets(tmp_path / "data")
        assert bucket.parts[0] == time.strftime("%Y", time.gmtime())
        history = History.open(tmp_path / "data")
        (message,) = history.flow("skew").messages
        assert (message.clock_skew, message.time_us) == (True, 86_400_000_000)
        (chunk,) = history.media("skew").chunks
        assert chunk.clock_skew
        assert chunk.rows["time_us"].tolist() == [5]
        history.close()


def test_report_counts_the_packets_of_a_sender(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        server.send(encode_batch([encode_packet(rtp("r", n, now_us())) for n in range(5)]))
        server.until(lambda: server.metric("sipflow_packets_received_total") == 5, "received")
        answer = httpx.post(f"{server.url}/report", json={"client_id": 77, "sent_count": 5}).json()
        assert answer == {"status": "success", "client_id": 77, "packets_received": 5}


def test_a_killed_reader_is_started_again_and_costs_no_packet(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        server.send(encode_packet(options("before")))
        server.until(lambda: len(server.get("/flow", callid="before").json()["flow"]) == 1, "received")
        os.kill(reader_of(server), signal.SIGKILL)
        server.send(encode_packet(options("during")))
        server.until(lambda: len(server.get("/flow", callid="during").json()["flow"]) == 1, "back", 10)
        server.until(
            lambda: server.metric('sipflow_reader_restarts_total{component="sipflow",reason="died"}') == 1, "told"
        )
        health = httpx.get(f"{server.url}/health", headers={"accept": "application/json"})
        assert health.status_code == 200
        assert any("restarts of the reader: 1, 0 of them because it hung" in one for one in health.json()["notes"])


def test_a_killed_recorder_takes_its_reader_with_it(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    reader = reader_of(server)
    server.stop(signal.SIGKILL)
    until = time.monotonic() + 5
    while Path(f"/proc/{reader}/cmdline").exists() and Path(f"/proc/{reader}/cmdline").read_bytes():
        assert time.monotonic() < until, "the reader lives on"
        time.sleep(0.02)


def reader_of(server: RunningServer) -> int:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    (reader,) = (int(child) for child in children)
    return reader


def test_shared_memory_is_given_back(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        server.send(encode_packet(options("gone")))
        server.until(lambda: server.metric("sipflow_packets_received_total") == 1, "received")
        pool = (tmp_path / "data" / ".pool" / "pool").resolve()
        assert pool.exists()
        assert server.stop() == 0
        assert not pool.parent.exists()


def test_the_pool_of_a_root_that_was_deleted_is_swept(tmp_path: Path) -> None:
    first = RunningServer(tmp_path / "a")
    pool = (tmp_path / "a" / ".pool" / "pool").resolve()
    first.stop(signal.SIGKILL)
    shutil.rmtree(tmp_path / "a")
    assert pool.exists()
    with RunningServer(tmp_path / "b"):
        assert not pool.exists()


def test_a_second_server_is_refused_the_root(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        second = RunningServer(tmp_path / "data", wait=False)
        assert second.ended() == 1
        assert f"another sipflow-server (process {server.process.pid}) writes here" in second.log.read_text()


@pytest.mark.parametrize(("option", "place"), [("--udp", "udp"), ("--http", "http")])
def test_a_second_server_is_refused_the_port(tmp_path: Path, option: str, place: str) -> None:
    with RunningServer(tmp_path / "a") as server:
        taken = f"127.0.0.1:{server.udp[1] if place == 'udp' else server.http}"
        second = RunningServer(tmp_path / "b", option, taken, wait=False)
        assert second.ended() == 2
        said = second.log.read_text()
        assert f"{option}: found '{taken}'; allowed: an address of this machine whose port is free" in said


def test_bad_settings_are_one_line_and_status_2(tmp_path: Path) -> None:
    config = tmp_path / "sipflow.toml"
    config.write_text('[sipflow]\ntype = "local"\nsubdirs = "Weekly"\n')
    run = subprocess.run(
        [sys.executable, "-m", "sipflow.server", "--config", str(config)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "subdirs" in run.stderr
    assert "Weekly" in run.stderr


def test_beyond_loopback_http_wants_a_token_while_packets_are_taken(tmp_path: Path) -> None:
    port = free_port(2)  # type: ignore[arg-type]
    server = RunningServer(tmp_path / "data", "--http", f"0.0.0.0:{port}", wait=False)
    server.url = f"http://127.0.0.1:{port}"
    try:
        server.until(lambda: server.get("/health").status_code in (200, 503), "answering")
        server.send(encode_packet(options("quiet")))
        refused = server.get("/flow", callid="quiet")
        assert refused.status_code == 401
        assert "trusted" in refused.text
        assert "token" in refused.text
        assert "HTTP on 0.0.0.0" in server.log.read_text()
    finally:
        server.stop()
    history = History.open(tmp_path / "data")
    assert len(history.flow("quiet").messages) == 1
    history.close()


def test_only_allowed_networks_are_recorded(tmp_path: Path) -> None:
    config = tmp_path / "sipflow.toml"
    config.write_text('[sipflow]\nallow = ["10.0.0.0/8"]\n')
    with RunningServer(tmp_path / "data", "--config", str(config)) as server:
        server.send(encode_packet(options("foreign")))
        server.until(lambda: 'reason="foreign_source"} 1\n' in server.get("/metrics").text, "counted")
        assert server.get("/flow", callid="foreign").json()["flow"] == []


@pytest.mark.parametrize(("subdirs", "depth"), [("Hourly", 4), ("daily", 3), ("NONE", 0)])
def test_buckets_lie_where_the_setting_says(tmp_path: Path, subdirs: str, depth: int) -> None:
    with RunningServer(tmp_path / "data", "--subdirs", subdirs) as server:
        server.send(encode_packet(options("where")))
        server.until(lambda: server.metric("sipflow_packets_received_total") == 1, "received")
    (bucket,) = find_buckets(tmp_path / "data")
    assert len(bucket.parts) == depth


def health(server: RunningServer) -> dict[str, list[str]]:
    answer = httpx.get(server.url + "/health", headers={"Accept": "application/json"})
    assert answer.status_code == 200
    return answer.json()  # type: ignore[no-any-return]


def test_what_is_kept_no_longer_goes_while_the_server_records(tmp_path: Path) -> None:
    root = tmp_path / "data"
    record(root, hours(2))
    limits = ("--rtp-bytes", "10KB", "--sip-age", "400d", "--min-free", "none")
    with RunningServer(root, *limits) as server:
        server.send(encode_packet(options("fresh")))
        server.until(lambda: server.get("/media", callid="call-1@h").status_code == 404, "erased")
        message = server.get("/media", callid="call-1@h").json()["message"]
        assert message.startswith("expired: the media of this call in 2024/10/04/01 was erased on 20")
        assert len(server.get("/flow", callid="call-1@h").json()["flow"]) == 3
        server.until(lambda: len(server.get("/flow", callid="fresh").json()["flow"]) == 1, "recorded")
        # The buckets are years older than the 400 days: at its start the server does not trust such a clock.
        server.until(
            lambda: any("nothing is deleted for its age until" in note for note in health(server)["notes"]), "held"
        )
        assert server.stop() == 0
    done = subprocess.run(
        [sys.executable, "-m", "sipflow", "retention", "--dir", str(root), *limits[2:]],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.count("  delete  ") == 2
    with RunningServer(root, *limits) as server:
        answer = server.get("/flow", callid="call-1@h")
        assert answer.status_code == 404
        assert answer.json()["message"].startswith("expired: 2024/10/04/01, which held packets of this call")
        assert len(server.get("/flow", callid="fresh").json()["flow"]) == 1
