"""Ladders: lanes, labels, deltas, retransmissions, and what is drawn of them."""

import msgspec

from sipflow.cli.ladder_text import ASCII, printable, render
from sipflow.query.answer import Flow
from sipflow.query.ladder import draw
from sipflow.query.transcript import Transcript, read_back, transcribe
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message

A, B, C = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060), Endpoint("192.0.2.3", 5080)
T0 = 1_753_000_000_123_456


def sip(start: str, cseq: str, branch: str = "z9hG4bK1", extra: str = "", body: str = "") -> bytes:
    via = f"Via: SIP/2.0/UDP 192.0.2.1;rport;branch={branch}"
    return f"{start}\r\n{via}\r\nCall-ID: a\r\nCSeq: {cseq}\r\n{extra}\r\n{body}".encode()


def at(offset_us: int, src: Endpoint, dst: Endpoint, payload: bytes) -> Message:
    return Message("a", T0 + offset_us, T0 + offset_us, src, dst, payload)


SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
CALL = [
    at(0, A, B, sip("INVITE sip:bob@b SIP/2.0", "1 INVITE", body=SDP)),
    at(500_000, A, B, sip("INVITE sip:bob@b SIP/2.0", "1 INVITE", body=SDP)),
    at(501_000, B, A, sip("SIP/2.0 100 Trying", "1 INVITE")),
    at(502_000, B, C, sip("INVITE sip:bob@c SIP/2.0", "1 INVITE", "z9hG4bK2", body=SDP)),
    at(900_000, C, B, sip("SIP/2.0 486 Busy Here", "1 INVITE", "z9hG4bK2")),
    at(901_250, B, A, sip("SIP/2.0 486 Busy Here", "1 INVITE")),
    at(902_250, A, A, b"\0\0 keep-alive"),
]

GOLDEN = """\
                                 192.0.2.1:5060         192.0.2.2:5060         192.0.2.3:5080
                                        |                      |                      |
2025-07-20 UTC
08:26:40.123456    +0.000000            |---- INVITE (SDP) --->|                      |
08:26:40.623456    +0.500000            |. INVITE (SDP) again >|                      |
08:26:40.624456    +0.001000            |<---- 100 Trying -----|                      |
08:26:40.625456    +0.001000            |                      |---- INVITE (SDP) --->|
08:26:41.023456    +0.398000            |                      |<-- 486 Busy Here ----|
08:26:41.024706    +0.001250            |<-- 486 Busy Here ----|                      |
08:26:41.025706    +0.001000            |@ not SIP             |                      |
"""


def text_of(width: int) -> str:
    return "\n".join(line.plain for line in render(draw(CALL), width, ASCII))


def test_lanes_appear_in_order_and_every_message_is_an_arrow() -> None:
    ladder = draw(CALL)
    assert ladder.lanes == [A, B, C]
    assert [(arrow.source, arrow.target) for arrow in ladder.arrows] == [
        (0, 1), (0, 1), (1, 0), (1, 2), (2, 1), (1, 0), (0, 0),
    ]  # fmt: skip
    assert [arrow.label for arrow in ladder.arrows] == [
        "INVITE (SDP)", "INVITE (SDP)", "100 Trying", "INVITE (SDP)", "486 Busy Here", "486 Busy Here", "not SIP",
    ]  # fmt: skip
    assert [arrow.kind for arrow in ladder.arrows] == [
        "request", "request", "1xx", "request", "4xx", "4xx", "unreadable",
    ]  # fmt: skip
    assert [arrow.delta_us for arrow in ladder.arrows] == [0, 500_000, 1_000, 1_000, 398_000, 1_250, 1_000]


def test_only_the_same_message_on_the_same_hop_is_a_retransmission() -> None:
    assert [arrow.repeat for arrow in draw(CALL).arrows] == [False, True, False, False, False, False, False]


def test_a_retransmission_need_not_be_octet_equal() -> None:
    first = at(0, A, B, sip("BYE sip:b SIP/2.0", "2 BYE"))
    again = at(1, A, B, sip("BYE sip:b SIP/2.0", "2 BYE", extra="Timestamp: 2\r\n"))
    fresh = at(2, A, B, sip("BYE sip:b SIP/2.0", "3 BYE", "z9hG4bK9"))
    assert [arrow.repeat for arrow in draw([first, again, fresh]).arrows] == [False, True, False]


def test_forked_answers_are_not_retransmissions() -> None:
    one = at(0, B, A, sip("SIP/2.0 180 Ringing", "1 INVITE", extra="To: <sip:b>;tag=one\r\n"))
    two = at(1, B, A, sip("SIP/2.0 180 Ringing", "1 INVITE", extra="To: <sip:b>;tag=two\r\n"))
    assert [arrow.repeat for arrow in draw([one, two]).arrows] == [False, False]


def test_no_messages_make_no_ladder() -> None:
    assert draw([]).arrows == []
    assert list(render(draw([]), 80)) == []


def test_golden_ladder() -> None:
    assert text_of(100) + "\n" == GOLDEN


def test_a_narrow_terminal_gets_a_list_with_whole_labels() -> None:
    lines = text_of(60).splitlines()
    assert lines[0] == "2025-07-20 UTC"
    assert lines[1] == "08:26:40.123456    +0.000000 192.0.2.1:5060 -> 192.0.2.2:5060  INVITE (SDP)"


def test_no_line_is_wider_than_the_terminal_where_lanes_are_drawn() -> None:
    for width in range(84, 160):
        assert max(len(line) for line in text_of(width).splitlines()) <= width


def test_long_addresses_are_written_above_their_lanes() -> None:
    six = Endpoint("2001:db8:1111:2222:3333:4444:5555:6666", 5060)
    lines = [line.plain for line in render(draw([at(0, six, B, sip("OPTIONS sip:b SIP/2.0", "1 OPTIONS"))]), 80, ASCII)]
    assert lines[0] == "A  [2001:db8:1111:2222:3333:4444:5555:6666]:5060"
    assert lines[1] == "B  192.0.2.2:5060"


def test_what_came_from_the_network_cannot_drive_the_terminal() -> None:
    evil = at(0, A, B, b"SIP/2.0 200 \x1b[2J\x1b]0;owned\x07OK\r\nCSeq: 1 INVITE\r\n\r\n")
    drawn = "\n".join(line.plain for line in render(draw([evil]), 100))
    assert "\x1b" not in drawn
    assert "\x07" not in drawn
    assert printable("a\x1bb\u202e") == "a\\x1bb\\x202e"


def test_a_transcript_gives_back_every_octet() -> None:
    odd = at(950_000, C, Endpoint("2001:db8::1", 5060), b"SIP/2.0 200 \xff\xfe\r\n\r\n")
    flow = Flow("a", [*CALL, odd], [])
    written = msgspec.json.encode(transcribe(flow))
    assert read_back(msgspec.json.decode(written, type=Transcript)) == flow
    assert transcribe(flow).messages[0].base64 is None
    assert transcribe(flow).messages[-1].base64 is not None
