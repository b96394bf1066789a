"""Statistics: the golden numbers of RFC 6076, and calls of a real data root counted once each."""

from collections import Counter
from pathlib import Path

import pytest

from capture_writer import frame, pcap, sip
from diagnose.scene import Scene
from sample_root import ALICE, BEGIN_US, BOB, make_sample
from sipflow.clock import SECOND_US
from sipflow.diagnose.dialogue import Dialogue
from sipflow.importer import import_files
from sipflow.query.history import History
from sipflow.query.session_times import SessionTimes, session_times
from sipflow.query.tally import Span, Tally
from sipflow.query.window import Window
from sipflow.storage.layout import HOUR_US

ALWAYS = Window()


def test_ratios_of_a_thousand_attempts() -> None:
    refused: dict[int | None, int] = {
        302: 20,
        486: 90,
        480: 60,
        600: 2,
        603: 8,
        408: 25,
        500: 10,
        503: 30,
        504: 5,
        404: 100,
        487: 30,
    }
    tally = Tally(Counter({200: 620, **refused}), answered=620, completed=600, talk=Span(600, 600 * 60 * SECOND_US))
    found = tally.ratios()
    assert found.attempts == 1000
    assert found.ser == pytest.approx(63.265, abs=0.001)
    assert found.seer == pytest.approx(79.592, abs=0.001)
    assert (found.isa, found.scr, found.asr, found.ner) == (7.0, 60.0, 62.0, 91.0)
    assert found.acd_s == pytest.approx(600 * 60 / 620)
    assert found.sdt_s == 60.0
    assert list(found.statuses)[:2] == ["200", "302"]


def test_user_outcomes_can_be_chosen() -> None:
    assert Tally(Counter({404: 1, 486: 1})).ratios({486}).ner == 50.0


def test_nothing_gives_no_value() -> None:
    found = Tally().ratios()
    assert (found.ser, found.seer, found.isa, found.scr, found.asr, found.ner, found.acd_s, found.srd_s) == (None,) * 8
    assert Tally(Counter({302: 5})).ratios().ser is None


def scene(*responses: tuple[float, str]) -> Scene:
    found = Scene().ask(0, "INVITE")
    for at, status in responses:
        found.reply(at, status)
    return found


def test_times_of_a_session() -> None:
    call = scene((0.012, "100 Trying"), (0.45, "183 Progress"), (1.9, "180 Ringing"), (6.5, "200 OK")).ask(6.52, "ACK")
    call.ask(66.5, "BYE", cseq=2).reply(66.545, "200 OK", to="BYE", cseq=2)
    assert session_times(Dialogue(call.call)) == SessionTimes(450_000, None, 1_900_000, 60_000_000, 45_000)
    busy = scene((0.012, "100 Trying"), (2, "486 Busy Here"))
    assert session_times(Dialogue(busy.call)) == SessionTimes(srd_failed_us=2_000_000)


def counted(root: Path, window: Window = ALWAYS) -> dict[str, object]:
    history = History.open(root)
    found = history.statistics(window)
    again = history.statistics(window)
    history.close()
    assert found == again  # from memory
    assert not found.faults
    return {
        "total": found.total,
        "hours": {hour.time_us: hour.ratios.attempts for hour in found.hours},
        "sources": {group.name: group.ratios.attempts for group in found.sources},
        "destinations": {group.name: group.ratios.attempts for group in found.destinations},
    }


def test_calls_of_a_root(tmp_path: Path) -> None:
    found = counted(make_sample(tmp_path / "root", hours=2))
    assert found["hours"] == {BEGIN_US // HOUR_US * HOUR_US: 2, BEGIN_US // HOUR_US * HOUR_US + HOUR_US: 2}
    assert found["sources"] == {"192.0.2.1": 4}
    assert found["destinations"] == {"192.0.2.2": 4}
    total = found["total"]
    assert (total.attempts, total.answered, total.completed) == (4, 4, 4)  # type: ignore[attr-defined]
    assert total.sdt_s == pytest.approx(4.91)  # type: ignore[attr-defined]
    assert total.srd_s == pytest.approx(0.09)  # type: ignore[attr-defined]
    assert total.pdd_s is None  # type: ignore[attr-defined]


def test_a_window_cuts_a_part(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    assert counted(root, Window(BEGIN_US, BEGIN_US + SECOND_US))["hours"] == {BEGIN_US // HOUR_US * HOUR_US: 1}
    assert counted(root, Window(None, BEGIN_US - 1))["hours"] == {}


def invite(at_us: int, call_id: str) -> tuple[int, bytes]:
    return at_us, frame(ALICE, BOB, sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE"))


def answer(at_us: int, call_id: str, status: str, number: str = "1 INVITE") -> tuple[int, bytes]:
    return at_us, frame(BOB, ALICE, sip(f"SIP/2.0 {status}", call_id, number, to_tag="b"))


def test_a_call_across_two_hours_is_one(tmp_path: Path) -> None:
    before, after = BEGIN_US // HOUR_US * HOUR_US + HOUR_US - SECOND_US, BEGIN_US // HOUR_US * HOUR_US + HOUR_US
    frames = [
        invite(before, "across"),
        answer(before + 500_000, "across", "200 OK"),
        invite(before + 600_000, "challenged"),
        answer(before + 700_000, "challenged", "401 Unauthorized"),
        (after + 1_000_000, frame(ALICE, BOB, sip("BYE sip:bob@example.com SIP/2.0", "across", "2 BYE", to_tag="b"))),
        invite(after + 2_000_000, "refused"),
        answer(after + 3_000_000, "refused", "503 Service Unavailable"),
        invite(after + 3_000_000, "open"),
    ]
    (tmp_path / "x.pcap").write_bytes(pcap(frames))
    import_files([tmp_path / "x.pcap"], tmp_path / "root")
    found = counted(tmp_path / "root")
    total = found["total"]
    assert total.statuses == {"200": 1, "401": 1, "503": 1, "none": 1}  # type: ignore[attr-defined]
    assert (total.answered, total.completed, total.sdt_s) == (1, 1, 1.5)  # type: ignore[attr-defined]
    assert (total.isa, total.srd_failed_s) == (25.0, 1.0)  # type: ignore[attr-defined]
    assert found["hours"] == {after - HOUR_US: 2, after: 2}
    # The end of a call that began in the window may lie behind it.
    inside = counted(tmp_path / "root", Window(before, before + 550_000))["total"]
    assert (inside.attempts, inside.completed) == (1, 1)  # type: ignore[attr-defined]
