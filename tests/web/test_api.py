"""The HTTP API: RustPBX's names with honest status codes, and /api/v1, byte by byte."""

import io
import struct
import wave
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from memory_history import T0_US, MemoryHistory, Served, SteadyRecorder, sip
from sipflow.config import Address, Settings
from sipflow.errors import StorageError
from sipflow.query.answer import Fault
from sipflow.web.app import build
from sipflow.wire.endpoint import Endpoint

ODD_IDS = ["a/b@h", "a/flow", "x+y&z#q?=%20 é\"'@[::1]", "media.wav", "..", "\x01\n\u202e", "a%2Fb"]


class Serving(NamedTuple):
    """One server for all tests of this file, and what it answers from."""

    history: MemoryHistory
    recorder: SteadyRecorder
    client: httpx.Client


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    history, recorder = MemoryHistory(), SteadyRecorder()
    app = build(history, recorder, Settings(http=Address("127.0.0.1", 0)))
    with Served(app) as url, httpx.Client(base_url=url) as client:
        yield Serving(history, recorder, client)


@pytest.fixture
def history(serving: Serving) -> MemoryHistory:
    serving.history.clear()
    return serving.history


@pytest.fixture
def recorder(serving: Serving) -> SteadyRecorder:
    serving.recorder.clear()
    return serving.recorder


@pytest.fixture
def client(serving: Serving, history: MemoryHistory, recorder: SteadyRecorder) -> httpx.Client:
    return serving.client


def refused(answer: httpx.Response, code: int) -> str:
    assert answer.status_code == code, answer.text
    body = answer.json()
    assert body["status"] == "error"
    assert set(body) == {"status", "message"}
    return str(body["message"])


