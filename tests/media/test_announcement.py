"""What session descriptions announce for a stream, from when on, against hand-written calls and real captures."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured_calls import CapturedCall, calls_of
from captures import CAPTURES, LAB, SHARED, need
from chunks import T0_US
from sipflow.ingest.capture_file import CaptureFile
from sipflow.media.announcement import EVER, Announcements, Span
from sipflow.media.codec import STATIC, Codec, Payloads, canonical, codec_of, law_of
from sipflow.query.announced import announced
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Message, StreamKey
from talk import ALICE_RTP, BOB_RTP, CALL_ID, TO_ALICE, TO_BOB, Talk, answered, at, sdp


def spans(call: Talk, key: StreamKey = TO_ALICE) -> tuple[Span, ...]:
    """Give the spans of a stream of a call."""
    return Announcements.of(call.messages).spans(key)


def names(payloads: Payloads, *types: int) -> list[str]:
    """Name payload types."""
    return [codec_of(number, payloads).name for number in types]


def stream(src: str, dst: str, leg: int = 0) -> StreamKey:
    """Name a stream by ends written as ip port."""
    ends = [Endpoint(text.split()[0], int(text.split()[1])) for text in (src, dst)]
    return StreamKey(CALL_ID, leg, ends[0], ends[1], 7)


# --- codec.py ---


@pytest.mark.parametrize(
    ("written", "spelt"),
    [("OPUS", "opus"), ("pcmu", "PCMU"), ("Telephone-Event", "telephone-event"), ("ilbc", "iLBC"), ("amr-wb", "AMR-WB"),
     ("SPEEX", "speex"), ("G723.1", "G723"), ("g729a", "G729"), ("x-Private", "x-Private"), ("cn", "CN")],
)  # fmt: skip
def test_names_have_one_spelling(written: str, spelt: str) -> None:
    assert canonical(written) == spelt
    assert codec_of(97, {97: Codec(written, 8000)}).name == spelt


def test_what_nobody_named_stays_unknown() -> None:
    for number in (96, 111, 127, 77, 35):
        assert codec_of(number) == Codec(f"payload type {number}", 8000)
        assert law_of(codec_of(number)) is None


def test_static_types_are_those_of_rfc_3551() -> None:
    assert codec_of(9) == Codec("G722", 8000)
    assert codec_of(10) == Codec("L16", 44100, 2)
    assert codec_of(11) == Codec("L16", 44100, 1)
    assert {number: codec.name for number, codec in STATIC.items() if number <= 19} == {
        0: "PCMU", 3: "GSM", 4: "G723", 5: "DVI4", 6: "DVI4", 7: "LPC", 8: "PCMA", 9: "G722", 10: "L16", 11: "L16",
        12: "QCELP", 13: "CN", 14: "MPA", 15: "G728", 16: "DVI4", 17: "DVI4", 18: "G729", 19: "CN",
    }  # fmt: skip


def test_only_g711_of_one_channel_at_8_khz_has_a_law() -> None:
    assert [law_of(Codec(name, 8000)) for name in ("pcmu", "PCMA", "G722", "payload type 5")] == [0, 1, None, None]
    assert law_of(Codec("PCMU", 16000)) is None
    assert law_of(Codec("PCMU", 8000, 2)) is None


# --- offer and answer ---

OFFER = sdp(
    ALICE_RTP,
    "0 96 101",
    "a=rtpmap:96 OPUS/48000/2",
    "a=fmtp:96 useinbandfec=1",
    "a=rtpmap:101 telephone-event/8000",
    "a=ptime:20",
)
ANSWER = sdp(BOB_RTP, "111 97", "a=rtpmap:111 opus/48000/2", "a=rtpmap:97 telephone-event/8000", "a=ptime:40")


def test_each_direction_has_the_types_of_its_receiver() -> None:
    call = answered(OFFER, ANSWER)
    (to_alice,), (to_bob,) = spans(call, TO_ALICE), spans(call, TO_BOB)
    assert to_alice.payloads[96] == Codec("opus", 48000, 2, "useinbandfec=1")
    assert to_alice.announced == {0, 96, 101}
    assert to_bob.announced == {97, 111}
    assert (to_alice.ptime_ms, to_bob.ptime_ms) == (20, 40)
    assert (to_alice.from_us, to_alice.direction) == (EVER, "sendrecv")


def test_a_type_of_two_meanings_means_what_its_receiver_says() -> None:
    offer = sdp(ALICE_RTP, "96 97", "a=rtpmap:96 opus/48000/2", "a=rtpmap:97 telephone-event/8000")
    answer = sdp(BOB_RTP, "97 96", "a=rtpmap:97 opus/48000/2", "a=rtpmap:96 telephone-event/8000")
    call = answered(offer, answer)
    assert names(spans(call, TO_ALICE)[0].payloads, 96, 97) == ["opus", "telephone-event"]
    assert names(spans(call, TO_BOB)[0].payloads, 96, 97) == ["telephone-event", "opus"]


def test_a_sender_that_uses_its_own_numbers_is_understood() -> None:
    # Bob's numbers were never announced by Alice, who receives; and 8 by nobody, so RFC 3551 speaks.
    payloads = spans(answered(OFFER, ANSWER), TO_ALICE)[0].payloads
    assert names(payloads, 111, 97, 8, 99) == ["opus", "telephone-event", "PCMA", "payload type 99"]


def test_everything_is_what_was_said_first() -> None:
    renumbered = sdp(ALICE_RTP, "96", "a=rtpmap:96 speex/16000")
    call = answered(OFFER, ANSWER).ask(9, "INVITE", renumbered, cseq=2)
    everything = Announcements.of(call.messages).everything()
    assert everything[96] == Codec("opus", 48000, 2, "useinbandfec=1")
    assert sorted(everything) == [0, 96, 97, 101, 111]
    assert announced(call.messages) == everything


def test_nothing_announced_is_one_empty_span() -> None:
    assert Announcements.of([]).spans(TO_BOB) == (Span(EVER, {}, None, "sendrecv", ()),)
    assert spans(Talk().ask(0, "INVITE").reply(1, "486 Busy Here"))[0].payloads == {}


# --- when it takes effect ---

AGAIN = sdp(ALICE_RTP, "96", "a=rtpmap:96 speex/16000")
AGREED = sdp(BOB_RTP, "96", "a=rtpmap:96 speex/16000")


def test_a_change_holds_from_its_answer_on() -> None:
    call = answered(OFFER, ANSWER).ask(10, "INVITE", AGAIN, cseq=2).reply(10.5, "200 OK", AGREED, cseq="2 INVITE")
    for key, before in ((TO_ALICE, "opus"), (TO_BOB, "opus")):
        first, second = spans(call, key)
        assert (first.from_us, second.from_us) == (EVER, at(10.5))
        assert names(first.payloads, 96) == [before]
        assert names(second.payloads, 96) == ["speex"]


def test_a_change_whose_answer_was_not_seen_holds_from_its_offer_on() -> None:
    first, second = spans(answered(OFFER, ANSWER).ask(10, "INVITE", AGAIN, cseq=2))
    assert (names(first.payloads, 96), names(second.payloads, 96)) == (["opus"], ["speex"])
    assert second.from_us == at(10)


def test_a_refused_change_never_holds() -> None:
    call = (
        answered(OFFER, ANSWER).ask(10, "INVITE", AGAIN, cseq=2).reply(10.5, "488 Not Acceptable Here", cseq="2 INVITE")
    )
    (only,) = spans(call)
    assert names(only.payloads, 96) == ["opus"]


def test_a_change_that_fails_after_a_first_answer_is_taken_back() -> None:
    call = answered(OFFER, ANSWER).ask(10, "INVITE", AGAIN, cseq=2)
    call.reply(10.2, "183 Session Progress", AGREED, cseq="2 INVITE").reply(11, "500 Failed", cseq="2 INVITE")
    found = spans(call)
    assert [(span.from_us, *names(span.payloads, 96)) for span in found] == [
        (EVER, "opus"), (at(10.2), "speex"), (at(11), "opus"),
    ]  # fmt: skip


def test_an_update_and_the_called_side_may_change_it_too() -> None:
    call = (
        answered(OFFER, ANSWER)
        .ask(10, "UPDATE", AGREED, by="bob")
        .reply(10.5, "200 OK", AGAIN, cseq="1 UPDATE", by="alice")
    )
    assert [names(span.payloads, 96) for span in spans(call)] == [["opus"], ["speex"]]
    assert spans(call)[1].from_us == at(10.5)


def test_early_media_is_described_by_a_183() -> None:
    early = sdp("203.0.113.9:7000", "8")
    call = (
        Talk().ask(0, "INVITE", OFFER).reply(1, "183 Session Progress", early, tag="gateway").reply(9, "200 OK", ANSWER)
    )
    assert spans(call, stream("198.51.100.1 4000", "203.0.113.9 7000"))[0].announced == {8}
    assert spans(call, TO_BOB)[0].announced == {97, 111}


def test_an_invite_without_offer_is_offered_by_its_answer() -> None:
    call = Talk().ask(0, "INVITE").reply(2, "200 OK", ANSWER).ask(2.2, "ACK", OFFER)
    assert spans(call, TO_BOB)[0].announced == {97, 111}
    assert spans(call, TO_ALICE)[0].announced == {0, 96, 101}
    (exchange,) = Announcements.of(call.messages).negotiation.exchanges
    assert exchange.offer is not None
    assert (exchange.offer.side.tag, [answer.side.tag for answer in exchange.answers]) == ("bob", ["alice"])


def test_a_prack_answers_a_late_offer() -> None:
    call = Talk().ask(0, "INVITE").reply(1, "183 Session Progress", ANSWER).ask(1.1, "PRACK", OFFER, cseq=2)
    assert spans(call.reply(1.2, "200 OK", cseq="2 PRACK"), TO_ALICE)[0].announced == {0, 96, 101}
    (exchange,) = Announcements.of(call.messages).negotiation.exchanges
    assert len(exchange.answers) == 1


def test_a_medium_answered_with_port_0_does_not_hold() -> None:
    video = "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    call = answered(sdp(ALICE_RTP, "0") + video, sdp(BOB_RTP, "0") + "m=video 0 RTP/AVP 96\r\n")
    found = Announcements.of(call.messages)
    assert found.addresses() == (ALICE_RTP, BOB_RTP)
    dropped = answered(OFFER, ANSWER).ask(9, "INVITE", sdp("198.51.100.1:0", "0"), cseq=2)
    dropped.reply(9.1, "200 OK", sdp("203.0.113.2:0", "0"), cseq="2 INVITE")
    for key in (TO_ALICE, TO_BOB):
        assert [(span.from_us, span.direction) for span in spans(dropped, key)] == [
            (EVER, "sendrecv"), (at(9.1), "inactive"),
        ]  # fmt: skip


def test_a_repeated_answer_says_nothing_new() -> None:
    call = answered(OFFER, ANSWER).reply(2.5, "200 OK", ANSWER).reply(3.5, "200 OK", ANSWER)
    call.ask(60, "INVITE", OFFER, cseq=2).reply(60.1, "200 OK", ANSWER, cseq="2 INVITE")
    assert len(spans(call)) == len(spans(call, TO_BOB)) == 1


# --- hold ---


def hold(line: str, answer: str, place: Endpoint = ALICE_RTP) -> Talk:
    """Let Alice put Bob on hold at 10 s, until 20 s."""
    call = answered(OFFER, ANSWER).ask(10, "INVITE", sdp(place, "0", line), cseq=2)
    call.reply(10.1, "200 OK", sdp(BOB_RTP, "0", answer), cseq="2 INVITE")
    call.ask(20, "INVITE", sdp(ALICE_RTP, "0"), cseq=3).reply(20.1, "200 OK", sdp(BOB_RTP, "0"), cseq="3 INVITE")
    return call.ask(30, "BYE", cseq=4)


@pytest.mark.parametrize(
    ("line", "answer", "to_alice", "to_bob"),
    [
        ("a=sendonly", "a=recvonly", "sendonly", "recvonly"),
        ("a=inactive", "a=inactive", "inactive", "inactive"),
        ("a=sendonly", "a=inactive", "inactive", "inactive"),
    ],
)
def test_a_hold_is_a_span_of_both_directions(line: str, answer: str, to_alice: str, to_bob: str) -> None:
    call = hold(line, answer)
    for key, direction in ((TO_ALICE, to_alice), (TO_BOB, to_bob)):
        found = spans(call, key)
        assert [(span.from_us, span.direction) for span in found] == [
            (EVER, "sendrecv"), (at(10.1), direction), (at(20.1), "sendrecv"),
        ]  # fmt: skip
        assert [span.held for span in found] == [False, direction in ("sendonly", "inactive"), False]
    (one,) = Announcements.of(call.messages).holds()
    assert (one.from_us, one.to_us, one.by_caller, one.by.ip) == (at(10.1), at(20.1), True, "198.51.100.1")


def test_the_old_hold_gives_0_0_0_0() -> None:
    call = hold("a=ptime:20", "a=ptime:20", Endpoint("0.0.0.0", 4000))
    assert [span.direction for span in spans(call, TO_ALICE)] == ["sendrecv", "sendonly", "sendrecv"]
    assert [span.direction for span in spans(call, TO_BOB)] == ["sendrecv", "recvonly", "sendrecv"]
    assert len(Announcements.of(call.messages).holds()) == 1


def test_a_hold_that_is_not_taken_back_ends_with_the_call() -> None:
    call = answered(OFFER, ANSWER).ask(10, "INVITE", sdp(BOB_RTP, "0", "a=inactive"), cseq=2, by="bob")
    call.reply(10.1, "200 OK", sdp(ALICE_RTP, "0", "a=inactive"), cseq="2 INVITE", by="alice").ask(30, "BYE", cseq=9)
    (one,) = Announcements.of(call.messages).holds()
    assert (one.from_us, one.to_us, one.by_caller) == (at(10.1), at(30), False)


# --- which announcement a stream has ---


def test_a_receiver_nobody_announced_is_found_through_its_sender() -> None:
    assert spans(answered(OFFER, ANSWER), stream("198.51.100.1 4000", "192.0.2.99 1234"))[0].announced == {97, 111}


def test_behind_nat_the_port_tells() -> None:
    offer, answer = sdp("10.0.0.5:4000", "0 96", "a=rtpmap:96 opus/48000/2"), sdp("10.9.9.9:6000", "8")
    call = answered(offer, answer)
    assert spans(call, stream("203.0.113.2 6000", "198.51.100.1 4000"))[0].announced == {0, 96}


def test_behind_nat_the_same_port_on_both_sides_is_told_by_where_the_sip_comes_from() -> None:
    call = answered(sdp("10.0.0.5:4000", "0"), sdp("10.9.9.9:4000", "8"))
    assert spans(call, stream("203.0.113.2 4000", "198.51.100.1 4000"))[0].announced == {0}
    assert spans(call, stream("198.51.100.1 4000", "203.0.113.2 4000"))[0].announced == {8}


def test_where_no_address_is_known_the_leg_tells() -> None:
    call = answered(sdp(ALICE_RTP, "0"), sdp(BOB_RTP, "8"))
    assert spans(call, stream("0.0.0.0 0", "0.0.0.0 0", leg=0))[0].announced == {8}
    assert spans(call, stream("0.0.0.0 0", "0.0.0.0 0", leg=1))[0].announced == {0}
    far = spans(call, stream("0.0.0.0 0", "0.0.0.0 0", leg=6))[0]
    assert (far.announced, sorted(far.payloads)) == (frozenset(), [0, 8])


def test_addresses_of_either_family_are_compared_by_value() -> None:
    offer = sdp("[2001:db8:0:0::1]:4000", "0")
    call = answered(offer, sdp(BOB_RTP, "8"))
    assert spans(call, stream("2001:db8::2 1", "2001:db8::1 4000"))[0].announced == {0}


def test_an_address_that_ice_chose_is_announced() -> None:
    offer = sdp(ALICE_RTP, "0", "a=candidate:1 1 udp 1 192.0.2.77 4444 typ host")
    assert spans(answered(offer, sdp(BOB_RTP, "8")), stream("192.0.2.8 9", "192.0.2.77 4444"))[0].announced == {0}


# --- keys and RTCP ---


def crypto(tag: int, key: str) -> str:
    return f"a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}"


def test_the_keys_of_a_stream_are_those_its_sender_chose() -> None:
    offer = sdp(ALICE_RTP, "0", crypto(1, "AAAA"), crypto(2, "BBBB"), protocol="RTP/SAVP")
    answer = sdp(BOB_RTP, "0", crypto(2, "CCCC"), protocol="RTP/SAVP")
    call = answered(offer, answer)
    assert [one.keys for one in spans(call, TO_BOB)[0].cryptos] == [("inline:BBBB",)]
    assert [one.keys for one in spans(call, TO_ALICE)[0].cryptos] == [("inline:CCCC",)]
    assert spans(call, TO_ALICE)[0].secure


def test_keys_that_are_offered_and_not_taken_encrypt_nothing() -> None:
    call = answered(sdp(ALICE_RTP, "0", crypto(1, "AAAA")), sdp(BOB_RTP, "0"))
    assert [spans(call, key)[0].secure for key in (TO_ALICE, TO_BOB)] == [False, False]


@pytest.mark.parametrize(
    ("lines", "places"),
    [
        ((), ["198.51.100.1:4001"]),
        (("a=rtcp:4567",), ["198.51.100.1:4567"]),
        (("a=rtcp:4567 IN IP4 192.0.2.5",), ["192.0.2.5:4567"]),
        (("a=rtcp-mux",), ["198.51.100.1:4000", "198.51.100.1:4001"]),
    ],
)
def test_rtcp_finds_its_medium(lines: tuple[str, ...], places: list[str]) -> None:
    found = Announcements.of(answered(sdp(ALICE_RTP, "0", *lines), sdp(BOB_RTP, "0", "a=rtcp-mux")).messages)
    assert [str(place) for place in found.rtcp(ALICE_RTP)] == places
    assert all(found.media_of(place) == (ALICE_RTP,) for place in found.rtcp(ALICE_RTP))


def test_rtcp_is_on_one_port_only_when_both_say_so() -> None:
    found = Announcements.of(answered(sdp(ALICE_RTP, "0", "a=rtcp-mux"), sdp(BOB_RTP, "0")).messages)
    assert [str(place) for place in found.rtcp(ALICE_RTP)] == ["198.51.100.1:4001"]


# --- bodies ---


def test_multipart_and_bare_line_feeds_are_read() -> None:
    isup = "Content-Type: application/isup\r\n\r\nx\r\n"
    body = f"--b\r\n{isup}--b\r\nContent-Type: application/sdp\r\n\r\n{OFFER}\r\n--b--\r\n"
    call = (
        Talk()
        .ask(0, "INVITE", body, kind="multipart/mixed;boundary=b")
        .reply(2, "200 OK", ANSWER.replace("\r\n", "\n"))
    )
    assert spans(call, TO_ALICE)[0].announced == {0, 96, 101}
    assert spans(call, TO_BOB)[0].announced == {97, 111}


def test_what_options_say_is_no_announcement() -> None:
    call = Talk().ask(0, "OPTIONS", OFFER).reply(1, "200 OK", ANSWER, cseq="1 OPTIONS")
    assert Announcements.of(call.messages).addresses() == ()


# --- properties ---


def long_call() -> list[Message]:
    """A call with every kind of change, and its proxy's second sight of some messages."""
    call = hold("a=sendonly", "a=recvonly")
    seen_again = [msgspec.structs.replace(each, client_id=7) for each in call.messages[::2]]
    return call.messages + seen_again


