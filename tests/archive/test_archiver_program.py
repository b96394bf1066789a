"""The archiving process and a whole server: killed, started again, and what that leaves."""

import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from html import unescape
from pathlib import Path
from typing import Self

import dpkt
import httpx
import msgspec
import pytest
from click.testing import CliRunner

from archive.http_store import http_store
from archive.test_archiver import expected_of, objects_in, parts_of, unfinished
from archive.test_call_upload import call as live_call
from buckets import T0_US, call, record
from faulty_proxy import faulty_proxy
from running import RunningServer
from s3_server import BUCKET, SECRET_KEY, S3Server
from sipflow.archive import leftovers
from sipflow.archive.archiver import Archiver
from sipflow.archive.call_tables import CallTables
from sipflow.archive.opening import open_place
from sipflow.archive.place import PIECE
from sipflow.archive.state import read_state
from sipflow.cli import main
from sipflow.clock import now_us
from sipflow.config import Retention, Settings
from sipflow.destination import Upload
from sipflow.effective import written
from sipflow.errors import ArchiveError, PartBusy
from sipflow.orders import ArchiverOrders
from sipflow.storage.layout import DATA, HOUR_US
from sipflow.storage.part_lock import swap_lock
from sipflow.storage.sweep import Sweep

PATIENCE_SECONDS = 60
TOKEN = "Bearer a-secret-of-this-test"


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@contextmanager
def program(root: Path, upload: Upload) -> Iterator["subprocess.Popen[bytes]"]:
    settings = Settings(root=root, upload=upload, node="pbx-1")
    orders = ArchiverOrders(str(root), "info", written(settings))
    process = subprocess.Popen(
        [sys.executable, "-m", "sipflow.archiver"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    try:
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        if process.stderr is not None:
            process.stderr.close()


def test_killed_in_the_middle_of_an_upload_it_goes_on_and_leaves_nothing(
    s3: S3Server, upload: Upload, tmp_path: Path
) -> None:
    root = tmp_path / "large"
    record(root, call("long@h", T0_US, packets=PIECE * 5 // 4 // 1200, octets=1200))
    with program(root, Upload(**{**vars(upload), "bandwidth": 100_000})) as process:
        # The second piece waits for the first: in between is the middle.
        until(lambda: unfinished(s3, upload), "nothing was begun")
        with pytest.raises(PartBusy, match="packs or copies it"), swap_lock(root / parts_of(root)[0].path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    # Its lock went with it.
    with swap_lock(root / parts_of(root)[0].path):
        pass
    assert unfinished(s3, upload)
    assert {part.archived_us for part in parts_of(root)} == {None}
    assert not [key for key in objects_in(s3, upload) if key.endswith("manifest.json")]
    with program(root, upload) as process:
        until(lambda: all(part.archived_us for part in parts_of(root)), "it does not go on")
    assert expected_of(root, parts_of(root)).items() <= objects_in(s3, upload).items()
    assert unfinished(s3, upload) == []


def test_it_ends_with_its_recorder_and_says_no_secret(root: Path, upload: Upload) -> None:
    with program(root, Upload(**{**vars(upload), "secret_key": "wrong-secret-value"})) as process:
        until(
            lambda: (read_state(root) or parts_of(root)[0]) and (state := read_state(root)) and state.error, "no error"
        )
        assert "wrong-secret-value" not in " ".join(Path(f"/proc/{process.pid}/cmdline").read_text().split("\0"))
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert "trying again in" in said
    for text in (said, (root / ".archive" / "state.json").read_text()):
        assert "wrong-secret-value" not in text
        assert upload.access_key not in text


def test_a_clock_that_is_off_is_refused_by_the_store_and_said(
    s3: S3Server, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) - timedelta(hours=1)

    monkeypatch.setattr(leftovers, "datetime", Slow)
    with pytest.raises(ArchiveError, match="RequestTimeTooSkewed") as raised:
        leftovers.abort_uploads(upload, "pbx-1")
    assert SECRET_KEY not in str(raised.value)


@contextmanager
def serving(root: Path, config: Path) -> Iterator[str]:
    """Run a server with a file of settings until it is told to end, which it does well; gives its URL."""
    said = root.parent / "log"
    with said.open("w+b") as log:
        server = subprocess.Popen([sys.executable, "-m", "sipflow.server", "--config", str(config)], stderr=log)
        try:
            until(lambda: b"http 127.0.0.1:" in said.read_bytes(), "it does not listen")
            found = re.search(r"http (127\.0\.0\.1:\d+)", said.read_text())
            assert found is not None
            url = f"http://{found[1]}"
            until(lambda: _answers(url), "it does not answer")
            yield url
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE_SECONDS) == 0


def settings_file(root: Path, place: str) -> Path:
    """Write the settings of a server, with the table of its archive."""
    config = root.parent / "sipflow.toml"
    config.write_text(
        f'[sipflow]\nudp = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\nroot = "{root}"\nnode = "pbx-1"\npool_mb = 32\n'
        f"[sipflow.upload]\n{place}"
    )
    return config


def s3_table(upload: Upload) -> str:
    return (
        f'type = "s3"\nvendor = "minio"\nbucket = "{BUCKET}"\nregion = "us-east-1"\n'
        f'access_key = "{upload.access_key}"\nsecret_key = "{SECRET_KEY}"\nendpoint = "{upload.endpoint}"\n'
        f'root = "{upload.root}"\npack_wait = "0m"\n'
    )


def test_a_server_archives_what_it_sealed(root: Path, s3: S3Server, upload: Upload) -> None:
    files = expected_of(root, parts_of(root))
    with serving(root, settings_file(root, s3_table(upload))) as url:
        until(lambda: all(part.archived_us for part in parts_of(root)), "nothing is archived")
        until(lambda: json.loads(httpx.get(f"{url}/api/v1/archive").text)["parts"] == 0, "it is not told")
        answer = json.loads(httpx.get(f"{url}/api/v1/archive").text)
        assert (answer["parts"], answer["octets"], answer["archived_parts"], answer["error"]) == (0, 0, 2, "")
        pages = [
            httpx.get(f"{url}{path}").text
            for path in ("/metrics", "/api/v1/archive", "/api/v1/settings", "/settings", "/nodes")
        ]
        pages.append(httpx.get(f"{url}/health", headers={"Accept": "application/json"}).text)
        assert "sipflow_archive_waiting_parts" in pages[0]
        assert s3.url in pages[2]
    for text in (*pages, (root.parent / "log").read_text()):
        assert SECRET_KEY not in text
        assert upload.access_key not in text
    assert files.items() <= objects_in(s3, upload).items()


def test_a_place_that_fails_is_told_on_the_first_screen(root: Path, upload: Upload, tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        config = tmp_path / "sipflow.toml"
        config.write_text(
            f'[sipflow]\nudp = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\nroot = "{root}"\nnode = "pbx-1"\npool_mb = 32\n'
            f'[sipflow.upload]\ntype = "s3"\nvendor = "minio"\nbucket = "{BUCKET}"\nregion = "us-east-1"\n'
            f'access_key = "{upload.access_key}"\nsecret_key = "{SECRET_KEY}"\n'
            f'endpoint = "http://127.0.0.1:{closed.getsockname()[1]}"\nroot = "{upload.root}"\npack_wait = "0m"\n'
        )
        log = (tmp_path / "log").open("w+b")
        server = subprocess.Popen([sys.executable, "-m", "sipflow.server", "--config", str(config)], stderr=log)
        try:
            until(lambda: b"http 127.0.0.1:" in (tmp_path / "log").read_bytes(), "it does not listen")
            found = re.search(r"http (127\.0\.0\.1:\d+)", (tmp_path / "log").read_text())
            assert found is not None
            url = f"http://{found[1]}"
            until(lambda: _answers(url), "it does not answer")
            until(lambda: httpx.get(f"{url}/api/v1/now").json()["archive"]["pace"] == "failing", "no failure is told")
            (note,) = httpx.get(f"{url}/api/v1/now").json()["archive"]["notes"]
            assert "2 parts (" in note
            assert note in httpx.get(f"{url}/health", headers={"Accept": "application/json"}).json()["notes"]
            page = unescape(httpx.get(f"{url}/", headers={"Accept": "text/html"}).text)
            assert note in page
            assert f"<code>s3://{BUCKET}/{upload.root}</code>" in page
            metrics = httpx.get(f"{url}/metrics").text
            assert re.search(r"^sipflow_archive_failing(\{[^}]*\})? 1$", metrics, re.MULTILINE)
            assert SECRET_KEY not in page
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE_SECONDS) == 0
            log.close()


def test_what_is_given_up_is_named_to_whoever_asks(root: Path, upload: Upload) -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        nowhere = Upload(**{**vars(upload), "endpoint": f"http://127.0.0.1:{closed.getsockname()[1]}"})
        config = settings_file(root, f'{s3_table(nowhere)}queue_limit = "1KB"\n')
        first, second = (part.path for part in parts_of(root))
        with serving(root, config) as url:
            until(lambda: httpx.get(f"{url}/api/v1/now").json()["archive"]["given_up_parts"] == 1, "none is given up")
            health = httpx.get(f"{url}/health", headers={"Accept": "application/json"})
            assert health.status_code == 200
            (note,) = [one for one in health.json()["notes"] if one.startswith("given up")]
            assert first in note
            assert second not in note
            assert note in unescape(httpx.get(f"{url}/", headers={"Accept": "text/html"}).text)
            metrics = httpx.get(f"{url}/metrics").text
            assert re.search(r"^sipflow_archive_given_up_total(\{[^}]*\})? 1$", metrics, re.MULTILINE)
            assert httpx.get(f"{url}/api/v1/archive").json()["given_up"] == [first]
    assert "gave up archiving" in (root.parent / "log").read_text()


DOWNLOADS = (
    "/flow?callid=call-0@h", "/media?callid=call-0@h", "/media?callid=call-0@h&stats=1", "/diag?callid=call-0@h",
    "/api/v1/calls", "/api/v1/calls?q=call-0", "/api/v1/calls/call-0@h", "/api/v1/calls/call-0@h/media.wav",
    "/api/v1/calls/call-0@h/call.pcapng", "/api/v1/calls/call-0@h/call.txt", "/calls/call-0@h",
)  # fmt: skip


@pytest.fixture(params=["s3", "http"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the table of an archive that stands, of either type."""
    if request.param == "s3":
        yield s3_table(request.getfixturevalue("upload"))
        return
    with http_store(tmp_path / "store", token=TOKEN) as store:
        yield (
            f'type = "http"\nurl = "{store.url}/sip"\nroot = "a b"\nheaders = {{ Authorization = "{TOKEN}" }}\n'
            'pack_wait = "0m"\n'
        )


def test_a_server_lets_go_of_what_it_archived_and_answers_as_before(tmp_path: Path, place: str) -> None:
    root = tmp_path / "root"
    # Of today: where nothing is newer than a day the clock is not trusted, and nothing goes for its age.
    first_us = now_us() // HOUR_US * HOUR_US - 3 * HOUR_US
    record(root, [frame for n in range(2) for frame in call(f"call-{n}@h", first_us + n * HOUR_US)])
    config = settings_file(root, place)
    with serving(root, config) as url:
        before = downloads(url)
        until(lambda: all(part.archived_us for part in parts_of(root)), "nothing is archived")
        assert all(part.evicted_us is None for part in parts_of(root))
    # What may go is looked for when a server starts, and every minute.
    settings_file(root, f'{place}keep_local = "0m"\n')
    with serving(root, config) as url:
        until(lambda: all(part.evicted_us for part in parts_of(root)), "nothing is let go of")
        until(lambda: not list(root.rglob(DATA)), "the files stay")
        assert downloads(url) == before
        assert json.loads(httpx.get(f"{url}/api/v1/archive").text)["error"] == ""
    capture = before["/api/v1/calls/call-0@h/call.pcapng"]
    assert len(list(dpkt.pcapng.Reader(io.BytesIO(capture)))) == 103
    with wave.open(io.BytesIO(before["/api/v1/calls/call-0@h/media.wav"])) as sound:
        assert sound.getnframes() >= 100 * 160


def downloads(url: str) -> dict[str, bytes]:
    """Download what is to be had of a call; whole, without any fault."""
    found = {}
    for path in DOWNLOADS:
        answer = httpx.get(url + path, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 200, f"{path}: {answer.text[:500]}"
        assert "Sipflow-Faults" not in answer.headers
        found[path] = answer.content
    return found


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_server_records_everything_while_its_store_answers_nothing(root: Path, s3: S3Server, upload: Upload) -> None:
    names = [f"live-{n}@h" for n in range(20)]
    with faulty_proxy(s3.url, lambda _method, _path: "stall") as proxy:
        config = settings_file(root, s3_table(Upload(**{**vars(upload), "endpoint": proxy.url})))
        with RunningServer(root, "--config", str(config), "--flush-interval", "1") as server:
            server.until(lambda: proxy.faults, "stalled")
            began_us = now_us() - 10_000_000
            for name in names:
                server.send(*live_call(name, now_us() - 2_000_000))
            server.until(lambda: recorded_of(server) == 105 * len(names), "recorded")
            listed = server.get("/api/v1/calls", since=str(began_us), limit="100").json()["calls"]
            assert sorted((one["call_id"], one["sip_messages"], one["rtp_packets"]) for one in listed) == sorted(
                (name, 5, 100) for name in names
            )
            assert server.metric("sipflow_items_dropped_total") == server.metric("sipflow_kernel_drops_total") == 0
            assert server.get("/health").status_code == 200
            assert {part.archived_us for part in parts_of(root)} == {None}


def recorded_of(server: RunningServer) -> int:
    """Tell how many packets were committed."""
    found = re.findall(r"^sipflow_items_recorded_total\S* (\d+)$", server.get("/metrics").text, re.MULTILINE)
    return sum(map(int, found))


def test_one_question_in_sql_is_of_live_and_of_archived_hours(
    root: Path, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
    Archiver(root, upload, "pbx-1", open_place(upload), makers=(CallTables("pbx-1").make,)).turn()
    Sweep(root, Retention(), upload=Upload("s3", keep_local=0)).run()
    assert not list(root.rglob(DATA))
    config = settings_file(root, s3_table(upload))
    query = "SELECT call_id, sip_messages, rtp_packets FROM calls ORDER BY 1"
    with RunningServer(root, "--config", str(config), "--flush-interval", "3600") as server:
        server.send(*live_call("live@h", now_us() - 2_000_000))
        server.until(lambda: server.metric("sipflow_packets_received_total") == 105, "received")
        asked = CliRunner().invoke(main, ["sql", "--config", str(config), "--dir", str(root), "--json", query])
    assert (asked.exit_code, asked.stderr) == (0, "")
    assert [tuple(row.values()) for row in json.loads(asked.stdout)] == [
        ("call-0@h", 3, 100), ("call-1@h", 3, 100), ("live@h", 5, 100)
    ]  # fmt: skip