class TestFlow:
    def test_has_the_members_of_the_contract(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add("abc@h", 0, b"OPTIONS sip:h SIP/2.0\r\nCall-ID: abc@h\r\n\r\n\xff", Endpoint("2001:db8::1", 5060))
        body = client.get("/flow", params={"callid": "abc@h"}).json()
        assert (body["status"], body["callid"], body["partial"], body["faults"]) == ("success", "abc@h", False, [])
        assert body["flow"] == [
            {
                "timestamp": T0_US,
                "seq": 0,
                "leg": None,
                "msg_type": "Sip",
                "src_addr": "2001:db8::1:5060",
                "dst_addr": "192.0.2.2:5060",
                "payload": "OPTIONS sip:h SIP/2.0\r\nCall-ID: abc@h\r\n\r\n\ufffd",
            }
        ]

    def test_without_a_window_is_all_history(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("old", -20 * 365 * 86_400_000_000)
        assert len(client.get("/flow?callid=old").json()["flow"]) == 2

    @pytest.mark.parametrize(
        ("start", "end", "seen"),
        [
            ("1753000000", "1753000000", 1),  # the whole second, sub-second part included
            ("1753000001", "1753000001", 1),
            ("1753000000", "1753000001", 2),
            ("1753000000123", "1753000000123", 1),  # the whole millisecond
            ("1753000000123456", "1753000000123456", 1),
            ("1753000000123457", "1753000001123455", 0),
            ("2025-07-20T08:26:40Z", "2025-07-20T08:26:40Z", 1),
            ("2025-07-20T10:26:40+02:00", "2025-07-20T10:26:41+02:00", 2),
            ("2025-07-20 08:26:40Z", "", 2),
            ("", "1752999999", 0),
        ],
    )
    def test_window_bounds_are_inclusive(
        self, client: httpx.Client, history: MemoryHistory, start: str, end: str, seen: int
    ) -> None:
        history.add_call("w")
        # RustPBX pastes its parameters unescaped.
        body = client.get(f"/flow?callid=w&start={start.replace(' ', '+')}&end={end}").json()
        assert len(body["flow"]) == seen

    @pytest.mark.parametrize("value", ["yesterday", "2025-07-20", "99999999999999999999", "1e9", "٣"])
    def test_a_time_that_cannot_be_read_is_400_and_says_what_can(self, client: httpx.Client, value: str) -> None:
        message = refused(client.get("/flow", params={"callid": "x", "start": value}), 400)
        assert message.startswith("start: not a time")
        assert "RFC 3339" in message

    def test_an_end_before_the_start_is_400(self, client: httpx.Client) -> None:
        assert "the earlier one first" in refused(client.get("/flow?callid=x&start=2&end=1"), 400)

    def test_a_missing_callid_is_400(self, client: httpx.Client) -> None:
        for path in ("/flow", "/flow?callid=", "/media", "/diag"):
            assert refused(client.get(path), 400) == "Missing 'callid' query parameter"

    def test_nothing_stored_is_an_empty_success(self, client: httpx.Client) -> None:
        answer = client.get("/flow?callid=nobody")
        assert answer.status_code == 200
        assert answer.json()["flow"] == []

    def test_a_plus_in_a_call_id_is_found_escaped_or_not(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("a+b@h")
        history.add_call("c d")
        for query in ("a+b@h", "a%2Bb@h", "c+d", "c%20d"):
            assert len(client.get(f"/flow?callid={query}").json()["flow"]) == 2, query

    def test_the_last_of_repeated_parameters_counts(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("two")
        assert client.get("/flow?callid=one&callid=two").json()["callid"] == "two"

    def test_what_could_not_be_read_is_named(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("p")
        history.faults = [Fault("2025/07/20/08", "block at octet 7: checksum")]
        body = client.get("/flow?callid=p").json()
        assert (body["partial"], len(body["flow"])) == (True, 2)
        assert body["faults"] == [{"where": "2025/07/20/08", "what": "block at octet 7: checksum"}]

    def test_an_error_is_never_an_empty_success(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.faults = [Fault("2025/07/20/08", "database disk image is malformed")]
        assert "malformed" in refused(client.get("/flow?callid=p"), 503)
        history.broken = StorageError("open", "/data/catalog.db", "disk I/O error")
        for path in ("/flow?callid=p", "/media?callid=p", "/media?callid=p&stats=1", "/diag?callid=p", "/api/v1/calls"):
            assert "disk I/O error" in refused(client.get(path), 503)


class TestMedia:
    def test_is_a_wav_of_both_legs(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("m")
        history.add_audio("m", 0)
        history.add_audio("m", 1)
        answer = client.get("/media?callid=m&format=pcm")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
        assert int(answer.headers["content-length"]) == len(answer.content)
        with wave.open(io.BytesIO(answer.content)) as wav:
            assert (wav.getnchannels(), wav.getnframes()) == (2, 16000)
            left, right = struct.unpack("<hh", wav.readframes(1))
        assert left != right
        with wave.open(io.BytesIO(client.get("/media?callid=m&leg=1").content)) as wav:
            assert (wav.getnchannels(), struct.unpack("<h", wav.readframes(1))[0]) == (1, right)

    def test_any_range_is_that_part_of_the_whole(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_audio("r")
        whole = client.get("/media?callid=r")
        octets, size = whole.content, len(whole.content)
        assert whole.headers["accept-ranges"] == "bytes"
        for wanted, part in (
            ("bytes=0-0", octets[:1]), ("bytes=40-99", octets[40:100]), ("bytes=1001-", octets[1001:]),
            ("bytes=-7", octets[-7:]), (f"bytes=0-{size + 9}", octets), (f"bytes=-{size + 9}", octets),
        ):  # fmt: skip
            answer = client.get("/media?callid=r", headers={"Range": wanted})
            assert (answer.status_code, answer.content) == (206, part), wanted
            start = octets.index(part) if part is octets else size - len(part) if wanted[6] == "-" else None
            if start is not None:
                assert answer.headers["content-range"] == f"bytes {start}-{size - 1}/{size}"
            assert int(answer.headers["content-length"]) == len(part)

    def test_a_range_outside_is_416_and_a_strange_one_is_the_whole(
        self, client: httpx.Client, history: MemoryHistory
    ) -> None:
        history.add_audio("r")
        size = len(client.get("/media?callid=r").content)
        for wanted in (f"bytes={size}-", "bytes=9-3", "bytes=-0", f"bytes={'9' * 5000}-"):
            answer = client.get("/media?callid=r", headers={"Range": wanted})
            refused(answer, 416)
            assert answer.headers["content-range"] == f"bytes */{size}"
        for wanted in ("bytes=0-1,5-6", "seconds=1-2", "bytes=-", "bytes=a-b"):
            assert client.get("/media?callid=r", headers={"Range": wanted}).status_code == 200

    def test_a_range_of_a_file_that_grew_is_not_glued_to_the_old_one(
        self, client: httpx.Client, history: MemoryHistory
    ) -> None:
        history.add_audio("g", packets=50)
        tag = client.get("/media?callid=g").headers["etag"]
        wanted = {"Range": "bytes=10-19", "If-Range": tag}
        assert client.get("/media?callid=g", headers=wanted).status_code == 206
        history.add_audio("g", leg=1, packets=100)
        assert client.get("/media?callid=g", headers=wanted).status_code == 200

    def test_head_tells_the_length_without_a_body(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_audio("h")
        answer = client.head("/media?callid=h")
        assert answer.content == b""
        assert int(answer.headers["content-length"]) == len(client.get("/media?callid=h").content)

    @pytest.mark.parametrize("call_id", ODD_IDS)
    def test_any_call_id_makes_a_safe_file_name(
        self, client: httpx.Client, history: MemoryHistory, call_id: str
    ) -> None:
        history.add_audio(call_id)
        answer = client.get("/media", params={"callid": call_id})
        assert answer.status_code == 200
        value = answer.headers["content-disposition"]
        assert value.isascii()
        assert value.isprintable()
        name = value.split('filename="')[1].split('"')[0]
        assert name.endswith(".wav")
        assert not set(name) & set('/\\%;" ')
        assert not name.startswith(".")

    def test_nothing_to_play_is_404_and_says_why(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("s")
        assert "only SIP" in refused(client.get("/media?callid=s"), 404)
        assert "no packet of call 'none'" in refused(client.get("/media?callid=none"), 404)
        history.add_audio("s")
        assert "no RTP of leg 1" in refused(client.get("/media?callid=s&leg=1"), 404)
        assert "leg: found '2'" in refused(client.get("/media?callid=s&leg=2"), 400)

    def test_audio_that_could_not_be_read_is_not_called_absent(
        self, client: httpx.Client, history: MemoryHistory
    ) -> None:
        history.faults = [Fault("2025/07/20/08", "gone")]
        refused(client.get("/media?callid=x"), 503)
        refused(client.get("/media?callid=x&stats=1"), 503)

    def test_stats_have_the_members_of_the_contract(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_audio("s", packets=97, missing=3)
        body = client.get("/media?callid=s&stats=TRUE").json()
        assert body["status"] == "success"
        (stream,) = body["stats"]
        jitter = stream.pop("jitter_ms")
        assert jitter == pytest.approx(0)
        assert stream == {
            "leg": 0, "src": "0.0.0.0:0", "packet_count": 97, "lost_packets": 3, "expected_packets": 100,
            "loss_percent": 3.0, "ssrc": 0xCAFEBABE, "payload_type": 0, "clock_rate": 8000,
        }  # fmt: skip
        assert client.get("/media?callid=none&stats=1").json()["stats"] == []


class TestDiag:
    def test_tells_pauses_from_jumps(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("d")
        history.add_audio("d", 0, packets=100)
        history.add_audio("d", 1, packets=50, missing=100)
        body = client.get("/diag?callid=d").json()
        assert (body["found"], body["sip_count"], body["rtp_streams_count"]) == (True, 2, 2)
        assert body["sip_flow"][0]["message"] == "INVITE sip:bob@example.org"
        assert body["sip_flow"][1]["message"] == "200 OK"
        assert body["sip_flow"][0]["time"] == "2025-07-20T08:26:40.123456Z"
        assert body["duration_secs"] == pytest.approx(1 + 149 * 0.02)
        caller, callee = body["rtp_detail"]["legs"]
        assert (caller["label"], callee["label"]) == ("Caller (Leg A)", "Callee (Leg B)")
        assert callee["gaps_over_1s"] == [{"time_secs": pytest.approx(1 + 48 * 0.02), "gap_ms": 2020.0}]
        assert callee["ts_jumps"] == []
        assert body["rtp_detail"]["total_lost"] == 100
        assert body["rtp_detail"]["payload_map"] == {"0": ["PCMU", 8000]}
        assert body["rtp_detail"]["cross_leg"]["buckets"] == [
            {"time_start": 0.0, "time_end": 10.0, "leg0_packets": 100, "leg1_packets": 50}
        ]

    def test_signalling_alone_and_media_alone_are_found(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("sip-only")
        history.add_audio("rtp-only")
        assert client.get("/diag?callid=sip-only").json()["rtp_detail"]["legs"] == []
        assert client.get("/diag?callid=rtp-only").json()["sip_count"] == 0

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ("start=20250720&end=20250720082640", 1),
            ("start=20250720082641", 1),
            ("start=20250721", 0),
            ("start=@1753000001&end=@1753000001", 1),
            ("start=1753000000&end=1753000001", 2),
        ],
    )
    def test_takes_the_times_only_diag_knows(
        self, client: httpx.Client, history: MemoryHistory, query: str, count: int
    ) -> None:
        history.add_call("t")
        assert client.get(f"/diag?callid=t&{query}").json().get("sip_count", 0) == count

    def test_a_day_that_does_not_exist_is_400(self, client: httpx.Client) -> None:
        assert "not a time" in refused(client.get("/diag?callid=t&start=20250732"), 400)

    def test_nothing_is_found_false(self, client: httpx.Client) -> None:
        body = client.get("/diag?callid=none").json()
        assert (body["status"], body["found"]) == ("success", False)


class TestProbes:
    def test_health_is_ok_or_503_with_reasons(self, client: httpx.Client, recorder: SteadyRecorder) -> None:
        answer = client.get("/health")
        assert (answer.status_code, answer.text) == (200, "OK")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        recorder.state = msgspec.structs.replace(recorder.state, faults=["data.raw: No space left on device"])
        answer = client.get("/health", headers={"Accept": "application/json"})
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["data.raw: No space left on device"]
        silent = recorder.state.heartbeat_us - 11_000_000
        recorder.state = msgspec.structs.replace(recorder.state, faults=[], heartbeat_us=silent)
        assert "no sign of life" in client.get("/health").text
        recorder.broken = StorageError("read", "/dev/shm/x", "gone")
        assert client.get("/health").status_code == 503

    def test_report_counts_packets_of_a_client(self, client: httpx.Client, recorder: SteadyRecorder) -> None:
        recorder.clients = {848911921: 99950, 0: 3}
        answer = client.post("/report", json={"client_id": 848911921, "sent_count": 100000})
        assert answer.json() == {"status": "success", "client_id": 848911921, "packets_received": 99950}
        assert client.post("/report", json={"client_id": 5}).json()["packets_received"] == 0
        assert client.post("/report", json={"client_id": (1 << 32) + 5}).json()["client_id"] == 5
        assert client.post("/report", json={"client_id": "x"}).json()["client_id"] == 0
        assert "not JSON" in refused(client.post("/report", content=b"{"), 400)
        refused(client.post("/report", content=b" " * 100_000), 400)
        refused(client.get("/report"), 405)

    def test_metrics_are_whole_lines_that_prometheus_reads(
        self, client: httpx.Client, recorder: SteadyRecorder
    ) -> None:
        recorder.state = msgspec.structs.replace(
            recorder.state,
            counters={"packets_sip": 2, "packets_rtp": 10_000_000, "stored_rtp": 9_999_999, "flush_rows_rtp": 12},
            rejected={"bad_magic": 4, 'od"d\\': 1},
            dropped={"pool_full": 3},
        )
        answer = client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = answer.text.splitlines()
        for line in (
            'sipflow_packets_received_total{component="sipflow"} 10000002',
            'sipflow_items_recorded_total{component="sipflow"} 9999999',
            'sipflow_items_dropped_total{component="sipflow"} 3',
            'sipflow_flush_rows_total{component="sipflow",type="rtp"} 12',
            'sipflow_flush_rows_total{component="sipflow",type="sip"} 0',
            'sipflow_rejected_total{component="sipflow",reason="bad_magic"} 4',
        ):
            assert line in lines
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        assert {sample.labels["reason"] for sample in families["sipflow_rejected"].samples} == {"bad_magic", 'od"d\\'}
        recorder.broken = StorageError("read", "/dev/shm/x", "gone")
        assert client.get("/metrics").status_code == 503


class TestCalls:
    def test_are_listed_newest_first_page_by_page(self, client: httpx.Client, history: MemoryHistory) -> None:
        for number in range(5):
            history.add_call(f"c{number}", number * 10_000_000)
        seen: list[str] = []
        after = ""
        while True:
            body = client.get("/api/v1/calls", params={"limit": 2, "after": after}).json()
            seen += [call["call_id"] for call in body["calls"]]
            if body["next"] is None:
                break
            after = body["next"]
        assert seen == ["c4", "c3", "c2", "c1", "c0"]

    def test_are_found_by_user_status_and_time(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("ok", 0)
        history.add_call("busy", 10_000_000, 486)

        def found(**asked: str) -> list[str]:
            return [call["call_id"] for call in client.get("/api/v1/calls", params=asked).json()["calls"]]

        assert found(status="4xx") == found(status="486") == found(status="failed") == ["busy"]
        assert found(user="ali*") == ["busy", "ok"]
        assert found(user="carol") == []
        assert found(until="2025-07-20T08:26:40Z") == ["ok"]
        assert found(since="1753000010") == ["busy"]
        assert found(call_id="ok") == ["ok"]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("limit=0", "limit: found '0'; allowed: 1 to 1000"),
            ("limit=1001", "limit"),
            ("limit=x", "limit"),
            ("status=7xx", "status: found '7xx'; allowed: a code (486), a class (4xx) or trying"),
            ("after=!", "after"),
            ("stauts=486", "stauts: found an unknown parameter; allowed: status (did you mean that?)"),
            ("since=then", "since: not a time"),
        ],
    )
    def test_a_wrong_search_is_400(self, client: httpx.Client, query: str, expected: str) -> None:
        assert refused(client.get(f"/api/v1/calls?{query}"), 400).startswith(expected)

    @pytest.mark.parametrize("call_id", ODD_IDS)
    def test_any_call_id_has_its_own_address(self, client: httpx.Client, history: MemoryHistory, call_id: str) -> None:
        history.add(call_id, 0, sip("any", "INVITE sip:bob@example.org SIP/2.0", "1 INVITE"))
        history.add_audio(call_id)
        base = "/api/v1/calls/" + quote(call_id, safe="").replace(".", "%2E")
        body = client.get(base).json()
        assert body["call"]["call_id"] == call_id
        assert body["lanes"] == ["192.0.2.1:5060", "192.0.2.2:5060"]
        assert [message["label"] for message in body["messages"]] == ["INVITE"]
        assert [stream["codec"] for stream in body["streams"]] == ["PCMU"]
        assert client.get(base + "/flow").json()["call_id"] == call_id
        answer = client.get(base + "/media.wav")
        assert answer.content == client.get("/media", params={"callid": call_id}).content
        assert answer.content[:4] == b"RIFF"

    def test_an_unescaped_slash_is_understood(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("a/b@h")
        assert client.get("/api/v1/calls/a/b@h/flow").json()["call_id"] == "a/b@h"

    def test_unknown_calls_are_404(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("known")
        for path in ("/api/v1/calls/none", "/api/v1/calls/none/flow", "/api/v1/calls/none/media.wav"):
            assert refused(client.get(path), 404) == "no packet of call 'none' is stored here"
        assert client.get("/api/v1/calls/known/flow?until=1").json()["messages"] == []
        refused(client.get("/api/v1/calls/"), 400)


def test_unknown_pages_and_methods_have_the_same_shape(client: httpx.Client) -> None:
    assert refused(client.get("/debug/raw?path=/etc/passwd"), 404) == "no such page: /debug/raw"
    assert refused(client.delete("/flow"), 405) == "DELETE is not allowed here"


def test_our_own_mistakes_tell_nothing_of_our_insides(client: httpx.Client, history: MemoryHistory) -> None:
    history.messages = None  # type: ignore[assignment]  # the break is the test
    assert refused(client.get("/flow?callid=x"), 500) == "internal error; the server's log says more"