def test_the_order_of_the_messages_does_not_matter() -> None:
    messages = long_call()
    expected = Announcements.of(messages)
    for seed in range(20):
        shuffled = random.Random(seed).sample(messages, len(messages))
        found = Announcements.of(shuffled)
        assert [found.spans(key) for key in (TO_ALICE, TO_BOB)] == [expected.spans(key) for key in (TO_ALICE, TO_BOB)]
        assert (found.everything(), found.holds()) == (expected.everything(), expected.holds())


LINES = st.sampled_from(
    [
        *(
            "a=sendonly",
            "a=inactive",
            "a=rtpmap:96 x/0",
            "a=rtpmap:0 opus/48000",
            "a=ptime:0",
            "a=ptime:1e9",
            "a=fmtp:0",
        ),
        *("c=IN IP4 0.0.0.0", "c=IN IP6 ::ffff:1.2.3.4", "c=IN IP6 fe80::1%eth0", "c=IN IP4 host.example"),
        *("m=audio 65535/9 RTP/AVP 0", "m=audio 0 RTP/AVP 0", "a=rtcp:65535", "a=rtcp:0 IN IP4 ?", "a=rtcp-mux"),
        *("a=crypto:1 X inline:", "a=candidate:1 1 udp 1 ::1 1 typ host"),
    ]
)
MOVES = st.tuples(
    st.sampled_from(["INVITE", "ACK", "PRACK", "UPDATE", "BYE", "OPTIONS"]),
    st.sampled_from(["", "183 P", "200 OK", "488 No", "999", "0 x"]),
    st.integers(1, 3),
    st.sampled_from(["alice", "bob"]),
    st.lists(LINES, max_size=6),
)


