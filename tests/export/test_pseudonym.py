"""Pseudonyms: consistent, of the same form, without a trace of what they replace, and correct messages all the same."""

import re
import time
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captured_calls import calls_of
from captures import CAPTURES, need
from chunks import T0_US, Rtp, make_chunk
from diagnose.scene import Scene
from sipflow.diagnose import call_of, diagnose
from sipflow.export.disguise import Disguise
from sipflow.export.pseudonym import Pseudonyms
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message, StreamKey
from sipflow.wire.sip import parse_head

DOCUMENTATION = [
    ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32")
]
BODY = (
    "v=0\r\no=wanda 1 2 IN IP4 10.1.2.3\r\ns=Wanda Miller\r\nc=IN IP4 10.1.2.3\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=candidate:1 1 UDP 1 10.1.2.3 4000 typ host\r\na=rtcp:4001 IN IP4 10.1.2.3\r\n"
    "a=ssrc:7 cname:wanda@10.1.2.3\r\n"
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"
)
HEAD = (
    "INVITE sip:+4930123456@pbx.secret.net;user=phone SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 10.1.2.3:5060;branch=z9hG4bKwanda77;rport;received=10.1.2.3\r\n"
    'From: "Wanda Miller" <sip:wanda@secret.net>;tag=wanda-tag\r\nTo: <sip:+4930123456@pbx.secret.net>\r\n'
    'm: <sip:wanda@10.1.2.3:5060;transport=udp>;+sip.instance="<urn:uuid:wanda>"\r\n'
    "i: wanda-4711@10.1.2.3\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nUser-Agent: Phone 1.2\r\n"
    'Authorization: Digest username="wanda", realm="secret.net", nonce="wanda", uri="sip:pbx.secret.net", '
    'response="abc", algorithm=MD5\r\n'
    'P-Asserted-Identity: "Wanda Miller" <tel:+4930123456>, <sip:wanda@secret.net>\r\n'
    "X-Customer: Wanda Miller, 4930123456, 10.1.2.3\r\nSubject: dinner with Wanda\r\n"
    'Reason: Q.850;cause=16;text="Normal"\r\n'
    "c: application/sdp\r\nl: {}\r\n\r\n"
)
INVITE = (HEAD.format(len(BODY)) + BODY).encode()
SECRETS = ("wanda", "miller", "4930123456", "10.1.2.3", "secret", "4711", "dinner", "d0rmdm")


def message(payload: bytes = INVITE) -> Message:
    return Message("wanda-4711@10.1.2.3", T0_US, T0_US, Endpoint("10.1.2.3", 5060), Endpoint("10.9.9.9", 5060), payload)


def disguised(payload: bytes = INVITE) -> Message:
    return Disguise(Pseudonyms(b"key")).message(message(payload))


def test_nothing_of_the_names_is_left() -> None:
    new = disguised()
    text = new.text.lower()
    assert [secret for secret in SECRETS if secret in text] == []
    assert new.src.ip != "10.1.2.3"


def test_the_message_is_still_one() -> None:
    old, new = parse_head(INVITE), parse_head(disguised().payload)
    assert (new.method, new.cseq, new.user_agent, new.content_type) == (
        old.method,
        old.cseq,
        "Phone 1.2",
        old.content_type,
    )
    assert new.content_length == len(disguised().payload) - new.body
    assert new.call_id == disguised().call_id
    assert new.branch.startswith("z9hG4bK")
    text = disguised().text
    assert "Max-Forwards: 70\r\n" in text
    assert 'Reason: Q.850;cause=16;text="Normal"' in text
    assert "a=rtpmap:0 PCMU/8000\r\n" in text
    assert re.search(r"INVITE sip:\+[1-9]\d{9}@h\w+\.example\.com;user=phone SIP/2.0", text)


def test_the_same_name_is_the_same_everywhere() -> None:
    new = disguised()
    text, head = new.text, parse_head(new.payload)
    address = new.src.ip
    assert text.count(f"IN IP4 {address}") == 3
    assert f"SIP/2.0/UDP {address}:5060" in text
    assert f"received={address}" in text
    assert f'username="{head.from_user}"' in text
    number = head.to_user
    assert text.count(number) == 3  # request URI, To, tel:
    assert number[1:] in text.split("X-Customer:")[1].split("\r\n")[0]


def test_a_wrong_content_length_stays_wrong() -> None:
    new = disguised((HEAD.format(len(BODY) + 5) + BODY).encode())
    head = parse_head(new.payload)
    assert head.content_length == len(new.payload) - head.body + 5


