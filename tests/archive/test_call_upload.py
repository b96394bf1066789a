"""Uploads of single calls: real servers take them, whole, under harmless names, until all have arrived."""

import io
import json
import signal
import socket
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from capture_writer import rtp, sip
from faulty_proxy import Fault, faulty_proxy
from form_server import FormServer
from memory_history import Served, SteadyRecorder
from running import RunningServer, free_port
from s3_server import BUCKET, S3Server
from sample_root import make_sample
from sipflow.archive import call_upload
from sipflow.archive.call_upload import CallUploads
from sipflow.archive.call_upload_name import name_of
from sipflow.archive.call_upload_queue import CallFile, UploadQueue
from sipflow.archive.call_upload_target import open_target
from sipflow.clock import now_us
from sipflow.config import Address, Settings
from sipflow.destination import Upload
from sipflow.errors import ArchiveError, CallUnknown, StorageError
from sipflow.placement import Placement
from sipflow.query.history import History
from sipflow.web import probes
from sipflow.web.app import build
from sipflow.web.call_content import UploadContent
from sipflow.web.recorded import Recordings
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

ALICE, BOB = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
JUNE_US = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
SECRET = "Bearer of-the-destination"


@contextmanager
def uploading(root: Path, upload: Upload) -> Iterator[tuple[CallUploads, History, Recordings]]:
    """What the reader composes, without its thread."""
    history = History.open(root)
    recordings = Recordings(history)
    content = UploadContent(history, recordings, upload)
    uploads = CallUploads(root, upload, open_target(upload), content, lambda: history.parts()[0])
    try:
        yield uploads, history, recordings
    finally:
        uploads.stop()
        recordings.close()
        history.close()


def file_of(call_id: str, kind: str, start_us: int = JUNE_US) -> CallFile:
    assert kind in ("media", "signaling")
    return CallFile(call_id, start_us, kind, *name_of(call_id, start_us, kind))  # type: ignore[arg-type]


def call(call_id: str, begin_us: int) -> list[bytes]:
    """Write a call with a second of audio each way, whose BYE is answered after it."""
    steps = [
        (0, "INVITE sip:bob@h SIP/2.0", "1 INVITE"), (100, "SIP/2.0 200 OK", "1 INVITE"),
        (110, "ACK sip:bob@h SIP/2.0", "1 ACK"),
        (1200, "BYE sip:bob@h SIP/2.0", "2 BYE"), (1250, "SIP/2.0 200 OK", "2 BYE"),
    ]  # fmt: skip
    packets = [
        Packet(Kind.SIP, *((BOB, ALICE) if start.startswith("SIP") else (ALICE, BOB)), begin_us + ms * 1000,
               sip(start, call_id, cseq, to_tag="b"), call_id)
        for ms, start, cseq in steps
    ]  # fmt: skip
    nowhere = Endpoint("0.0.0.0", 0)
    packets += [
        Packet(
            Kind.RTP,
            nowhere,
            nowhere,
            begin_us + (150 + 20 * n) * 1000,
            rtp(n, 7 + leg, 0, bytes([0x20 + leg]) * 160),
            call_id,
            leg,
        )
        for leg in (0, 1)
        for n in range(50)
    ]
    return [encode_packet(packet) for packet in packets]


# --- a server of ours, whole ---


