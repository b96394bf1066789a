"""What retention removed is named as expired, by every face; it is never unknown, damaged or an empty success."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from buckets import T0_US, call, hours, record
from memory_history import Served, SteadyRecorder
from sample_root import write
from sipflow.amount import Room
from sipflow.cli import main
from sipflow.client import SipflowClient
from sipflow.clock import format_time
from sipflow.config import Address, Retention, Settings
from sipflow.errors import CallUnknown, Expired
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.query.whereabouts import Whereabouts
from sipflow.storage import erasure
from sipflow.storage.catalog import Catalog
from sipflow.storage.erasure import erase_media
from sipflow.storage.layout import CATALOG, DATABASE, HOUR_US, find_buckets
from sipflow.storage.sweep import Sweep
from sipflow.storage.verify import verify_bucket, verify_catalog
from sipflow.web.app import build

NOW = T0_US + 4 * HOUR_US
DATE = format_time(NOW)[:16].replace("T", " ") + " UTC"
# Of four hours the first is deleted, the second erased.
LIMITS = Retention(sip_age=3 * HOUR_US, rtp_age=2 * HOUR_US, min_free=Room())
LONG = "from-0-to-2@h"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("expiry") / "root"
    # One call goes on from the first hour to the third.
    record(root, [*hours(4), *call(LONG, T0_US + HOUR_US // 2, 250, 30_000_000)])
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "root"))


def expire(root: Path) -> None:
    assert Sweep(root, LIMITS, lambda: NOW).run()[1] == []


@pytest.fixture
def history(root: Path) -> Iterator[History]:
    with closing(History.open(root)) as history:
        yield history


class TestHistory:
    def test_a_call_that_was_deleted(self, root: Path, history: History) -> None:
        before = history.call("call-0@h")
        assert len(history.flow("call-0@h").messages) == before.sip_messages == 3
        expire(root)
        sentence = f"expired: 2024/10/04/00, which held packets of this call, was deleted on {DATE}"
        with pytest.raises(Expired) as caught:
            history.call("call-0@h")
        assert str(caught.value) == sentence
        for answer in (history.flow("call-0@h"), history.media("call-0@h")):
            assert [(fault.what, fault.expired_us) for fault in answer.faults] == [(sentence, NOW)]
        with pytest.raises(CallUnknown):
            history.call("never@h")
        assert history.flow("never@h").faults == history.media("never@h").faults == []

    def test_a_call_whose_media_was_erased(self, root: Path, history: History) -> None:
        before = history.call("call-1@h")
        assert before.rtp_packets == 100
        expire(root)
        after = history.call("call-1@h")
        assert after.media_expired_us == NOW
        assert (after.rtp_packets, after.rtp_streams, after.last_us) == (100, before.rtp_streams, before.last_us)
        flow, media = history.flow("call-1@h"), history.media("call-1@h")
        assert (len(flow.messages), flow.faults) == (3, [])
        assert media.chunks == []
        (fault,) = media.faults
        assert fault.expired_us == NOW
        assert fault.what == f"expired: the media of this call in 2024/10/04/01 was erased on {DATE} (100 RTP packets)"

    def test_calls_that_stand_are_as_they_were(self, root: Path, history: History) -> None:
        before = [(history.flow(name), history.call(name)) for name in ("call-2@h", "call-3@h")]
        media = [len(history.media(name).chunks) for name in ("call-2@h", "call-3@h")]
        expire(root)
        assert [(history.flow(name), history.call(name)) for name in ("call-2@h", "call-3@h")] == before
        assert [len(history.media(name).chunks) for name in ("call-2@h", "call-3@h")] == media
        assert all(history.media(name).faults == [] for name in ("call-2@h", "call-3@h"))

    def test_lists_hold_what_stands(self, root: Path, history: History) -> None:
        expire(root)
        page = history.calls(Criteria())
        assert {one.call_id for one in page.calls} == {"call-1@h", "call-2@h", "call-3@h", LONG}
        assert page.faults == []
        assert {one.call_id: one.media_expired_us for one in page.calls}["call-1@h"] == NOW

    def test_a_call_that_goes_on_past_what_expired_names_both(self, root: Path, history: History) -> None:
        whole = sum(len(chunk.rows) for chunk in history.media(LONG).chunks)
        expire(root)
        flow, media = history.flow(LONG), history.media(LONG)
        assert flow.messages == []
        assert [fault.where for fault in flow.faults] == ["2024/10/04/00"]
        assert {fault.where for fault in media.faults} == {"2024/10/04/00", "2024/10/04/01"}
        assert all(fault.expired_us == NOW for fault in media.faults)
        assert 0 < sum(len(chunk.rows) for chunk in media.chunks) < whole
        assert history.call(LONG).rtp_packets < whole

    def test_parts_being_read_while_they_go_answer_cleanly(
        self, root: Path, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The catalog was asked before, the files are looked at after."""
        catalog = Catalog(root, readonly=True)
        stale = {name: catalog.parts_with(name) for name in ("call-0@h", "call-1@h")}
        catalog.close()
        for name in stale:
            history.media(name)  # both parts are open now, with the index they had
        expire(root)
        monkeypatch.setattr(Whereabouts, "with_call", lambda _self, call_id, _faults: stale[call_id])
        for ask in (history.flow, history.media):
            answer = ask("call-0@h")
            assert [fault.expired_us for fault in answer.faults] == [NOW]
        assert len(history.flow("call-1@h").messages) == 3
        media = history.media("call-1@h")
        assert media.chunks == []
        assert [fault.expired_us for fault in media.faults] == [NOW]

    def test_no_instant_of_erasing_looks_like_damage(
        self, root: Path, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the new index and the seal that fits it, neither questions nor `sipflow verify` speak of damage."""
        asked: list[str] = []

        def ask() -> None:
            with closing(History.open(root)) as fresh:
                for one in (history, fresh):
                    assert one.flow("call-1@h").faults == []
                    assert {fault.expired_us for fault in one.media("call-1@h").faults} == {NOW}
                    assert one.calls(Criteria()).faults == []
            assert verify_bucket(root, Path("2024/10/04/01")).findings == []

        def watch(name: str) -> None:
            real = getattr(erasure, name)

            def step(*arguments: Any) -> Any:
                ask()
                found = real(*arguments)
                ask()
                asked.append(name)
                return found

            monkeypatch.setattr(erasure, name, step)

        history.media("call-1@h")
        for name in ("_erase_blocks", "_replace_index", "_seal_again"):
            watch(name)
        expire(root)
        ask()
        assert asked == ["_erase_blocks", "_replace_index", "_seal_again"]
        assert verify_catalog(root, list(find_buckets(root))) == []

    def test_damage_of_an_erased_bucket_is_still_named(self, root: Path, history: History) -> None:
        expire(root)
        database = root / "2024/10/04/01" / DATABASE
        octets = bytearray(database.read_bytes())
        # Not in the schema, without which nothing could be read at all.
        octets[octets.rindex(b"call-1@h")] ^= 1
        write(database, bytes(octets))
        assert ["is damaged" in fault.what for fault in history.flow("call-1@h").faults] == [True]
        assert any("checksum" in one.what for one in verify_bucket(root, Path("2024/10/04/01")).findings)

    def test_a_root_without_catalog_still_knows_what_was_erased(self, root: Path) -> None:
        paths = list(find_buckets(root))
        erase_media(root / paths[1], NOW)
        for name in root.glob(f"{CATALOG}*"):
            name.unlink()
        with closing(History.open(root)) as history:
            assert history.call("call-1@h").media_expired_us == NOW
            assert [fault.expired_us for fault in history.media("call-1@h").faults] == [NOW]
            assert history.media("call-2@h").chunks != []


class TestHttp:
    @pytest.fixture
    def url(self, root: Path, history: History) -> Iterator[str]:
        expire(root)
        with Served(build(history, SteadyRecorder(), Settings(http=Address("127.0.0.1", 0)))) as url:
            yield url

    @pytest.mark.parametrize(
        "path",
        [
            "/flow?callid=call-0@h",
            "/media?callid=call-0@h",
            "/media?callid=call-0@h&stats=1",
            "/diag?callid=call-0@h",
            "/api/v1/calls/call-0@h",
            "/api/v1/calls/call-0@h/flow",
            "/api/v1/calls/call-0@h/media.wav",
            "/media?callid=call-1@h",
            "/media?callid=call-1@h&stats=1",
            "/api/v1/calls/call-1@h/media.wav",
        ],
    )
    def test_what_is_gone_is_404_and_says_since_when(self, url: str, path: str) -> None:
        answer = httpx.get(url + path)
        assert answer.status_code == 404, answer.text
        body = answer.json()
        assert body["status"] == "error"
        assert body["message"].startswith("expired: ")
        assert DATE in body["message"]

    def test_what_is_left_is_answered(self, url: str) -> None:
        flow = httpx.get(url + "/flow?callid=call-1@h").json()
        assert (len(flow["flow"]), flow["partial"]) == (3, False)
        detail = httpx.get(url + "/api/v1/calls/call-1@h").json()
        assert (detail["partial"], detail["streams"], len(detail["messages"])) == (True, [], 3)
        assert detail["call"]["media_expired_us"] == NOW
        assert detail["faults"][0]["expired_us"] == NOW
        assert httpx.get(url + "/api/v1/calls/call-2@h/media.wav").status_code == 200
        assert "no packet of call" in httpx.get(url + "/api/v1/calls/never@h").json()["message"]
        assert httpx.get(url + "/flow?callid=never@h").json()["flow"] == []

    def test_the_client_tells_expired_from_unknown(self, url: str) -> None:
        with closing(SipflowClient(url)) as client:
            with pytest.raises(Expired, match="2024/10/04/00"):
                client.call("call-0@h")
            with pytest.raises(Expired, match="2024/10/04/00"):
                client.flow("call-0@h")
            with pytest.raises(Expired, match="2024/10/04/01"):
                list(client.wav("call-1@h"))
            with pytest.raises(CallUnknown):
                client.call("never@h")
            assert client.call("call-1@h").media_expired_us == NOW


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_the_command_line_says_what_expired(root: Path, tmp_path: Path) -> None:
    expire(root)
    for command in ("flow", "wav"):
        done = run(command, "call-0@h", "--dir", root)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("sipflow: expired: 2024/10/04/00, which held packets of this call")
    done = run("wav", "call-1@h", "--dir", root, "-o", tmp_path / "x.wav")
    assert done.exit_code == 1
    assert "the media of this call in 2024/10/04/01 was erased" in done.stderr
    assert not (tmp_path / "x.wav").exists()
