"""The head of SIP messages: the Call-ID of the interoperability table, RFC 4475, and what the index reads."""

import json
from typing import Any

import dpkt
import pytest

from captures import SHARED, need
from sipflow.wire.sip import looks_like_sip, parse_head


@pytest.mark.parametrize(
    ("message", "call_id"),
    [
        (b"INVITE sip:a@b SIP/2.0\r\nCall-ID: abc@h\r\n\r\n", "abc@h"),
        (b"X\r\ncall-id:  spaced \r\n", "spaced"),
        (b"X\r\ni: cmp\r\n", "cmp"),
        (b"X\r\nI:cmp2\r\n", "cmp2"),
        (b"X\nCALL-ID:lf\n", "lf"),
        (b"X\r\nCall-ID: one\r\nCall-ID: two\r\n", "one"),
        (b"X\r\nCall-ID: a\xffb", "a\ufffdb"),
        (b"X\rCall-ID: cr\r", None),
        (b"", None),
        (b"\x1f\x8b\x08\x00\x00", None),
        # Legal SIP that the reference server drops, and a body that it reads as headers.
        (b"X\r\nCall-ID : sp\r\n", "sp"),
        (b"X\r\nCall-ID:\r\n folded\r\n", "folded"),
        (b"X\r\n\r\ni: from-body\r\n", None),
        (b"INVITE sip:a SIP/2.0\r\n\r\nCall-ID: from-body\r\n", None),
        (b"X\r\nCall-ID:\r\n\r\n", ""),
        (b"i:c\n", "c"),
    ],
)
def test_call_id(message: bytes, call_id: str | None) -> None:
    assert parse_head(message).call_id == call_id


def test_a_request() -> None:
    message = (
        b"INVITE sip:bob@example.com SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776\r\n"
        b'From: "A \\"<sip:no@no>\\" B" <sip:+4930@example.com:5070;user=phone>;tag=88\r\n'
        b"t: sip:bob@example.com\r\n"
        b"i: a84b4c76@pc33\r\n"
        b"CSeq: 7 INVITE\r\n"
        b"User-Agent: Ph\xf6ne\r\n"
        b"c: application/sdp\r\n"
        b"l: 4\r\n"
        b"\r\n"
        b"v=0\n"
    )
    head = parse_head(message)
    assert (head.is_request, head.method, head.uri, head.status) == (True, "INVITE", "sip:bob@example.com", None)
    assert head.label == "INVITE"
    assert (head.from_uri, head.from_user, head.from_tag) == ("sip:+4930@example.com:5070;user=phone", "+4930", "88")
    assert (head.to_uri, head.to_user, head.to_tag) == ("sip:bob@example.com", "bob", "")
    assert (head.call_id, head.cseq, head.cseq_method) == ("a84b4c76@pc33", 7, "INVITE")
    assert (head.branch, head.user_agent) == ("z9hG4bK776", "Ph\ufffdne")
    assert (head.content_type, head.content_length) == ("application/sdp", 4)
    assert message[head.body :] == b"v=0\n"


def test_a_response() -> None:
    head = parse_head(b"SIP/2.0 486 Busy Here\r\nServer: pbx\r\nCSeq: 1 INVITE\r\n\r\n")
    assert (head.is_request, head.status, head.reason, head.label) == (False, 486, "Busy Here", "486 Busy Here")
    assert head.user_agent == "pbx"
    assert head.call_id is None


@pytest.mark.parametrize("octets", [b"", b"\r\n\r\n", b"HELLO", b"GET / HTTP/1.1\r\n", b"SIP/2.0 abc", b"\x80\x00"])
def test_other_protocols_are_not_taken_for_sip(octets: bytes) -> None:
    assert not looks_like_sip(octets)


def messages_of(name: str) -> list[tuple[int, bytes]]:
    """Read the UDP payloads of an Ethernet capture with their times [microseconds]."""
    found = []
    with need(SHARED / f"{name}.pcap").open("rb") as file:
        for time, frame in dpkt.pcap.Reader(file):
            udp = dpkt.ethernet.Ethernet(frame).data.data
            if isinstance(udp, dpkt.udp.UDP):
                found.append((round(time * 1_000_000), bytes(udp.data)))
    return found


def truth_of(name: str) -> dict[int, tuple[str, str, str]]:
    """Tell what tshark reads: by time, the Call-ID, the method or status, and the CSeq of each message."""
    path = need(SHARED / "truth" / f"{name}.json")
    calls: dict[str, list[list[Any]]] = json.loads(path.read_text())["sip"]["calls"]
    return {row[0]: (call_id, row[4], row[5]) for call_id, rows in calls.items() for row in rows}


@pytest.mark.parametrize("name", ["rfc4475-torture", "aaa", "compact-form", "dtmf-2833-call", "register-scan"])
def test_captured_messages_read_as_tshark_reads_them(name: str) -> None:
    truth = truth_of(name)
    seen = 0
    for time_us, message in messages_of(name):
        if time_us not in truth:
            continue
        call_id, label, cseq = truth[time_us]
        head = parse_head(message)
        if call_id and head.call_id is None:
            continue  # another datagram of the same microsecond
        seen += 1
        assert (head.call_id or "") == call_id
        assert (head.method if head.is_request else str(head.status)) == label
        number, _, method = cseq.partition(" ")
        assert head.cseq_method == method.strip()
        # A number beyond 32 bits is not one (RFC 3261, 8.1.1.5): RFC 4475 sends two of them.
        assert head.cseq == (int(number) if int(number) < 2**32 else None)
    assert seen == len(truth)


def test_torture_messages_that_tshark_gives_up_keep_their_call() -> None:
    frames = {number: message for number, (_, message) in enumerate(messages_of("rfc4475-torture"), 1)}
    ids = {number: parse_head(frames[number]).call_id for number in (6, 9, 25, 26, 43, 45)}
    assert ids == {
        6: "badvers.31417@c.example.com",
        9: "bigcode.asdof3uj203asdnf3429uasdhfas3ehjasdfas9i",
        25: "lwsruri.asdfasdoeoi2323-asdfwrn23-asd834rk423",
        26: "lwsstart.dfknq234oi243099adsdfnawe3@example.com",
        43: "test.0ha0isndaksdj@192.0.2.1",
        45: "trws.oicu34958239neffasdhr2345r",
    }
    assert parse_head(frames[18]).call_id is None