def test_a_call_is_uploaded_when_it_ends_though_all_is_killed_and_the_destination_fails(tmp_path: Path) -> None:
    root, config = tmp_path / "root", tmp_path / "sipflow.toml"
    with FormServer() as forms:
        forms.refusals = [503] * 1000
        config.write_text(
            f'[sipflow]\n[sipflow.upload]\ntype = "http"\nurl = "{forms.url}"\ncalls = true\nsignaling = true\n'
            f'headers = {{ Authorization = "{SECRET}" }}\n'
        )
        options = ("--config", str(config), "--flush-interval", "1")
        with RunningServer(root, *options) as server:
            server.until((root / ".upload/calls.db").exists, "following")
            begin_us = now_us() - 2_000_000
            server.send(*call("one@h", begin_us))
            server.send(
                encode_packet(
                    Packet(Kind.SIP, ALICE, BOB, begin_us, sip("OPTIONS sip:h SIP/2.0", "ping", "1 OPTIONS"), "ping")
                )
            )
            forms.until(refused=2)
            server.until(lambda: server.metric("sipflow_call_upload_failures_total") >= 2, "counted")
            server.stop(signal.SIGKILL)
        forms.refusals = []
        with RunningServer(root, *options) as server:
            forms.until(forms=2)
            server.until(lambda: server.metric("sipflow_call_uploads_waiting") == 0, "done")
            totals = [line for line in server.get("/metrics").text.splitlines() if "call_uploads_total{" in line]
            assert 'sipflow_call_uploads_total{component="sipflow",result="media"} 1' in totals
            assert 'sipflow_call_uploads_total{component="sipflow",result="signaling"} 1' in totals
            assert SECRET not in server.log.read_text()
            assert "in-the-url" not in server.log.read_text()
    taken = {form.part: form for form in forms.forms}
    assert len(forms.forms) == 2
    assert all(form.headers["Authorization"] == SECRET for form in forms.forms)
    media, signaling = taken["recording"], taken["signaling"]
    assert (media.file, media.media_type) == ("one@h.wav", "audio/wav")
    assert (signaling.file, signaling.media_type) == ("one@h.jsonl", "application/jsonl")
    # Both legs, all of them: G.711 as it was captured, left before right.
    data = media.octets[media.octets.index(b"data") + 8 :]
    assert (media.octets[20:24], data) == (b"\x07\x00\x02\x00", b"\x20\x21" * 8000)
    lines = [json.loads(line) for line in signaling.octets.split(b"\n")]
    assert [line["payload"].split("\r\n")[0] for line in lines] == [
        "INVITE sip:bob@h SIP/2.0", "SIP/2.0 200 OK", "ACK sip:bob@h SIP/2.0", "BYE sip:bob@h SIP/2.0", "SIP/2.0 200 OK"
    ]  # fmt: skip
    assert lines[0] | {"payload": ""} == {
        "timestamp": begin_us, "seq": 0, "leg": 0, "msg_type": "Sip", "src_addr": "192.0.2.1:5060",
        "dst_addr": "192.0.2.2:5060", "payload": "",
    }  # fmt: skip


def test_of_two_nodes_that_keep_a_call_the_first_owner_uploads_it(tmp_path: Path) -> None:
    ports = [(free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)) for _ in range(2)]
    nodes = "".join(
        f'[[sipflow.nodes]]\nname = "n{n}"\nudp = "127.0.0.1:{udp}"\nhttp = "http://127.0.0.1:{http}"\n'
        for n, (udp, http) in enumerate(ports)
    )
    ids = [f"{n}@h" for n in range(6)]
    owners = {call_id: Placement(["n0", "n1"], 2).owners(call_id)[0] for call_id in ids}
    assert set(owners.values()) == {"n0", "n1"}
    with FormServer() as forms, ExitStack() as stack:
        servers = []
        for n in range(2):
            config = tmp_path / f"n{n}.toml"
            config.write_text(
                f'[sipflow]\nnode = "n{n}"\nreplicas = 2\n{nodes}[sipflow.upload]\ntype = "http"\n'
                f'url = "{forms.url}"\ncalls = true\nheaders = {{ Node = "n{n}" }}\n'
            )
            root = tmp_path / f"n{n}"
            options = ("--config", str(config), "--flush-interval", "1")
            server = stack.enter_context(RunningServer(root, *options, ports=ports[n]))
            server.until((root / ".upload/calls.db").exists, "following")
            servers.append(server)
        time.sleep(3)  # the first look takes nothing that has ended already
        for server in servers:
            for call_id in ids:
                server.send(*call(call_id, now_us() - 2_000_000))
        forms.until(forms=len(ids))
        time.sleep(4)  # longer than between two looks for ends
        assert {form.file.removesuffix(".wav"): form.headers["Node"] for form in forms.forms} == owners
        assert len(forms.forms) == len(ids)


# --- destinations ---


