"""Statistics: the golden numbers of RFC 6076, and calls of a real data root counted once each."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from capture_writer import frame, pcap, sip
from captures import SHARED, need
from diagnose.scene import Scene
from older import write_v1
from sample_root import ALICE, BEGIN_US, BOB, make_sample
from sipflow.clock import SECOND_US
from sipflow.diagnose.dialogue import Dialogue
from sipflow.importer import import_files
from sipflow.query.census import Statistics
from sipflow.query.counting import GroupKey
from sipflow.query.history import History
from sipflow.query.session_times import SessionTimes, session_times
from sipflow.query.tally import Span, Tally
from sipflow.query.window import Window
from sipflow.storage.layout import HOUR_US, find_buckets

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
    # Nobody answers the BYE of these calls.
    assert (total.attempts, total.answered, total.completed) == (4, 4, 0)  # type: ignore[attr-defined]
    assert (total.sdd_s, total.disconnected, total.undisconnected) == (None, 0, 4)  # type: ignore[attr-defined]
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
        answer(after + 1_045_000, "across", "200 OK", "2 BYE"),
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


def message(at_us: int, src: tuple[str, int], dst: tuple[str, int], payload: bytes) -> tuple[int, bytes]:
    return at_us, frame(src, dst, payload)


def session(
    at_us: int, call_id: str, src: tuple[str, int], agent: str, talk_us: int, *answers: tuple[int, str]
) -> list[tuple[int, bytes]]:
    """Write a call that rings after 0.45 s, is answered after 6.5 s and ended `talk_us` later; `answers` to its BYE."""
    named = f"\r\nUser-Agent: {agent}\r\nCSeq:".encode()

    def of(start: str, number: str, to_tag: str = "") -> bytes:
        return sip(start, call_id, number, to_tag=to_tag).replace(b"\r\nCSeq:", named)

    bye_us = at_us + 6_500_000 + talk_us
    return [
        message(at_us, src, BOB, of("INVITE sip:bob@example.com SIP/2.0", "1 INVITE")),
        message(at_us + 450_000, BOB, src, of("SIP/2.0 183 Session Progress", "1 INVITE", "b")),
        message(at_us + 6_500_000, BOB, src, of("SIP/2.0 200 OK", "1 INVITE", "b")),
        message(bye_us, src, BOB, of("BYE sip:bob@example.com SIP/2.0", "2 BYE", "b")),
        *(message(bye_us + after, BOB, src, of(f"SIP/2.0 {status}", "2 BYE", "b")) for after, status in answers),
    ]


def imported(root: Path, frames: list[tuple[int, bytes]]) -> Path:
    capture = root.with_suffix(".pcap")
    capture.write_bytes(pcap(sorted(frames)))
    import_files([capture], root)
    return root


def asked(root: Path, only: GroupKey | None = None, window: Window = ALWAYS) -> Statistics:
    history = History.open(root)
    found = history.statistics(window, only)
    assert history.statistics(window, only) == found  # from memory
    history.close()
    assert not found.faults
    return found


TRUNK, OTHER = ("198.51.100.7", 5060), ("198.51.100.8", 5080)
HOUR = BEGIN_US // HOUR_US * HOUR_US


def test_a_disconnect_lasts_from_the_bye_to_its_2xx(tmp_path: Path) -> None:
    frames = [
        *session(BEGIN_US, "gone", TRUNK, "a", 60_000_000, (45_000, "200 OK")),
        # A challenge is recovered from, and no end (RFC 6076, section 4.4).
        *session(
            BEGIN_US,
            "challenged",
            TRUNK,
            "a",
            10_000_000,
            (5000, "407 Proxy Authentication Required"),
            (155_000, "200 OK"),
        ),
        *session(BEGIN_US, "no dialog", TRUNK, "a", 20_000_000, (9000, "481 Call/Transaction Does Not Exist")),
        *session(BEGIN_US, "silent", TRUNK, "a", 30_000_000),
        invite(BEGIN_US + 600_000_000, "later"),
    ]
    total = asked(imported(tmp_path / "root", frames)).total
    assert (total.attempts, total.answered, total.completed, total.scr) == (5, 4, 2, 40.0)
    assert (total.disconnected, total.undisconnected) == (2, 2)
    assert total.sdd_s == pytest.approx(0.1)
    assert (total.sdt_s, total.acd_s, total.srd_s, total.pdd_s) == (30.0, 30.0, 0.45, 0.45)


# Read off the captures: capture times of BYE and 200 in microseconds.
CAPTURED = {
    "proxy-two-legs.pcap": (1, 1, [1312180653424145 - 1312180653411284]),
    "b2bua-asterisk-ng.pcapng": (2, 2, [1463595810855632 - 1463595810850300, 1463595810610386 - 1463595810609451]),
    "codec-g711.pcap": (2, 2, [1480171988170676 - 1480171988170086]),
}


@pytest.mark.parametrize("name", CAPTURED)
def test_disconnects_of_captures(tmp_path: Path, name: str) -> None:
    attempts, answered, delays_us = CAPTURED[name]
    import_files([need(SHARED / name)], tmp_path / "root")
    total = asked(tmp_path / "root").total
    assert (total.attempts, total.answered, total.completed) == (attempts, answered, len(delays_us))
    assert (total.disconnected, total.undisconnected) == (len(delays_us), 0)
    assert total.sdd_s == pytest.approx(sum(delays_us) / len(delays_us) / SECOND_US)
    assert total.scr == 100 * len(delays_us) / attempts


def test_a_leg_of_a_captured_b2bua(tmp_path: Path) -> None:
    import_files([need(SHARED / "b2bua-asterisk-ng.pcapng")], tmp_path / "root")
    found = asked(tmp_path / "root", GroupKey("source", "172.16.98.1"))
    assert [(one.time_us, one.ratios.attempts) for one in found.hours] == [(1463595810609451 // HOUR_US * HOUR_US, 1)]
    assert found.total.sdd_s == pytest.approx(0.000935)


@pytest.mark.parametrize("count", [1, 40])
def test_a_bye_is_answered_in_the_next_hour(tmp_path: Path, count: int) -> None:
    # With one call or with many: those before it let the bucket know that nothing follows for their BYE.
    begin_us = HOUR + HOUR_US - 6_600_000
    frames = session(begin_us, "late", TRUNK, "a", 50_000, (70_000, "200 OK"))
    for number in range(1, count):
        frames += session(HOUR + number * 80_000_000, f"n{number}", OTHER, "b", SECOND_US)
    found = asked(imported(tmp_path / "root", frames), GroupKey("source", TRUNK[0]))
    assert (found.total.completed, found.total.disconnected, found.total.undisconnected) == (1, 1, 0)
    assert found.total.sdd_s == pytest.approx(0.07)
    assert asked(tmp_path / "root").total.undisconnected == count - 1


def test_an_older_index_counts_the_same(tmp_path: Path) -> None:
    root = imported(
        tmp_path / "root",
        [
            *session(BEGIN_US, "gone", TRUNK, "a", 60_000_000, (45_000, "200 OK")),
            *session(BEGIN_US, "silent", OTHER, "b", 30_000_000),
            invite(BEGIN_US + 600_000_000, "later"),
        ],
    )
    today = asked(root)
    (path,) = find_buckets(root)
    write_v1(root / path)
    assert asked(root) == today
    assert (today.total.disconnected, today.total.undisconnected, today.total.sdd_s) == (1, 1, 0.045)


def test_a_group_over_time(tmp_path: Path) -> None:
    hostile = '"><script>alert(1)</script>&of=x'
    second, third = HOUR + HOUR_US, HOUR + 2 * HOUR_US
    frames = [
        *session(BEGIN_US, "a1", TRUNK, "pbx", 10_000_000, (20_000, "200 OK")),
        *session(BEGIN_US + SECOND_US, "a2", TRUNK, "pbx", 20_000_000, (40_000, "200 OK")),
        *session(BEGIN_US + SECOND_US, "b1", OTHER, hostile, 60_000_000, (90_000, "200 OK")),
        message(second + 1, TRUNK, BOB, sip("INVITE sip:bob@example.com SIP/2.0", "a3", "1 INVITE")),
        message(second + 500_001, BOB, TRUNK, sip("SIP/2.0 486 Busy Here", "a3", "1 INVITE", to_tag="b")),
        # Without an end here: it is only known once all parts are put together.
        message(third - 1, TRUNK, BOB, sip("INVITE sip:bob@example.com SIP/2.0", "a4", "1 INVITE")),
        message(third + 400_000, BOB, TRUNK, sip("SIP/2.0 503 Service Unavailable", "a4", "1 INVITE", to_tag="b")),
        *session(third + SECOND_US, "b2", OTHER, "pbx", 30_000_000, (90_000, "200 OK")),
    ]
    root = imported(tmp_path / "root", frames)

    def series(only: GroupKey) -> list[tuple[int, dict[str, int], float | None, float | None, float | None]]:
        found = asked(root, only)
        assert (found.sources, found.destinations, found.agents) == ([], [], [])
        assert found.total.attempts == sum(hour.ratios.attempts for hour in found.hours)
        return [
            (one.time_us, one.ratios.statuses, one.ratios.asr, one.ratios.ner, one.ratios.acd_s) for one in found.hours
        ]

    assert series(GroupKey("source", TRUNK[0])) == [
        (HOUR, {"200": 2}, 100.0, 100.0, 15.0),
        (second, {"486": 1, "503": 1}, 0.0, 50.0, None),
    ]
    assert series(GroupKey("source", OTHER[0])) == [
        (HOUR, {"200": 1}, 100.0, 100.0, 60.0),
        (third, {"200": 1}, 100.0, 100.0, 30.0),
    ]
    assert series(GroupKey("agent", "pbx")) == [
        (HOUR, {"200": 2}, 100.0, 100.0, 15.0),
        (third, {"200": 1}, 100.0, 100.0, 30.0),
    ]
    assert series(GroupKey("agent", hostile)) == [(HOUR, {"200": 1}, 100.0, 100.0, 60.0)]
    assert series(GroupKey("agent", "")) == [(second, {"486": 1, "503": 1}, 0.0, 50.0, None)]
    assert len(series(GroupKey("destination", BOB[0]))) == 3
    assert series(GroupKey("source", BOB[0])) == []
    # Each group's row is the sum of its hours, and a window cuts both alike.
    for window in (ALWAYS, Window(second, None), Window(BEGIN_US + 1, third)):
        every = asked(root, window=window)
        for by, groups in (("source", every.sources), ("destination", every.destinations), ("agent", every.agents)):
            assert groups
            for group in groups:
                key = msgspec.convert({"by": by, "name": group.name}, GroupKey)
                assert asked(root, key, window).total == group.ratios