@given(st.lists(MOVES, max_size=12), st.randoms(use_true_random=False))
def test_no_sequence_of_messages_makes_it_fail(
    moves: list[tuple[str, str, int, str, list[str]]], chance: random.Random
) -> None:
    call = Talk()
    for index, (method, status, cseq, by, lines) in enumerate(moves):
        body = sdp(ALICE_RTP if by == "alice" else BOB_RTP, "0 96", *lines) if lines else ""
        if status:
            call.reply(index / 4, status, body, cseq=f"{cseq} {method}", by=by)
        else:
            call.ask(index / 4, method, body, cseq=cseq, by=by)
    found = Announcements.of(call.messages)
    shuffled = Announcements.of(chance.sample(call.messages, len(call.messages)))
    for key in (TO_ALICE, TO_BOB, stream("0.0.0.0 0", "0.0.0.0 0", 1), stream("192.0.2.1 1", "192.0.2.2 2")):
        own = found.spans(key)
        times = [span.from_us for span in own]
        assert times[0] == EVER
        assert times == sorted(set(times))
        assert all(codec.clock > 0 for span in own for codec in span.payloads.values())
        assert shuffled.spans(key) == own
    for one in found.holds():
        assert one.from_us <= one.to_us


@given(st.lists(st.binary(max_size=400), max_size=4), st.integers(0, 2000))
def test_no_octets_make_it_fail(noise: list[bytes], cut: int) -> None:
    whole = answered(OFFER, ANSWER).messages
    broken = [msgspec.structs.replace(each, payload=each.payload[:cut] + b"".join(noise)) for each in whole]
    found = Announcements.of([*broken, *(msgspec.structs.replace(whole[0], payload=octets) for octets in noise)])
    assert found.spans(TO_ALICE)
    assert isinstance(found.holds(), list)