def test_objects_have_the_keys_of_rustpbx_and_are_whole(tmp_path: Path, upload: Upload, s3: S3Server) -> None:
    root = make_sample(tmp_path / "data")
    with uploading(root, upload) as (uploads, _, recordings):
        media = uploads.send(file_of("early-0", "media"))
        signaling = uploads.send(file_of("early-0", "signaling"))
        assert media.url == f"{s3.url}/{BUCKET}/{upload.root}/20260601/early-0.wav"
        stored = s3.directory / BUCKET / upload.root / "20260601"
        assert (stored / "early-0.wav").stat().st_size == media.octets
        octets = (stored / "early-0.wav").read_bytes()
        assert octets[octets.index(b"data") + 8 :].count(b"\xd5") > 200 * 160
        lines = (stored / "early-0.jsonl").read_bytes().split(b"\n")
        assert [json.loads(line)["seq"] for line in lines] == [0, 1, 2]
        assert signaling.octets == (stored / "early-0.jsonl").stat().st_size
        with pytest.raises(CallUnknown):
            uploads.send(file_of("none", "media"))
        del recordings


def test_names_are_harmless_and_never_shared(tmp_path: Path, upload: Upload, s3: S3Server) -> None:
    hostile = [
        "../../up",
        "a/b",
        "a%2Fb",
        "a\\b",
        "..",
        "\u00e9",
        "a b",
        "x" * 3000,
        "x" * 2999 + "y",
        "a#b?c*",
        "\x00\n",
    ]
    names = [name_of(call_id, JUNE_US, "media") for call_id in hostile]
    assert len({name.key for name in names}) == len(hostile)
    assert all(name.key.startswith("20260601/") and name.key.count("/") == 1 and len(name.file) < 256 for name in names)
    assert name_of("abc+1=/x@pbx:5060", JUNE_US, "signaling").file == "abc+1=%2Fx@pbx:5060.jsonl"
    with closing(open_target(upload)) as target:
        for name in names:
            target.put("media", name, io.BytesIO(b"wav"), 3)
    stored = s3.directory / BUCKET / upload.root / "20260601"
    assert sorted(path.name for path in stored.iterdir()) == sorted(name.file for name in names)


def test_pcm_of_one_rate_when_that_is_set(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "data")
    with FormServer() as forms:
        upload = Upload("http", url=forms.url, force_pcm=True, pcm_sample_rate=16_000)
        with uploading(root, upload) as (uploads, _, _recordings):
            uploads.send(file_of("early-0", "media"))
    with wave.open(io.BytesIO(forms.forms[0].octets)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16_000, 2, 2)
        assert sound.getnframes() == 4 * 16_000
        assert len(sound.readframes(10**6)) == 4 * 16_000 * 4


@pytest.mark.parametrize(
    ("answer", "url"),
    [(b" https://archive.example/7.wav\n", "https://archive.example/7.wav"), (b"stored", None), (b"http\x00\n", None)],
)
def test_the_server_of_a_form_may_name_the_url(answer: bytes, url: str | None) -> None:
    with FormServer() as forms:
        forms.answer = answer
        with closing(open_target(Upload("http", url=forms.url))) as target:
            found = target.put("media", name_of("a", JUNE_US, "media"), io.BytesIO(b"x"), 1)
    assert found == (url or forms.url.partition("?")[0])


@pytest.mark.parametrize("status", [500, 403, 302, 413])
def test_whatever_is_no_success_is_an_error_without_secrets(status: int) -> None:
    with FormServer() as forms:
        forms.refusals = [status]
        with closing(open_target(Upload("http", url=forms.url, headers=(("Authorization", SECRET),)))) as target:
            with pytest.raises(ArchiveError, match=f"answered {status}") as error:
                target.put("media", name_of("a", JUNE_US, "media"), io.BytesIO(b"x"), 1)
            assert SECRET not in str(error.value)
            assert "in-the-url" not in str(error.value)
    with (
        closing(open_target(Upload("http", url=forms.url))) as target,
        pytest.raises(ArchiveError, match="connection attempts failed") as error,
    ):
        target.put("media", name_of("a", JUNE_US, "media"), io.BytesIO(b"x"), 1)
    assert "in-the-url" not in str(error.value)


