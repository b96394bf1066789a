"""The console's answers without a browser: headers, sign-in, JSON twins, files, and that hostile text stays text."""

import csv
import io
import json
import re
import threading
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest

from memory_history import T0_US, MemoryHistory, Served, SteadyRecorder, sip
from sipflow.archive.state import ArchiveState, Lag, write_state
from sipflow.clock import monotonic_us, now_us
from sipflow.config import Address, Alias, Retention, Settings
from sipflow.destination import HOUR_US, Upload
from sipflow.errors import StorageError
from sipflow.web.app import build
from sipflow.web.console.export import as_csv
from sipflow.web.console.rates import RateMeter
from sipflow.web.console.reasons import REASONS
from sipflow.web.console.static_files import STATIC
from sipflow.web.console.urls import Urls
from sipflow.web.console.wording import DASH, count, duration, one_line, size
from sipflow.web.session import COOKIE, LIFETIME_S, Session
from sipflow.web.status import RecorderSnapshot, Source

TOKEN = "0123456789abcdef-secret"
PAGE = {"Accept": "text/html"}
SCRIPT = "<script>window.pwned=1</script>"


class Serving(NamedTuple):
    """One console, and what it shows."""

    history: MemoryHistory
    recorder: SteadyRecorder
    client: httpx.Client


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    history, recorder = MemoryHistory(), SteadyRecorder()
    settings = Settings(
        http=Address("127.0.0.1", 0), root=Path("/nowhere/to/be/found"), token=TOKEN,
        retention=Retention(sip_age=86_400_000_000), aliases=(Alias("192.0.2.1", "edge"),),
    )  # fmt: skip
    with Served(build(history, recorder, settings)) as url, httpx.Client(base_url=url) as client:
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


def card(client: httpx.Client, name: str) -> str:
    """Read the words of a part of the first screen, as its refreshing asks for it."""
    page = client.get("/?part", headers=PAGE).text
    found = re.search(rf'<section [^>]*data-live="{name}".*?</section>', page, re.DOTALL)
    assert found is not None, page
    return " ".join(unescape(re.sub("<[^>]+>", " ", found[0])).split())


PAGES = ("/", "/calls", "/nodes", "/settings", "/nothing")


class TestPages:
    @pytest.mark.parametrize("path", PAGES)
    def test_every_page_lets_nothing_in_from_outside(self, client: httpx.Client, path: str) -> None:
        answer = client.get(path, headers=PAGE)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        # What the policy would stop is not written in the first place.
        assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son\w+=|https?://(?!127\.0\.0\.1)", answer.text)

    def test_files_of_the_console_are_kept_for_ever_under_their_content(self, client: httpx.Client) -> None:
        for name in sorted(path.name for path in STATIC.iterdir()):
            answer = client.get(Urls().static(name))
            assert answer.status_code == 200, name
            assert "immutable" in answer.headers["Cache-Control"]
            again = client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status_code, again.headers["Cache-Control"]) == (304, "no-cache")
        assert client.get("/static/base.html").status_code == 400
        assert client.get("/static/..%2f__init__.py").status_code in (400, 404, 307)

    def test_a_page_asks_at_once_for_every_module_under_the_address_it_is_imported_by(
        self, client: httpx.Client
    ) -> None:
        page = client.get("/calls", headers=PAGE).text
        modules = re.findall(r'<script type="module" src="([^"]+)"', page)
        preloaded = re.findall(r'<link rel="modulepreload" href="([^"]+)"', page)
        assert [one.partition("?")[0] for one in modules] == ["/static/shell.js", "/static/calls.js"]
        wanted, found = [*modules], set(modules)
        while wanted:
            for name in re.findall(r'^import .*"\.(/[^"]+)";$', client.get(wanted.pop()).text, re.MULTILINE):
                wanted += [] if f"/static{name}" in found else [f"/static{name}"]
                found.add(f"/static{name}")
        assert set(preloaded) == found - set(modules)
        assert len(preloaded) > 5
        assert all(re.search(r"\?v=[0-9a-f]{12}$", one) for one in found)

    def test_an_error_is_a_page_for_people_and_json_for_programs(self, client: httpx.Client) -> None:
        page = client.get("/nothing", headers=PAGE)
        assert (page.status_code, "no such page: /nothing" in page.text) == (404, True)
        assert client.get("/nothing").json() == {"status": "error", "message": "no such page: /nothing"}

    def test_a_history_that_cannot_be_read_is_said(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.broken = StorageError("read", "/data/<x>", "Input/output error")
        answer = client.get("/calls", headers=PAGE)
        assert answer.status_code == 503
        assert "/data/&lt;x&gt;" in answer.text

    def test_hostile_text_stays_text(self, client: httpx.Client, history: MemoryHistory) -> None:
        text = sip(f"id-{SCRIPT}", f"INVITE sip:{SCRIPT}@h SIP/2.0", "1 INVITE").decode()
        text = text.replace("sip:alice@", f"sip:{SCRIPT}@").replace("CSeq:", f"User-Agent: {SCRIPT}\r\nCSeq:")
        history.add(f"id-{SCRIPT}", now_us() - T0_US, text.encode())
        time.sleep(1.1)  # the first screen lists calls once a second
        for path in ("/", "/calls", f"/calls?q={SCRIPT}", f"/{SCRIPT}", f"/calls?{SCRIPT}=1", f"/calls?q=x:{SCRIPT}"):
            answer = client.get(path, headers=PAGE)
            assert SCRIPT not in answer.text, path
            assert "pwned" in answer.text, path

    def test_marks_that_turn_text_round_are_shown_as_such(self) -> None:
        assert one_line("a\u202eb\r\n\x07") == "a\ufffdb\u240d\u240a\u2407"


def metric(text: str, name: str) -> int:
    """Read the value of a metric that has one."""
    (value,) = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\d+)$", text, re.MULTILINE)
    return int(value)