def test_a_forged_call_costs_little() -> None:
    message = answered(OFFER, ANSWER).messages[0]
    head, body = message.payload.split(b"\r\n\r\n", 1)
    forged = [
        msgspec.structs.replace(
            message,
            time_us=T0_US + index,
            payload=head.replace(b"CSeq: 1", b"CSeq: %d" % index)
            + b"\r\n\r\n"
            + body.replace(b"4000", b"%d" % (4000 + index)),
        )
        for index in range(3000)
    ]
    found = Announcements.of(forged)
    assert len(found.spans(TO_ALICE)) <= 2000
    assert len(found.negotiation.exchanges) == 2000


# --- real captures: what tshark calls each stream's types ---

TSHARK = {
    "g711U": "PCMU",
    "g711A": "PCMA",
    "g729": "G729",
    "g722": "G722",
    "h263": "H263",
    "rtpevent": "telephone-event",
    **{name: name for name in ("AMR", "AMR-WB", "BV32", "CN", "GSM", "H264", "opus", "telephone-event")},
}
UNSAID = "payload type 101"
# Where we say something else than tshark: per capture the sources, what we say, and what tshark says.
OTHERWISE = {
    # The SIP came over TCP, which capture files are not read for: the type stays unknown.
    "vowifi-amr-sll": [("10.192.51.201:12720", "payload type 99", "AMR")],
    # Dynamic types that nothing announces; tshark takes 101 for events by habit.
    "rtp-dtmf-only": [(f"10.10.0.{end}", UNSAID, "telephone-event") for end in ("82:19438", "84:56890")],
    "sipp-dtmf-star": [("192.168.0.3:49176", UNSAID, "telephone-event")],
    "rtp-vlan-mixed-ng": [("192.113.193.227:50003", UNSAID, "telephone-event")],
    # H264 by the sender's own description; the receiver has none for 125.
    "eyebeam-video": [("192.168.1.87:5064", "H264", "H264 payload type 125")],
    # Events by the first description of the receiver; tshark knows but its last.
    "fax-t38-megaco": [("10.35.60.100:15580", "PCMA telephone-event", "PCMA payload type 102")],
    # The two counts of the truth read one damaged packet differently; one lone packet is no stream for us.
    "fuzzed-aaa": [
        ("192.168.1.2:30000", "PCMA payload type 113", "PCMA payload type 99"),
        ("192.168.1.2:30000", "", "Unassigned"),
    ],
}


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_every_stream_of_a_capture_is_named_as_tshark_names_it(path: Path) -> None:
    truth = truth_beside(need(path))
    owners = {
        (str(key.src), str(key.dst), key.ssrc): (key, call) for call in calls_of(path).values() for key in call.streams
    }
    differences = []
    for row, counted in zip(truth["rtp_streams"], truth["rtp_rfc3550"], strict=True):
        key, call = owners.get((row["src"], row["dst"], int(row["ssrc"], 16)), (None, None))
        named = (
            {name_of(counted, int(number), key, call) for number in counted["payload_types"]} if key and call else set()
        )
        said = {TSHARK.get(name, name.replace("RTPType-", "payload type ")) for name in row["payload"].split(", ")}
        if named != said:
            differences.append((row["src"], " ".join(sorted(named)), " ".join(sorted(said))))
    assert differences == OTHERWISE.get(path.stem, [])