@pytest.mark.parametrize("fault", ["loris", "stall"])
def test_a_server_that_answers_an_octet_at_a_time_holds_no_place(fault: Fault) -> None:
    # Each octet comes in time, and all of them take half a minute.
    with FormServer() as forms, faulty_proxy(forms.url, lambda _method, _path: fault) as proxy:
        upload = Upload("http", url=f"{proxy.url}/rec", timeout_secs=1)
        with closing(open_target(upload)) as target:
            began = time.monotonic()
            with pytest.raises(ArchiveError, match=r"no answer in 1 s|ReadTimeout"):
                target.put("media", name_of("a", JUNE_US, "media"), io.BytesIO(b"x"), 1)
            assert time.monotonic() - began < 10


# --- the queue ---


def test_a_failure_is_tried_again_ever_later_and_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_sample(tmp_path / "data")
    clock = [now_us()]
    monkeypatch.setattr(call_upload, "now_us", lambda: clock[0])
    monkeypatch.setattr(probes, "now_us", lambda: clock[0])
    monkeypatch.setattr(call_upload, "GIVE_UP_US", 6 * 3600 * 1_000_000)
    tried: list[int] = []
    notes: list[str] = []
    with FormServer() as forms:
        forms.refusals = [500] * 10_000
        with uploading(root, Upload("http", url=forms.url)) as (uploads, history, _recordings):
            began_us = clock[0]
            assert "answered 500" in str(uploads.send_or_wait(file_of("early-0", "media")))
            while uploads.counts().waiting:
                refused = forms.refused
                uploads._turn()
                tried += [(clock[0] - began_us) // 1_000_000] * (forms.refused - refused)
                clock[0] += 1_000_000
                if len(tried) == 9 and not notes:
                    with Served(
                        build(history, SteadyRecorder(), Settings(http=Address("127.0.0.1", 0)), uploads)
                    ) as url:
                        notes = httpx.get(f"{url}/health", headers={"Accept": "application/json"}).json()["notes"]
            assert len(notes) == 1
            assert "uploads of calls wait: 1 files, the oldest since " in notes[0]
            assert uploads.counts().given_up == 1
            assert uploads.counts().failures == forms.refused - 1
    assert tried[:7] == [2, 4, 8, 16, 32, 64, 128]
    assert {later - sooner for sooner, later in pairwise(tried[10:])} == {900}
    assert 6 * 3600 < tried[-1] <= 6 * 3600 + 900


def test_a_queue_is_bounded_and_says_so(tmp_path: Path) -> None:
    tmp_path.joinpath("root").mkdir()
    with closing(UploadQueue(tmp_path / "root", most=2)) as queue:
        added = [queue.add(file_of(f"{n}", "media"), 1, 1) for n in (1, 1, 2, 3)]
        assert added == [True, True, True, False]
        assert (queue.room, queue.counts().waiting) == (0, 2)
    (tmp_path / "root/.upload/calls.db").write_bytes(b"\xa5" * 8192)
    with pytest.raises(StorageError, match=r"calls\.db"):
        UploadQueue(tmp_path / "root")


# --- POST /upload ---


@contextmanager
def served(root: Path, upload: Upload | None) -> Iterator[httpx.Client]:
    settings = Settings(http=Address("127.0.0.1", 0), upload=upload)
    if upload is None:
        with (
            closing(History.open(root)) as history,
            Served(build(history, SteadyRecorder(), settings)) as url,
            httpx.Client(base_url=url) as client,
        ):
            yield client
        return
    with (
        uploading(root, upload) as (uploads, history, _recordings),
        Served(build(history, SteadyRecorder(), settings, uploads)) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def test_a_request_uploads_to_the_configured_destination(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "data")
    with FormServer() as forms:
        place = {"type": "http", "url": forms.url, "headers": {"Authorization": SECRET}}
        upload = Upload("http", url=forms.url, headers=(("Authorization", SECRET),))
        with served(root, upload) as client:
            # As RustPBX asks: with its own copy of the settings, which is the same.
            asked = {
                "call_id": "early-0", "start": 1_780_272_600, "end": 1_780_272_601,
                "upload": {**place, "signaling": True, "media": True, "force_pcm": None, "pcm_sample_rate": 16000},
                "media_key": None, "signaling_key": None, "signaling_file_name": "named.jsonl",
            }  # fmt: skip
            answer = client.post("/upload", json=asked)
            assert answer.status_code == 200
            assert answer.json() == {
                "media_url": forms.url.partition("?")[0], "media_size": len(forms.forms[0].octets),
                "signaling_uploaded": True, "queued": False, "message": "",
            }  # fmt: skip
            assert [(form.part, form.file) for form in forms.forms] == [
                ("recording", "early-0.wav"), ("signaling", "named.jsonl")
            ]  # fmt: skip
            # All of the call, though `end` lies before its BYE.
            assert len(forms.forms[1].octets.split(b"\n")) == 3
            assert client.post("/upload", json={"call_id": "late-0"}).json()["signaling_uploaded"] is False
            assert client.post("/upload", json={"call_id": "none"}).status_code == 404
            forms.refusals = [500]
            later = client.post("/upload", json={"call_id": "late-0"})
            assert (later.status_code, later.json()["queued"], later.json()["media_url"]) == (202, True, None)
            assert "answered 500" in later.json()["message"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"url": "http://127.0.0.1:9/steal"}, "url"),
        ({"headers": {"Authorization": "Bearer other"}}, "headers"),
        ({"type": "s3", "vendor": "aws", "bucket": "mine", "access_key": "a", "secret_key": "b"}, "url"),
        ({"type": "ftp"}, "type"),
    ],
)
def test_another_destination_is_refused_and_nothing_is_sent(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    root = make_sample(tmp_path / "data")
    with FormServer() as forms:
        place = {"type": "http", "url": forms.url, "headers": {"Authorization": SECRET}}
        with served(root, Upload("http", url=forms.url, headers=(("Authorization", SECRET),))) as client:
            answer = client.post("/upload", json={"call_id": "early-0", "upload": {**place, **change}})
    assert answer.status_code == 403
    assert f"{named} is not what is configured here" in answer.json()["message"]
    assert SECRET not in answer.text
    assert (forms.forms, forms.refused) == ([], 0)


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("{root}/own/x.wav", 200), ("{root}/own/x.exe", 403), ("{root}/../x.wav", 403), ("other/x.wav", 403),
        ("{root}/pbx-1/2026/06/01/00/data.raw", 403), ("{root}//x.wav", 403),
    ],
)  # fmt: skip
def test_a_key_of_a_request_stays_under_the_root(
    tmp_path: Path, upload: Upload, s3: S3Server, key: str, status: int
) -> None:
    root = make_sample(tmp_path / "data")
    with served(root, upload) as client:
        answer = client.post("/upload", json={"call_id": "early-0", "media_key": key.replace("{root}", upload.root)})
    assert answer.status_code == status
    stored = [path.name for path in (s3.directory / BUCKET / upload.root).rglob("*") if path.is_file()]
    assert stored == (["x.wav"] if status == 200 else [])