def test_other_bodies_are_written_over() -> None:
    octets = b"MESSAGE sip:b@x SIP/2.0\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nHello Wanda"
    assert disguised(octets).payload.endswith(b"\r\n\r\nxxxxx xxxxx")


@settings(deadline=None)
@given(st.text("0123456789+-", min_size=1, max_size=20))
def test_numbers_keep_their_form(text: str) -> None:
    new = Pseudonyms(b"key").number(text)
    assert re.sub(r"\d", "0", new) == re.sub(r"\d", "0", text)
    digits = "".join(filter(str.isdigit, text))
    fresh = "".join(filter(str.isdigit, new))
    assert len(digits) - len(digits.lstrip("0")) == len(fresh) - len(fresh.lstrip("0"))


def test_addresses_are_those_of_documentation_and_never_shared() -> None:
    names = Pseudonyms(b"key")
    every = [f"10.0.{n // 250}.{n % 250 + 1}" for n in range(2000)] + [f"fd00::{n:x}" for n in range(1, 100)]
    new = [names.address(text) for text in every]
    assert len(set(new)) == len(every)
    assert all(any(ip_address(text) in network for network in DOCUMENTATION) for text in new)
    assert names.address("0.0.0.0") == "0.0.0.0"


def test_another_key_gives_other_names() -> None:
    assert Pseudonyms(b"a").user("alice") == Pseudonyms(b"a").user("alice") != Pseudonyms(b"b").user("alice")


def test_rtcp_is_left_out_and_rtp_stays() -> None:
    ends = Endpoint("10.1.2.3", 4000), Endpoint("10.9.9.9", 6000)
    chunk = make_chunk(StreamKey("c", 0, *ends, 7), [Rtp(T0_US, 1, 160, b"x" * 160)])
    disguise = Disguise(Pseudonyms(b"key"))
    new = disguise.chunk(chunk)
    assert new is not None
    assert (new.data, new.key.src) == (chunk.data, disguise.endpoint(ends[0]))
    assert disguise.chunk(type(chunk)(StreamKey("c", 0, *ends, None), chunk.rows, chunk.data)) is None


def test_a_diagnosis_stays_the_same() -> None:
    scene = Scene().ask(0, "INVITE").reply(0.1, "407 Auth").ask(0.2, "ACK").ask(0.3, "INVITE", cseq=2)
    scene.reply(1, "180 Ringing", cseq=2).reply(5, "486 Busy Here", cseq=2)
    disguise = Disguise(Pseudonyms(b"key"))
    codes = [
        [finding.code for finding in diagnose(call_of("x", messages), [])]
        for messages in (scene.messages, [disguise.message(each) for each in scene.messages])
    ]
    assert codes[0] == codes[1]


@settings(deadline=None)
@given(st.binary(max_size=500), st.integers(0, len(INVITE)))
def test_hostile_messages_are_written(junk: bytes, at: int) -> None:
    disguised(INVITE[:at] + junk + INVITE[at:])
    disguised(junk)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_captures_lose_their_addresses_and_users(path: object) -> None:
    for call in calls_of(need(path)).values():  # type: ignore[arg-type]
        disguise = Disguise(Pseudonyms(b"key"))
        for each in call.messages[:50]:
            new = disguise.message(each)
            head, old = parse_head(new.payload), parse_head(each.payload)
            assert (head.is_request, head.method, head.status, head.cseq) == (
                old.is_request,
                old.method,
                old.status,
                old.cseq,
            )
            for place in (each.src, each.dst):
                if not ip_address(place.ip).is_loopback and not ip_address(place.ip).is_unspecified:
                    assert not re.search(rf"(?<![\d.]){re.escape(place.ip)}(?![\d.])", new.text)
            if len(old.from_user) > 4 and old.from_user.isalnum():
                assert old.from_user.lower() not in new.text.lower()


@pytest.mark.parametrize(
    "flood",
    [
        b"a:" * 20_000,
        b"1." * 20_000,
        b'"' * 40_000,
        b"<sip:" * 9_000,
        b";a=" * 15_000,
        b"\r\n x" * 12_000,
        b"a@" * 20_000,
    ],
)
def test_a_flood_takes_no_time(flood: bytes) -> None:
    for name in (b"From: ", b"Via: ", b"X-Any: ", b"Authorization: ", b"Call-ID: ", b"Contact: <sip:a@b>;"):
        began = time.process_time()
        disguised(b"INVITE sip:a@b SIP/2.0\r\n" + name + flood + b"\r\n\r\n")
        assert time.process_time() - began < 5