def test_a_re_invite_changes_the_codec_at_its_answer() -> None:
    (call,) = calls_of(need(SHARED / "reinvite-codec-change.pcap")).values()
    for key in call.streams:
        before, after = Announcements.of(call.messages).spans(key)
        assert after.from_us == 1782326790820169
        assert 9 in after.announced
        assert 0 in before.announced


def test_a_hold_in_a_capture_has_its_times() -> None:
    (call,) = calls_of(need(LAB / "lab3_g711_hold_dtmf.pcap")).values()
    (one,) = Announcements.of(call.messages).holds()
    assert (one.from_us, one.to_us, one.by_caller) == (1795414061657302, 1795414063965165, True)


def test_the_keys_of_a_captured_call_open_its_packets() -> None:
    pylibsrtp = pytest.importorskip("pylibsrtp")
    path = need(LAB / "lab3_g711_srtp.pcap")
    (call,) = calls_of(path).values()
    sessions = {}
    for key in call.streams:
        (span,) = Announcements.of(call.messages).spans(key)
        (crypto,) = span.cryptos
        secret = base64.b64decode(crypto.keys[0].removeprefix("inline:").split("|")[0])
        policy = pylibsrtp.Policy(key=secret, ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND)
        sessions[key.src, key.dst] = pylibsrtp.Session(policy)
    assert len(sessions) == 2
    rtp = [packet for packet in CaptureFile(path).packets() if packet.kind is Kind.RTP]
    # The wrong key fails the authentication of every packet; its tag has ten octets.
    opened = [len(sessions[packet.src, packet.dst].unprotect(packet.payload)) for packet in rtp]
    assert opened == [len(packet.payload) - 10 for packet in rtp]


def name_of(counted: dict[str, Any], number: int, key: StreamKey, call: CapturedCall) -> str:
    """Name a type by the first span of a stream's life whose receiver announced it, else by the last."""
    found = Announcements.of(call.messages).spans(key)
    first_us, last_us = counted["first_us"], counted["last_us"]
    ends = [*(span.from_us for span in found[1:]), last_us + 1]
    alive = [one for one, end in zip(found, ends, strict=True) if end > first_us and one.from_us <= last_us]
    span = next((one for one in alive if number in one.announced), alive[-1])
    return codec_of(number, span.payloads).name


def truth_beside(path: Path) -> dict[str, Any]:
    """Read what tshark says of a capture."""
    places = (path.parent / "truth" / f"{path.stem}.json", path.with_name(f"{path.stem}.truth.json"))
    found: dict[str, Any] = json.loads(next(place for place in places if place.exists()).read_text())
    return found