class TestNow:
    def test_the_twin_says_the_same(self, client: httpx.Client, recorder: SteadyRecorder) -> None:
        recorder.state = RecorderSnapshot(
            "0.1.0", 7, now_us() - 5_000_000, monotonic_us(),
            {"packets_sip": 3, "packets_rtp": 40, "datagrams": 50, "stored_sip": 3, "kernel_drops": 2},
            {"bad_magic": 5, "truncated": 0}, {"pool_full_rtp": 7}, listening=["udp 127.0.0.1:3000"],
            sources=[Source("192.0.2.7", 50, 9000, 3, 40, 5, now_us() - 2_000_000)],
        )  # fmt: skip
        told = client.get("/api/v1/now").json()
        assert (told["sip"], told["rtp"], told["arriving"], told["status"]) == (3, 40, True, "ok")
        assert [(one["reason"], one["count"]) for one in told["drops"]] == [
            ("pool_full_rtp", 7), ("bad_magic", 5), ("kernel", 2),
        ]  # fmt: skip
        page = client.get("/", headers=PAGE).text
        assert "192.0.2.7" in page
        assert "RTP for which the pool had no room" in page
        assert "Why nothing arrives" not in page

    def test_says_nothing_of_an_archive_or_nodes_that_there_are_not(self, client: httpx.Client) -> None:
        told = client.get("/api/v1/now").json()
        assert (told["archive"], told["nodes"]) == (None, [])
        page = client.get("/", headers=PAGE).text
        assert 'data-live="archive"' not in page
        assert 'data-live="nodes"' not in page

    def test_tells_whether_the_archive_keeps_up(self, tmp_path: Path) -> None:
        settings = Settings(
            root=tmp_path, upload=Upload("s3", bucket="calls", root="pbx"), http=Address("127.0.0.1", 0)
        )
        with Served(build(MemoryHistory(), SteadyRecorder(), settings)) as url, httpx.Client(base_url=url) as client:
            assert card(client, "archive").startswith("Archive not begun the archiver has not begun yet Place s3://")
            fresh = ArchiveState("s3://calls/pbx", updated_us=now_us(), archived_parts=4)
            write_state(tmp_path, fresh)
            assert card(client, "archive") == "Archive keeps up Place s3://calls/pbx Waiting nothing"
            waiting = msgspec.structs.replace(fresh, parts=2, octets=3_400_000, oldest_us=T0_US)
            write_state(tmp_path, waiting)
            assert card(client, "archive") == (
                "Archive sending Place s3://calls/pbx Waiting 2 parts, 3.4 MB, the oldest from 2025-07-20 08:26:40"
            )
            slow = msgspec.structs.replace(
                waiting, lag=Lag.FALLING_BEHIND, waiting_us=now_us() - 5 * HOUR_US - 60_000_000
            )
            write_state(tmp_path, slow)
            said = (
                "archiving to s3://calls/pbx is falling behind: 2 parts (3.4MB) wait here, the first of them for 5.0 h"
            )
            assert card(client, "archive").startswith(f"Archive falling behind {said} Place s3://calls/pbx Waiting 2")
            health = client.get("/health", headers={"Accept": "application/json"})
            assert (health.status_code, health.json()["notes"]) == (200, [said])
            metrics = client.get("/metrics").text
            assert metric(metrics, "sipflow_archive_behind") == 1
            assert metric(metrics, "sipflow_archive_waiting_since_seconds") == (slow.waiting_us or 0) // 1_000_000
            write_state(tmp_path, msgspec.structs.replace(slow, lag=Lag.CATCHING_UP))
            assert card(client, "archive").startswith(
                "Archive catching up archiving to s3://calls/pbx is catching up: 2"
            )
            assert metric(client.get("/metrics").text, "sipflow_archive_behind") == 0
            write_state(tmp_path, msgspec.structs.replace(waiting, error=f"AccessDenied {SCRIPT}"))
            told = client.get("/api/v1/now").json()["archive"]
            assert (told["pace"], told["where"], told["parts"]) == ("failing", "s3://calls/pbx", 2)
            assert told["oldest_us"] == T0_US
            health = client.get("/health", headers={"Accept": "application/json"}).json()
            assert told["notes"] == health["notes"]
            text = card(client, "archive")
            assert text.startswith("Archive failing AccessDenied <script>window.pwned=1</script>; 2 parts (")
            assert SCRIPT not in client.get("/", headers=PAGE).text

    def test_why_nothing_arrives(self, client: httpx.Client, recorder: SteadyRecorder) -> None:
        assert "Not one datagram" in client.get("/api/v1/now").json()["why"][0]
        recorder.state = RecorderSnapshot(
            "0.1.0", 7, 1, monotonic_us(), {"datagrams": 9}, {"foreign_source": 9}
        )  # fmt: skip
        told = client.get("/api/v1/now").json()
        assert "none of them could be used: senders outside `allow`" in told["why"][0]
        assert "allow" in told["why"][1]

    def test_the_lines_for_senders_name_where_hep_is_taken(
        self, client: httpx.Client, recorder: SteadyRecorder
    ) -> None:
        recorder.state = RecorderSnapshot(
            "0.1.0", 7, 1, monotonic_us(), listening=["udp 0.0.0.0:3000", "hep [::]:9061", "hep-tcp 0.0.0.0:9999"]
        )  # fmt: skip
        page = unescape(client.get("/", headers=PAGE).text)
        for line in (
            'modparam("siptrace", "duplicate_uri", "sip:127.0.0.1:9061")',
            "[sipflow] 127.0.0.1:9061; transport=udp; version=3",
            'value="udp:127.0.0.1:9061;hep=3;capture_id=100"',
            "capture_address = 127.0.0.1:9061",
        ):
            assert line in page
        recorder.state = RecorderSnapshot("0.1.0", 7, 1, monotonic_us(), listening=["udp 0.0.0.0:3000"])
        page = unescape(client.get("/", headers=PAGE).text)
        assert "siptrace" not in page
        assert 'hep = "0.0.0.0:9060"' in page

    def test_every_reason_of_refusal_is_explained(self) -> None:
        source = (Path(__file__).parents[2] / "src" / "sipflow" / "_fast" / "status.c").read_text("utf-8")
        words = set(re.findall(r'= "(\w+)"', source)) - {"ok"}
        assert words <= REASONS.keys()

    def test_a_recorder_that_is_gone_or_silent_is_not_well(
        self, client: httpx.Client, recorder: SteadyRecorder
    ) -> None:
        recorder.broken = StorageError("read", "pool", "there is none")
        assert "cannot be read" in client.get("/api/v1/now").json()["reasons"][0]
        recorder.clear()
        recorder.state = RecorderSnapshot("0.1.0", 7, 1, monotonic_us() - 30_000_000)
        assert "no sign of life for 30 s" in client.get("/api/v1/now").json()["reasons"][0]

    def test_rates_are_of_the_last_seconds(self) -> None:
        counter = {"n": 0}
        meter = RateMeter(lambda: dict(counter))
        timer = threading.Timer(0.1, lambda: counter.update(n=300))
        timer.start()
        first = meter.rates()["n"]
        assert 500 < first <= 1000  # 300 in the 0.3 s that it waited
        counter["n"] = 0
        assert meter.rates()["n"] == 0  # a new recorder began anew