def test_requests_that_are_none_are_refused(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "data")
    with FormServer() as forms, served(root, Upload("http", url=forms.url)) as client:
        typed = {"Content-Type": "application/json"}
        answers = [
            client.post("/upload", content=b"{}", headers={"Content-Type": "text/plain"}),
            client.post("/upload", content=b"{", headers=typed),
            client.post("/upload", content=b"{}", headers=typed),
            client.post("/upload", json={"call_id": ""}),
            client.post("/upload", json={"call_id": "early-0", "start": 1e300}),
            client.post("/upload", content=b" " * (2 << 20) + b"{}", headers=typed),
            client.get("/upload"),
        ]
    assert [answer.status_code for answer in answers] == [415, 400, 422, 422, 422, 413, 405]
    assert all(answer.json()["status"] == "error" for answer in answers)
    with served(root, None) as client:
        answer = client.post("/upload", json={"call_id": "early-0"})
    assert (answer.status_code, "[sipflow.upload]" in answer.json()["message"]) == (403, True)


def test_uploads_go_on_beside_each_other(tmp_path: Path, upload: Upload, s3: S3Server) -> None:
    root = make_sample(tmp_path / "data", hours=3)
    with uploading(root, upload) as (uploads, _, _recordings):
        names = [f"{name}-{hour}" for name in ("early", "late") for hour in range(3)]
        threads = [threading.Thread(target=uploads.send_or_wait, args=(file_of(name, "media"),)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert uploads.counts().media == 6
    assert len(list((s3.directory / BUCKET / upload.root).rglob("*.wav"))) == 6
