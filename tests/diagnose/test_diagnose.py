"""The diagnosis: each cause in a hand-written call, none of them in a good one, and what captures show."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captured_calls import calls_of
from captures import CAPTURES, SHARED, need
from chunks import T0_US
from diagnose.scene import Scene, sdp, talked
from sipflow.diagnose import Call, Severity, call_of, diagnose
from sipflow.diagnose.words import STATUS, meaning
from sipflow.wire.packet import Message

ALICE_SDP, BOB_SDP = sdp("198.51.100.1"), sdp("203.0.113.2")
HARMLESS = {"answered", "ended-by", "no-rtp"}  # no packet was measured for any scene


def test_a_good_call_says_only_how_it_went() -> None:
    scene = talked()
    assert scene.codes == HARMLESS
    assert scene.one("answered").sentence == "The call was answered after 2.0 s (200 OK)."
    ended = scene.one("ended-by")
    assert ended.sentence == "The caller (198.51.100.1:5060) ended the call with BYE after 60.0 s of talk."
    assert ended.times_us == (T0_US + 62_000_000,)


def test_outcome_and_end_stand_first() -> None:
    codes = [finding.code for finding in diagnose(talked().call, [])]
    assert codes[:2] == ["answered", "ended-by"]


@pytest.mark.parametrize(
    ("status", "words", "severity"),
    [
        ("403 Forbidden", "refuses it", Severity.ERROR), ("404 Not Found", "does not exist", Severity.ERROR),
        ("408 Request Timeout", "no answer came in time", Severity.ERROR),
        ("480 Temporarily Unavailable", "not registered", Severity.NOTE), ("486 Busy Here", "busy", Severity.NOTE),
        ("488 Not Acceptable Here", "offered media is not acceptable", Severity.ERROR),
        ("500 Oops", "inside the server", Severity.ERROR), ("503 Service Unavailable", "overloaded", Severity.ERROR),
        ("603 Decline", "declined", Severity.NOTE), ("499 New", "failed at this server", Severity.ERROR),
    ],
)  # fmt: skip
def test_final_status_in_plain_words(status: str, words: str, severity: Severity) -> None:
    scene = Scene().ask(0, "INVITE", body=ALICE_SDP).reply(1.5, status).ask(1.6, "ACK", branch="z9hG4bK1INVITEalice")
    found = scene.one("final-status")
    assert words in found.sentence
    assert status in found.sentence
    assert found.severity is severity
    assert found.times_us == (T0_US + 1_500_000,)


def test_every_status_has_words_and_a_reference() -> None:
    assert all(each.words and each.reference.startswith("RFC ") for each in STATUS.values())
    assert meaning(599).words == "the server failed"


def test_causes_are_translated() -> None:
    scene = talked()
    scene.messages.clear()
    scene.ask(0, "INVITE", body=ALICE_SDP).reply(1, "503 No", 'Reason: Q.850;cause=34;text="no channel"')
    assert 'Q.850 34: no circuit available ("no channel")' in scene.one("reason").sentence


def test_cancelled_by_the_caller() -> None:
    scene = Scene().ask(0, "INVITE", body=ALICE_SDP).reply(1, "180 Ringing").ask(21, "CANCEL")
    scene.reply(21.01, "200 OK", to="CANCEL").reply(21.02, "487 Request Terminated")
    assert scene.one("cancelled").sentence == "The calling side gave up after 21.0 s, while it rang (CANCEL)."
    assert scene.one("final-status").severity is Severity.NOTE
    assert "no-response" not in scene.codes


def test_timer_b() -> None:
    scene = Scene()
    for seconds in (0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5):
        scene.ask(seconds, "INVITE", body=ALICE_SDP)
    found = scene.one("timer-b")
    assert "sent 7 times in 31.5 s" in found.sentence
    assert found.severity is Severity.ERROR


def test_timer_f_and_no_response() -> None:
    scene = Scene()
    for seconds in (0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5):
        scene.ask(seconds, "REGISTER")
    assert scene.one("timer-f").reference == "RFC 3261 section 17.1.2.2"
    assert Scene().ask(0, "INVITE").one("no-response").severity is Severity.ERROR


def test_retransmissions_double_and_a_second_capture_of_the_same_packet_is_none() -> None:
    scene = Scene()
    for seconds in (0, 0.5, 1.5, 3.5):
        scene.ask(seconds, "INVITE", body=ALICE_SDP)
    scene.reply(3.6, "486 Busy Here")
    found = scene.one("retransmitted")
    assert "sent 4 times; the first answer came after 3.60 s; its intervals double from 0.50 s" in found.sentence
    twice = Scene().ask(0, "INVITE").ask(0.0004, "INVITE").reply(0.1, "486 Busy Here")
    assert "retransmitted" not in twice.codes


def unacknowledged() -> Scene:
    scene = Scene().ask(0, "INVITE", body=ALICE_SDP)
    for seconds in (0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5):
        scene.reply(1 + seconds, "200 OK", body=BOB_SDP)
    return scene.ask(33, "BYE", by="bob").reply(33.1, "200 OK", to="BYE", by="alice")


def test_missing_ack_and_the_drop_after_32_seconds() -> None:
    scene = unacknowledged()
    assert "was sent 11 times and no ACK was seen" in scene.one("missing-ack").sentence
    dropped = scene.one("dropped-after-32-s")
    assert dropped.severity is Severity.ERROR
    assert "32.0 s after it answered" in dropped.sentence


def test_an_ack_that_was_seen_and_did_not_arrive() -> None:
    scene = unacknowledged().ask(1.2, "ACK")
    assert scene.one("ack-lost").severity is Severity.WARNING
    assert scene.one("dropped-after-32-s").severity is Severity.WARNING


@pytest.mark.parametrize(("seconds", "by"), [(60, "bob"), (32, "alice")])
def test_no_32_second_drop(seconds: int, by: str) -> None:
    assert "dropped-after-32-s" not in talked(seconds, by).codes


CHALLENGE = 'WWW-Authenticate: Digest realm="pbx", nonce="{}"{}'
CREDENTIALS = 'Authorization: Digest username="alice", realm="pbx", nonce="{}", response="0"'


def register(*tries: tuple[str, str, str]) -> Scene:
    """Write REGISTERs: the nonce each has, the status it gets, and the challenge in it."""
    scene = Scene()
    for number, (nonce, status, challenge) in enumerate(tries):
        lines = (CREDENTIALS.format(nonce),) if nonce else ()
        scene.ask(number, "REGISTER", *lines, cseq=number)
        scene.reply(number + 0.1, status, *((challenge,) if challenge else ()), to="REGISTER", cseq=number)
    return scene


def test_a_challenge_that_is_met_is_no_finding() -> None:
    scene = register(("", "401 Unauthorized", CHALLENGE.format(1, "")), ("1", "200 OK", ""))
    assert scene.codes == {"registered"}


def test_wrong_credentials() -> None:
    scene = register(
        ("", "401 Unauthorized", CHALLENGE.format(1, "")), ("1", "401 Unauthorized", CHALLENGE.format(2, ""))
    )
    found = scene.one("wrong-credentials")
    assert "of user 'alice' for realm 'pbx'" in found.sentence
    assert found.severity is Severity.ERROR


def test_credentials_that_go_in_circles() -> None:
    tries = [("1", "401 Unauthorized", CHALLENGE.format(n, "")) for n in range(2, 5)]
    assert "challenged 3 times and repeats the same credentials" in register(*tries).one("credentials-loop").sentence


def test_stale_nonce() -> None:
    scene = register(("1", "401 Unauthorized", CHALLENGE.format(2, ", stale=TRUE")), ("2", "200 OK", ""))
    assert scene.one("stale-credentials").severity is Severity.NOTE


def test_a_challenge_that_is_never_met() -> None:
    assert (
        "was not sent again"
        in register(("", "401 Unauthorized", CHALLENGE.format(1, ""))).one("challenge-not-met").sentence
    )


def test_488_names_what_was_offered_and_what_is_wanted() -> None:
    scene = Scene().ask(0, "INVITE", body=sdp("198.51.100.1", "a=rtpmap:96 opus/48000/2", formats="96 101"))
    scene.reply(0.1, "488 Not Acceptable Here", 'Warning: 305 pbx "Incompatible media format"', body=sdp("203.0.113.2"))
    sentence = scene.one("media-refused").sentence
    assert "Offered: opus. Wanted there: PCMU, PCMA." in sentence
    assert "Incompatible media format" in sentence


def test_an_answer_without_a_codec_of_the_offer() -> None:
    scene = Scene().ask(0, "INVITE", body=sdp("198.51.100.1", formats="18")).reply(1, "200 OK", body=sdp("203.0.113.2"))
    assert "offered G729, answered PCMU, PCMA" in scene.one("no-common-codec").sentence


def test_packet_times_that_differ() -> None:
    scene = Scene().ask(0, "INVITE", body=sdp("198.51.100.1", "a=ptime:20"))
    assert (
        "20 ms, the answer for 30 ms"
        in scene.reply(1, "200 OK", body=sdp("203.0.113.2", "a=ptime:30")).one("ptime-differs").sentence
    )


def test_a_private_contact_from_a_public_address() -> None:
    scene = Scene().ask(0, "INVITE", "Contact: <sip:alice@192.168.1.7:5060>", body=ALICE_SDP)
    assert "gives 192.168.1.7 as its Contact" in scene.one("private-contact").sentence
    inside = Scene(alice="10.0.0.1:5060").ask(0, "INVITE", "Contact: <sip:alice@192.168.1.7:5060>", body=ALICE_SDP)
    assert "private-contact" not in inside.codes


@pytest.mark.parametrize(("rport", "severity"), [(";rport", Severity.NOTE), ("", Severity.WARNING)])
def test_via_tells_of_nat(rport: str, severity: Severity) -> None:
    scene = Scene().ask(0, "INVITE", f"Via: SIP/2.0/UDP 10.0.0.5:5060{rport};branch=z9hG4bKx", body=ALICE_SDP)
    assert scene.one("nat").severity is severity


def test_private_address_in_sdp_comes_from_the_verdict_on_media() -> None:
    scene = Scene().ask(0, "INVITE", body=sdp("192.168.1.7")).reply(1, "200 OK", body=BOB_SDP).ask(1.1, "ACK")
    assert "192.168.1.7" in scene.one("private-address").sentence


def timed(seconds: float, *refreshes: float) -> Scene:
    scene = Scene().ask(0, "INVITE", body=ALICE_SDP)
    scene.reply(0, "200 OK", "Session-Expires: 1800;refresher=uac", body=BOB_SDP).ask(0.1, "ACK")
    for number, at in enumerate(refreshes, 2):
        scene.ask(at, "UPDATE", cseq=number).reply(at, "200 OK", to="UPDATE", cseq=number)
    return scene.ask(seconds, "BYE", by="bob").reply(seconds, "200 OK", to="BYE", by="alice")


def test_a_session_that_ran_out() -> None:
    for seconds in (1800, 1768):
        assert "the caller was to refresh it" in timed(seconds).one("session-expired").sentence
    assert timed(2700, 900).found("session-expired")
    assert not timed(1700, 900).codes & {"session-expired", "session-not-refreshed"}
    assert timed(4000).found("session-not-refreshed")


def test_glare() -> None:
    scene = talked().ask(10, "INVITE", cseq=5, inside=True).reply(10.1, "491 Request Pending", cseq=5)
    assert scene.one("glare").severity is Severity.WARNING
    scene.ask(12, "INVITE", cseq=6, inside=True).reply(12.1, "200 OK", cseq=6).ask(12.2, "ACK", cseq=6)
    assert scene.one("glare").severity is Severity.NOTE


def test_late_offer() -> None:
    scene = Scene().ask(0, "INVITE").reply(1, "200 OK", body=BOB_SDP).ask(1.1, "ACK", body=ALICE_SDP)
    assert scene.one("late-offer").severity is Severity.NOTE


def test_reliable_progress_without_prack() -> None:
    lines = ("Require: 100rel", "RSeq: 7")
    scene = Scene().ask(0, "INVITE", body=ALICE_SDP).reply(1, "183 Progress", *lines).reply(1.5, "183 Progress", *lines)
    assert "sent 2 times" in scene.one("missing-prack").sentence
    scene.ask(1.6, "PRACK", "RAck: 7 1 INVITE", cseq=2).reply(1.7, "200 OK", to="PRACK", cseq=2)
    assert "missing-prack" not in scene.codes


def test_loops_and_hops() -> None:
    scene = Scene()
    for number in range(3):
        scene.ask(number / 10, "INVITE", f"Max-Forwards: {2 - number}", branch=f"z9hG4bK-{number}", body=ALICE_SDP)
    scene.reply(1, "483 Too Many Hops", branch="z9hG4bK-0")
    assert "reached 203.0.113.2:5060 3 times" in scene.one("loop").sentence
    assert "Max-Forwards 2" in scene.one("few-hops-left").sentence


def test_forks() -> None:
    scene = Scene().ask(0, "INVITE", body=ALICE_SDP).reply(1, "180 Ringing", tag="x").reply(1, "180 Ringing", tag="y")
    assert "rang in 2 places" in scene.one("forked").sentence
    scene.reply(2, "200 OK", tag="x").reply(2.1, "200 OK", tag="y")
    assert scene.found("answered-twice")


def test_delay_and_short_talk() -> None:
    slow = Scene().ask(0, "INVITE", body=ALICE_SDP).reply(9.5, "180 Ringing").reply(10, "486 Busy Here")
    assert "for 9.5 s after dialling" in slow.one("long-post-dial-delay").sentence
    assert talked(1.5).found("short-call")
    assert not talked(5).found("short-call")


def test_text_of_messages_stays_short_and_printable() -> None:
    scene = Scene().ask(0, "INVITE", body=ALICE_SDP).reply(1, "486 \x1b[31m" + "B" * 5000)
    sentence = scene.one("final-status").sentence
    assert "\x1b" not in sentence
    assert len(sentence) < 400


@settings(deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=12), st.data())
def test_hostile_messages_are_diagnosed(octets: list[bytes], data: st.DataObject) -> None:
    scene = unacknowledged()
    for number, junk in enumerate(octets):
        victim = data.draw(st.integers(0, len(scene.messages) - 1))
        whole = scene.messages[victim].payload
        at = data.draw(st.integers(0, len(whole)))
        broken = whole[:at] + junk + whole[at:]
        bob, alice = scene.places["bob"], scene.places["alice"]
        scene.messages.append(Message("scene@test", T0_US + number, T0_US, bob, alice, broken))
    for finding in diagnose(scene.call, []):
        assert finding.sentence.isprintable()
        assert finding.reference


def test_a_long_call_is_bounded() -> None:
    scene = Scene()
    for number in range(6000):
        scene.ask(number, "INVITE", f"Reason: SIP;cause={400 + number % 200};text=x{number}", cseq=number)
    assert len(diagnose(scene.call, [])) <= 300


def test_nothing_at_all() -> None:
    assert diagnose(Call("none", ()), []) == []


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_captures_are_diagnosed(path: Path) -> None:
    for call_id, call in calls_of(need(path)).items():
        for finding in diagnose(call_of(call_id, call.messages, call.chunks), []):
            assert finding.sentence.isprintable()
            assert finding.sentence.endswith((".", "?"))


def test_a_capture_with_a_wrong_password() -> None:
    calls = calls_of(need(SHARED / "aaa.pcap"))
    call = calls["24487391-449bf2a0@192.168.1.2"]
    codes = [finding.code for finding in diagnose(call_of("x", call.messages, call.chunks), [])]
    assert codes[:2] == ["final-status", "credentials-refused"]