class TestCalls:
    def test_a_form_leads_to_the_address_of_its_search(self, client: httpx.Client) -> None:
        answer = client.get("/calls?from=alice&status=4xx&text=a+b&mos=3.5&last=1h&since=&until=2026-06-01T08:00")
        assert answer.status_code == 303
        assert answer.headers["Location"] == (
            "/calls?q=from%3Aalice+status%3A4xx+text%3A%22a+b%22+mos%3C3.5+since%3A1h+until%3A2026-06-01T08%3A00Z"
        )

    def test_a_search_that_cannot_be_read_is_400_and_kept_in_the_box(self, client: httpx.Client) -> None:
        answer = client.get("/calls?q=statsu:486", headers=PAGE)
        assert answer.status_code == 400
        assert 'value="statsu:486"' in answer.text
        assert "status (did you mean that?)" in answer.text
        assert client.get("/calls.csv?q=statsu:486").status_code == 400
        assert client.get("/calls.tail?q=statsu:486").status_code == 400
        assert client.get("/calls?after=%21&q=").status_code == 400

    def test_files_hold_every_page(self, client: httpx.Client, history: MemoryHistory) -> None:
        for n in range(1203):
            history.add(f"c{n}", n, sip(f"c{n}", "OPTIONS sip:h SIP/2.0", "1 OPTIONS"))
        lines = client.get("/calls.jsonl").text.splitlines()
        assert [json.loads(line)["call_id"] for line in lines] == [f"c{n}" for n in reversed(range(1203))]
        answer = client.get("/calls.csv")
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert (rows[0][:2], len(rows)) == (["call_id", "first"], 1204)
        assert rows[1][1] == "2025-07-20T08:26:40.124658Z"
        assert 'filename="calls.csv"' in answer.headers["Content-Disposition"]

    def test_a_spreadsheet_takes_nothing_for_a_formula(self, history: MemoryHistory) -> None:
        history.add_call("=cmd|' /C calc'!A0")
        history.add_call("+4930123")
        history.add_call("-2+3")
        text = b"".join(as_csv(iter([history.call(one) for one in ("=cmd|' /C calc'!A0", "+4930123", "-2+3")])))
        assert [row[0] for row in csv.reader(io.StringIO(text.decode()))][1:] == [
            "'=cmd|' /C calc'!A0", "+4930123", "'-2+3",
        ]  # fmt: skip

    def test_a_pasted_call_id_is_found_alone(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add_call("a84b4c76e66710@pc33")
        history.add_call("other")
        page = client.get("/calls?q=a84b4c76e66710@pc33", headers=PAGE).text
        assert page.count("<tr data-line") == 1

    def test_the_tail_gives_what_is_new_and_what_has_changed(
        self, client: httpx.Client, history: MemoryHistory
    ) -> None:
        history.add("live", 0, sip("live", "INVITE sip:bob@example.org SIP/2.0", "1 INVITE"))
        seen: list[dict[str, object]] = []
        with client.stream("GET", "/calls.tail?q=from:alice", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: ")))
                    if len(seen) == 1:
                        history.add("live", 1_000_000, sip("live", "SIP/2.0 486 Busy Here", "1 INVITE", "", ";tag=t"))
                    else:
                        break
        assert [one["call_id"] for one in seen] == ["live", "live"]
        assert "486" in str(seen[1]["html"])


class TestSettings:
    def test_secrets_are_masked(self, client: httpx.Client) -> None:
        for path in ("/settings", "/api/v1/settings"):
            text = client.get(path, headers=PAGE).text
            assert TOKEN not in text
            assert "set, not shown" in text
            assert "edge" in text
        told = {one["key"]: one for one in client.get("/api/v1/settings").json()["settings"]}
        assert told["retention.sip_age"] == {"key": "retention.sip_age", "value": "1d", "changed": True}
        assert told["media"] == {"key": "media", "value": "true", "changed": False}

    def test_nodes_without_storage(self, client: httpx.Client) -> None:
        told = client.get("/api/v1/nodes").json()["nodes"][0]
        assert (told["version"], told["parts"], told["steps"]) == ("0.1.0", [], [])


class TestSignIn:
    @pytest.fixture
    def door(self) -> Iterator[httpx.Client]:
        """A server that trusts nobody, not even on loopback."""
        app = build(MemoryHistory(), SteadyRecorder(), Settings(token=TOKEN))
        with Served(app) as url, httpx.Client(base_url=url) as client:
            yield client

    def test_the_token_opens_and_leads_back(self, door: httpx.Client) -> None:
        asked = door.get("/calls?q=a+b", headers=PAGE)
        assert asked.status_code == 401
        assert 'name="asked" value="/calls?q=a+b"' in asked.text
        answer = door.post("/sign-in", data={"token": TOKEN, "asked": "/calls?q=a+b"}, headers=PAGE)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/calls?q=a+b")
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert door.get("/calls", headers=PAGE).status_code == 200
        assert door.get("/api/v1/calls").status_code == 200

    def test_a_wrong_token_does_not(self, door: httpx.Client) -> None:
        answer = door.post("/sign-in", data={"token": TOKEN + "x", "asked": "/"}, headers=PAGE)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (401, False)
        assert "not the token" in answer.text

    @pytest.mark.parametrize("asked", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nX: y"])
    def test_it_leads_to_no_other_server(self, door: httpx.Client, asked: str) -> None:
        answer = door.post("/sign-in", data={"token": TOKEN, "asked": asked})
        assert answer.headers["Location"] == "/"

    def test_programs_are_still_refused_in_json(self, door: httpx.Client) -> None:
        answer = door.get("/api/v1/calls")
        assert (answer.status_code, answer.json()["status"]) == (401, "error")
        assert door.get("/static/base.css").status_code == 200

    def test_a_proof_ends_with_its_time_and_its_token(self) -> None:
        session = Session(TOKEN.encode())
        proof = session.issue(1000)
        assert session.holds(proof, 1000 + LIFETIME_S - 1)
        assert not session.holds(proof, 1000 + LIFETIME_S)
        assert not Session(b"another-token-of-16").holds(proof, 1001)
        until, _, mark = proof.partition(".")
        for forged in (
            f"{int(until) + 1}.{mark}",
            f"{until}.{mark[:-1]}0",
            until,
            "",
            ".",
            f"{until}.é",
            "9" * 40 + "." + mark,
        ):
            assert forged == proof or not session.holds(forged, 1001)

    def test_a_mangled_cookie_is_no_cookie(self, door: httpx.Client) -> None:
        for cookie in (f"{COOKIE}=", f"{COOKIE}=1.2", f'{COOKIE}="', "\xff=\xff", ";;;="):
            assert door.get("/api/v1/calls", headers=[(b"Cookie", cookie.encode("latin-1"))]).status_code == 401


def test_figures_in_words() -> None:
    assert [duration(one) for one in (340_000, 4_200_000, 59_700_000, 187_000_000, 3_723_000_000, None)] == [
        "340 ms", "4.2 s", "1:00", "3:07", "1:02:03", DASH,
    ]  # fmt: skip
    assert [size(one) for one in (999, 1200, 73_900_000_000, None)] == ["999 B", "1.2 KB", "73.9 GB", DASH]
    assert [count(one) for one in (12345, 0.25, 1234.5)] == ["12,345", "0.2", "1,234"]
