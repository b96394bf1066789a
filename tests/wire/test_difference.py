"""Two messages compared by what they mean: the order of headers and parameters is nothing, their values are all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipflow.wire.difference import Change, compare

INVITE = (
    b"INVITE sip:bob@b.example SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "Alice" <sip:alice@a.example;transport=udp;user=phone>;tag=f\r\n'
    b"To: <sip:bob@b.example>\r\n"
    b"Call-ID: x\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Allow: INVITE, ACK, BYE\r\n"
    b"Content-Type: application/sdp\r\n"
    b"\r\n"
)
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\n"
    b"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
    b"a=ptime:20\r\n"
)


def differing(a: bytes, b: bytes) -> dict[str, Change]:
    return {change.name: change for change in compare(a, b).changes if change.kind != "same"}


@given(st.permutations(INVITE.split(b"\r\n")[1:-2]))
def test_the_order_of_headers_is_no_difference(headers: list[bytes]) -> None:
    other = b"\r\n".join([INVITE.split(b"\r\n")[0], *headers, b"", b""])
    assert compare(INVITE + SDP, other + SDP).equal


def test_forms_of_writing_are_no_difference() -> None:
    other = (
        INVITE.replace(b"From:", b"f:")
        .replace(b"Via:", b"v :")
        .replace(b"Allow: INVITE, ACK, BYE", b"Allow: BYE\r\nAllow: INVITE,\r\n ACK")
        .replace(b";transport=udp;user=phone", b";user=phone;transport=udp")
        .replace(b";branch=z9hG4bK1;rport", b";rport;branch=z9hG4bK1")
        .replace(b"\r\n", b"\n")
    )
    assert differing(INVITE, other) == {}


def test_parameters_are_told_one_by_one() -> None:
    other = INVITE.replace(b";branch=z9hG4bK1;rport", b";branch=z9hG4bK2;rport;received=192.0.2.9")
    via = differing(INVITE, other)["Via"]
    assert via.kind == "changed"
    assert [(part.name, part.kind, part.a, part.b) for part in via.parts] == [
        ("branch", "changed", "z9hG4bK1", "z9hG4bK2"),
        ("received", "added", None, "192.0.2.9"),
    ]
    assert [
        (part.name, part.a, part.b)
        for part in differing(INVITE, INVITE.replace(b"transport=udp", b"transport=tcp"))["From"].parts
    ] == [("URI transport", "udp", "tcp")]


def test_a_proxy_adds_its_via_on_top() -> None:
    other = INVITE.replace(b"Via:", b"Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKproxy\r\nVia:")
    found = [change for change in compare(INVITE, other).changes if change.name == "Via"]
    assert [(change.kind, change.b) for change in found] == [
        ("added", "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKproxy"),
        ("same", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport"),
    ]


def test_a_set_tells_what_only_one_side_has() -> None:
    allow = differing(INVITE, INVITE.replace(b"INVITE, ACK, BYE", b"BYE, INVITE, REFER"))["Allow"]
    assert {(part.kind, part.name) for part in allow.parts} == {("removed", "ACK"), ("added", "REFER")}


def test_credentials_are_compared_by_their_parts() -> None:
    line = b'Authorization: Digest username="a, b", realm="r", nonce="1"\r\n'
    a = INVITE.replace(b"Call-ID", line + b"Call-ID")
    b = a.replace(b'realm="r", nonce="1"', b'nonce="2", realm="r"')
    found = differing(a, b)["Authorization"]
    assert [(part.name, part.a, part.b) for part in found.parts] == [("nonce", '"1"', '"2"')]
    assert found.a == 'Digest username="a, b", realm="r", nonce="1"'


def test_sdp_is_compared_by_what_it_says() -> None:
    same = SDP.replace(
        b"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n", b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    )
    assert compare(INVITE + SDP, INVITE + same).equal
    other = SDP.replace(b"4000", b"4002").replace(b"8 0 101", b"0 8 101").replace(b"a=ptime:20", b"a=sendonly")
    found = differing(INVITE + SDP, INVITE + other)
    assert {name: (change.a, change.b) for name, change in found.items()} == {
        "audio 1: address": ("192.0.2.1:4000", "192.0.2.1:4002"),
        "audio 1: preference": (
            "PCMA/8000, PCMU/8000, telephone-event/8000",
            "PCMU/8000, PCMA/8000, telephone-event/8000",
        ),
        "audio 1: direction": ("sendrecv", "sendonly"),
        "audio 1: ptime": ("20 ms", None),
    }
    assert {change.section for change in found.values()} == {"sdp"}


def test_the_parameters_of_a_codec_have_no_order() -> None:
    a = SDP + b"a=fmtp:8 mode=20;x=1\r\n"
    assert compare(INVITE + a, INVITE + SDP + b"a=fmtp:8 x=1; mode=20\r\n").equal
    found = differing(INVITE + a, INVITE + SDP + b"a=fmtp:8 x=2;mode=20\r\n")["audio 1: PCMA/8000 parameters"]
    assert [(part.name, part.a, part.b) for part in found.parts] == [("x", "1", "2")]


def test_other_bodies_and_start_lines_are_compared_as_they_are() -> None:
    a = INVITE.replace(b"application/sdp", b"text/plain") + b"one"
    found = differing(a, a.replace(b"INVITE sip:bob@b", b"INVITE sip:rob@b").replace(b"\r\n\r\none", b"\r\n\r\ntwo"))
    assert (found["body"].a, found["body"].b) == ("one", "two")
    assert found["start line"].kind == "changed"


@pytest.mark.parametrize(
    "b", [b"", b"\0\xff", b"INVITE" * 9000, b"\r\n" * 9000, b"a:b;c;d,e\r\n" * 4000, b':;,"<>\r\n' * 4000]
)
def test_whatever_is_captured_can_be_compared(b: bytes) -> None:
    assert not compare(INVITE, b).equal
    assert compare(b, b).equal
