"""Why there is no sound: each cause in a hand-written call, none in a good one, and what captures show."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured_calls import calls_of
from captures import CAPTURES, SHARED, need
from sipflow.media.announcement import Announcements
from sipflow.media.finding import Finding, Severity
from sipflow.media.statistics import StreamStatistics, statistics
from sipflow.media.verdict import Verdict, judge
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import StreamKey
from talk import ALICE_RTP, BOB, BOB_RTP, TO_ALICE, TO_BOB, Talk, answered, at, sdp

OFFER, ANSWER = sdp(ALICE_RTP, "0 8", "a=ptime:20"), sdp(BOB_RTP, "0", "a=ptime:20")
GOOD = StreamStatistics(
    leg=0, src=ALICE_RTP, dst=BOB_RTP, ssrc=1, client_id=0, packet_count=1000, expected=1000, lost=0, loss_percent=0.0,
    duplicates=0, reordered=0, late=0, strays=0, resets=0, segments=1, jitter_ms=0.1, jitter_mean_ms=0.1,
    jitter_max_ms=0.2, payload_type=0, codec="PCMU", clock_rate=8000, payload_types={0: 1000}, payload_octets=160_000,
    first_us=at(2.2), last_us=at(22.18),
)  # fmt: skip


def heard(key: StreamKey, payload_type: int | None = 0, **changed: object) -> StreamStatistics:
    """Measure a stream of 20 s; all its packets have one type."""
    own = {"leg": key.leg, "src": key.src, "dst": key.dst, "ssrc": key.ssrc, "payload_type": payload_type}
    return msgspec.structs.replace(GOOD, **{**own, "payload_types": {payload_type: 1000}, **changed})


BOTH = [heard(TO_BOB), heard(TO_ALICE)]


def verdict(
    call: Talk, streams: list[StreamStatistics], energies: Mapping[StreamKey, float] | None = None, *, only: bool = True
) -> Verdict:
    """Judge a call."""
    undecodable = {"G728": "no decoder knows it"}
    return judge(
        call.messages, Announcements.of(call.messages), streams, energies, lambda codec: undecodable.get(codec.name)
    )


def one(found: Verdict, code: str) -> Finding:
    """Give the only finding with this code."""
    (finding,) = found.find(code)
    assert finding.reference
    assert finding.sentence.endswith(".")
    return finding


def codes(found: Verdict) -> list[str]:
    """List what was found."""
    return [finding.code for finding in found.findings]


def ended(call: Talk, seconds: float = 23) -> Talk:
    """End a call."""
    return call.ask(seconds, "BYE", cseq=9)


def test_all_is_well() -> None:
    found = verdict(ended(answered(OFFER, ANSWER)), BOTH, {TO_BOB: -20.0, TO_ALICE: -35.0})
    assert codes(found) == ["media-flows"]
    assert found.flows
    assert found.text == "Media flows both ways: PCMU."


# --- signalling ---


def test_no_offer() -> None:
    found = verdict(Talk().ask(0, "INVITE").reply(1, "200 OK"), [])
    assert one(found, "no-offer").severity is Severity.ERROR
    assert codes(found) == ["no-offer", "no-rtp"]


def test_no_answer() -> None:
    finding = one(verdict(Talk().ask(0, "INVITE", OFFER).reply(1, "200 OK"), BOTH[:1]), "no-answer")
    assert (finding.severity, finding.times_us) == (Severity.WARNING, (at(0),))
    assert one(verdict(Talk().ask(0, "INVITE", OFFER).reply(1, "200 OK"), []), "no-answer").severity is Severity.ERROR


def test_a_call_that_was_not_answered_needs_no_media() -> None:
    found = verdict(Talk().ask(0, "INVITE", OFFER).reply(1, "486 Busy Here"), [])
    assert codes(found) == ["not-answered"]
    assert "486 Busy Here" in found.text
    challenged = Talk().ask(0, "INVITE", OFFER).reply(1, "407 Proxy Authentication Required")
    challenged.ask(2, "INVITE", OFFER, cseq=2).reply(3, "200 OK", ANSWER, cseq="2 INVITE")
    assert codes(verdict(challenged, [])) == ["no-rtp"]


def test_audio_refused_with_port_0() -> None:
    found = verdict(answered(OFFER, sdp("203.0.113.2:0", "0")), [])
    assert one(found, "audio-refused").times_us == (at(2),)
    taken_up_again = answered(OFFER, sdp("203.0.113.2:0", "0")).ask(5, "INVITE", OFFER, cseq=2)
    assert "audio-refused" not in codes(verdict(taken_up_again.reply(6, "200 OK", ANSWER, cseq="2 INVITE"), BOTH))


def test_a_private_address_behind_public_signalling() -> None:
    call = answered(sdp("192.168.1.5:4000", "0"), ANSWER)
    finding = one(verdict(call, [heard(TO_BOB, src=Endpoint("198.51.100.1", 4000))]), "private-address")
    assert finding.severity is Severity.ERROR
    assert "192.168.1.5" in finding.sentence
    home = (
        Talk(Endpoint("192.168.1.5", 5060), BOB)
        .ask(0, "INVITE", sdp("192.168.1.5:4000", "0"))
        .reply(2, "200 OK", ANSWER)
    )
    assert verdict(home, BOTH).find("private-address") == ()


def test_a_whole_call_on_hold_is_why_it_is_silent() -> None:
    muted = ended(answered(sdp(ALICE_RTP, "0", "a=inactive"), sdp(BOB_RTP, "0", "a=inactive")), 12)
    finding = one(verdict(muted, []), "on-hold")
    assert (finding.severity, finding.figures[0].value) == (Severity.ERROR, 10.0)
    short = answered(OFFER, ANSWER).ask(5, "INVITE", sdp(ALICE_RTP, "0", "a=sendonly"), cseq=2)
    short.reply(5.1, "200 OK", sdp(BOB_RTP, "0", "a=recvonly"), cseq="2 INVITE")
    short.ask(9, "INVITE", OFFER, cseq=3).reply(9.1, "200 OK", ANSWER, cseq="3 INVITE")
    found = verdict(ended(short), BOTH)
    assert codes(found) == ["media-flows", "on-hold"]
    assert one(found, "on-hold").times_us == (at(5.1), at(9.1))


def test_nothing_but_media() -> None:
    found = judge([], Announcements.of([]), BOTH, {TO_BOB: -90.0})
    assert codes(found) == ["silent", "no-sip"]
    assert codes(judge([], Announcements.of([]), BOTH)) == ["media-flows", "no-sip"]


# --- ways and times of RTP ---


def test_no_rtp_at_all() -> None:
    finding = one(verdict(answered(OFFER, ANSWER), []), "no-rtp")
    assert finding.severity is Severity.ERROR
    assert "198.51.100.1:4000, 203.0.113.2:6000" in finding.sentence
    foreign = heard(TO_BOB, ssrc=None, payload_type=None, payload_types={}, packet_count=12)
    assert one(verdict(answered(OFFER, ANSWER), [foreign]), "no-rtp").figures[0].value == 12


def test_one_direction_only() -> None:
    found = verdict(answered(OFFER, ANSWER), [heard(TO_BOB)])
    finding = one(found, "one-direction")
    assert (finding.severity, finding.streams) == (Severity.ERROR, (TO_BOB,))
    assert not found.flows
    few = verdict(answered(OFFER, ANSWER), [heard(TO_BOB), heard(TO_ALICE, packet_count=3)])
    assert [finding.streams for finding in few.find("one-direction")] == [(TO_BOB,)]


def test_one_direction_as_agreed() -> None:
    call = answered(sdp(ALICE_RTP, "0", "a=recvonly"), sdp(BOB_RTP, "0", "a=sendonly"))
    found = verdict(call, [heard(TO_ALICE)])
    assert one(found, "one-direction").severity is Severity.NOTE
    assert codes(found) == ["one-direction"]


def test_a_restarted_sender_is_no_second_complaint() -> None:
    found = verdict(answered(OFFER, ANSWER), [heard(TO_BOB), heard(TO_BOB, ssrc=77, first_us=at(30), last_us=at(40))])
    assert len(found.find("one-direction")) == 1


def test_rtp_from_another_address() -> None:
    other = heard(TO_ALICE, src=Endpoint("192.0.2.200", 9999))
    finding = one(verdict(answered(OFFER, ANSWER), [heard(TO_BOB), other]), "other-source")
    assert "192.0.2.200:9999" in finding.sentence


def test_rtp_to_another_address() -> None:
    lost = heard(TO_BOB, dst=Endpoint("192.0.2.200", 9999))
    found = verdict(answered(OFFER, ANSWER), [lost])
    finding = one(found, "other-destination")
    assert (finding.severity, finding.streams[0].dst.ip) == (Severity.WARNING, "192.0.2.200")
    nowhere = [heard(TO_BOB, dst=Endpoint("0.0.0.0", 0)), heard(TO_ALICE, dst=Endpoint("0.0.0.0", 0))]
    assert codes(verdict(answered(OFFER, ANSWER), nowhere)) == ["media-flows"]


def test_rtp_before_the_answer() -> None:
    finding = one(verdict(answered(OFFER, ANSWER), [heard(TO_BOB), heard(TO_ALICE, first_us=at(0.5))]), "before-answer")
    assert (finding.severity, finding.figures[0].value) == (Severity.NOTE, 1.5)
    early = Talk().ask(0, "INVITE", OFFER).reply(0.4, "183 Session Progress", ANSWER).reply(2, "200 OK", ANSWER)
    assert verdict(early, [heard(TO_BOB), heard(TO_ALICE, first_us=at(0.5))]).find("before-answer") == ()


def test_rtp_after_the_bye() -> None:
    call = ended(answered(OFFER, ANSWER), 15)
    found = verdict(call, [heard(TO_BOB, last_us=at(15.2)), heard(TO_ALICE, last_us=at(18))])
    finding = one(found, "after-bye")
    assert (finding.streams, finding.figures[0].value) == ((TO_ALICE,), 3.0)
    assert found.flows
    only = [heard(TO_BOB, first_us=at(15.1), last_us=at(18)), heard(TO_ALICE, last_us=at(15))]
    assert one(verdict(call, only), "after-bye").severity is Severity.WARNING


# --- what RTP carries ---


def test_a_type_that_was_not_announced() -> None:
    finding = one(verdict(answered(OFFER, ANSWER), [heard(TO_BOB, 8), heard(TO_ALICE)]), "wrong-payload-type")
    assert (finding.severity, finding.streams) == (Severity.ERROR, (TO_BOB,))
    assert "8 (PCMA)" in finding.sentence
    assert finding.sentence.endswith("it announced 0.")
    noise = heard(TO_BOB, payload_types={0: 900, 13: 100})
    found = verdict(answered(OFFER, ANSWER), [noise, heard(TO_ALICE)])
    assert one(found, "wrong-payload-type").severity is Severity.NOTE
    assert found.flows


def test_a_new_type_of_a_re_invite_is_not_wrong() -> None:
    call = (
        answered(OFFER, ANSWER).ask(5, "INVITE", OFFER, cseq=2).reply(5.1, "200 OK", sdp(BOB_RTP, "8"), cseq="2 INVITE")
    )
    assert (
        verdict(call, [heard(TO_BOB, payload_types={0: 900, 8: 100}), heard(TO_ALICE)]).find("wrong-payload-type") == ()
    )


KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"


@pytest.mark.parametrize(
    ("protocol", "line", "severity", "said"),
    [
        ("RTP/SAVP", KEY, Severity.NOTE, "the keys are in the captured description (AES_CM_128_HMAC_SHA1_80)"),
        ("RTP/SAVP", "a=ptime:20", Severity.ERROR, "a=crypto line was not captured"),
        ("UDP/TLS/RTP/SAVPF", "a=fingerprint:sha-1 4A", Severity.ERROR, "DTLS"),
    ],
)
def test_encrypted(protocol: str, line: str, severity: Severity, said: str) -> None:
    call = answered(sdp(ALICE_RTP, "0", line, protocol=protocol), sdp(BOB_RTP, "0", line, protocol=protocol))
    found = verdict(call, BOTH)
    assert [finding.severity for finding in found.find("encrypted")] == [severity] * 2
    assert all(said in finding.sentence for finding in found.find("encrypted"))
    assert found.flows == (severity is Severity.NOTE)


def test_undecodable_by_name() -> None:
    call = answered(sdp(ALICE_RTP, "15"), sdp(BOB_RTP, "15"))
    found = verdict(call, [heard(TO_BOB, 15), heard(TO_ALICE, 15)])
    assert len(found.find("undecodable")) == 2
    assert "is G728, which cannot be decoded: no decoder knows it." in found.find("undecodable")[0].sentence
    unknown = one(verdict(answered(OFFER, ANSWER), [heard(TO_BOB, 99), heard(TO_ALICE)]), "undecodable")
    assert "payload type 99" in unknown.sentence


def test_silent_throughout() -> None:
    found = verdict(answered(OFFER, ANSWER), BOTH, {TO_BOB: -85.0, TO_ALICE: -30.0})
    finding = one(found, "silent")
    assert (finding.streams, finding.figures[0].value) == ((TO_BOB,), -85.0)
    assert not found.flows
    assert "silent" in codes(verdict(answered(OFFER, ANSWER), BOTH, {TO_BOB: float("-inf")}))


def test_codecs_differ_by_direction() -> None:
    call = answered(OFFER, sdp(BOB_RTP, "0 8"))
    found = verdict(call, [heard(TO_BOB, 8), heard(TO_ALICE)])
    assert codes(found) == ["media-flows", "codec-mismatch"]
    assert set(one(found, "codec-mismatch").streams) == {TO_BOB, TO_ALICE}


def test_packets_of_another_length_than_asked_for() -> None:
    found = verdict(answered(OFFER, ANSWER), [heard(TO_BOB, payload_octets=240_000), heard(TO_ALICE)])
    finding = one(found, "ptime-mismatch")
    assert [figure.value for figure in finding.figures] == [20.0, 30.0]
    opus = sdp(ALICE_RTP, "96", "a=rtpmap:96 opus/48000/2", "a=ptime:60")
    found = verdict(answered(opus, ANSWER), [heard(TO_BOB), heard(TO_ALICE, 96, payload_octets=40_000)])
    assert [figure.value for figure in one(found, "ptime-mismatch").figures] == [60.0, 20.0]


# --- captures ---


def judged(path: Path) -> list[Verdict]:
    """Judge every call of a capture that announces or has media."""
    found = []
    for call in calls_of(path).values():
        announcements = Announcements.of(call.messages)
        if call.streams or announcements.addresses():
            measured = statistics(call.chunks, announcements.everything())
            found.append(judge(call.messages, announcements, measured))
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("magicjack", [["media-flows", "ptime-mismatch"]]),
        ("prack-cn-rtcp", [["media-flows"]]),
        ("reinvite-codec-change", [["media-flows"]]),
        ("codec-g729a", [["one-direction"]]),
        ("subscribe-notify-call", [["media-flows"], ["one-direction"]]),
        ("eim-407-rtcp", [["one-direction"]]),
        ("proxy-two-legs", [["no-rtp"]]),
    ],
)
def test_what_captures_show(name: str, expected: list[list[str]]) -> None:
    found = judged(need(SHARED / f"{name}.pcap"))
    assert [codes(each) for each in found] == expected


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_every_call_of_every_capture_has_a_verdict(path: Path) -> None:
    for found in judged(need(path)):
        assert found.findings
        assert found.flows == bool(found.find("media-flows"))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, 8, 13, 96, 127]), st.integers(1, 2000), st.floats(-120, 0)),
        max_size=6,
    )
)
def test_a_verdict_is_never_refused(streams: list[tuple[int, int, int, float]]) -> None:
    call = answered(OFFER, ANSWER)
    measured, energies = [], {}
    for leg, number, count, level in streams:
        key = msgspec.structs.replace(TO_BOB if leg % 2 else TO_ALICE, leg=leg, ssrc=count)
        measured.append(heard(key, number, packet_count=count, payload_types={number: count}))
        energies[key] = level
    found = verdict(call, measured, energies)
    assert found.findings
    assert found.flows == bool(found.find("media-flows"))
    assert found.flows <= (not any(each.severity is not Severity.NOTE for each in found.findings))


def test_a_thousand_forged_streams_cost_little() -> None:
    measured = [
        heard(TO_BOB, ssrc=number, src=Endpoint("192.0.2.9", number + 1), packet_count=5) for number in range(1000)
    ]
    found = verdict(answered(OFFER, ANSWER), [*BOTH, *measured])
    assert len(found.findings) <= 200
