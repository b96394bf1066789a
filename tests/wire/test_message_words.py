"""A message in words and colours: nothing of it is lost, nothing of it can act."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipflow.wire.header import Header, read_letter, split, values_of
from sipflow.wire.sdp_words import explain
from sipflow.wire.tokens import start_tokens, value_tokens
from sipflow.wire.visible import visible


def test_headers_are_read_as_they_are_written() -> None:
    letter = read_letter(
        b"SIP/2.0 200 OK\nv: SIP/2.0/UDP a;branch=1,\n SIP/2.0/TCP b\nSubject:\tone\n two\nbroken\n\nbody\n\nmore"
    )
    assert letter.start == "SIP/2.0 200 OK"
    assert letter.headers == (
        Header("v", "SIP/2.0/UDP a;branch=1, SIP/2.0/TCP b"),
        Header("Subject", "one two"),
        Header("", "broken"),
    )
    assert letter.body == "body\n\nmore"
    assert [value.text for value in values_of(letter.headers[0])] == ["SIP/2.0/UDP a", "SIP/2.0/TCP b"]
    assert letter.first("via").startswith("SIP/2.0/UDP")


def test_commas_in_quotes_and_angles_split_nothing() -> None:
    assert list(split('"a, \\" b" <sip:x,y@z>;p=1, <sip:c>', ",")) == ['"a, \\" b" <sip:x,y@z>;p=1', "<sip:c>"]


@given(st.text())
def test_tokens_put_together_are_the_text(text: str) -> None:
    assert "".join(token.text for token in value_tokens(text)) == visible(text)
    assert "".join(token.text for token in start_tokens(text)) == visible(text)


@given(st.text())
def test_visible_text_cannot_hide_or_turn_anything(text: str) -> None:
    shown = visible(text)
    assert not any(ord(char) < 0x20 or char in "\x7f\u202e\u2066\u200b\u2028\ufeff" for char in shown)


def test_what_is_hidden_is_named() -> None:
    assert visible("a\x1b[2J\u202eb\0") == "a\u241b[2J\u27e8U+202E\u27e9b\u2400"
    assert visible("Jörg 東京 שלום") == "Jörg 東京 שלום"


def test_tokens_know_what_they_are() -> None:
    kinds = [(t.kind, t.text) for t in value_tokens('"Al" <sip:a@b>;tag=x1 192.0.2.1:5060 70')]
    assert ("string", '"Al"') in kinds
    assert ("uri", "sip:a@b") in kinds
    assert ("param", "tag") in kinds
    assert ("address", "192.0.2.1:5060") in kinds
    assert ("number", "70") in kinds
    assert [t.kind for t in start_tokens("SIP/2.0 486 Busy Here")] == ["version", "punct", "status", "punct", "reason"]
    assert [t.text for t in start_tokens("INVITE sip:b SIP/2.0") if t.kind == "uri"] == ["sip:b"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("c=IN IP4 192.0.2.1", "media is to be sent to 192.0.2.1"),
        ("c=IN IP4 0.0.0.0", "nowhere: the old way to put a call on hold (RFC 3264, section 8.4)"),
        ("t=0 0", "begins now, with no end planned"),
        ("m=audio 0 RTP/AVP 8", "audio is refused, or switched off"),
        ("m=audio 4000 RTP/SAVP 8 96", "wants audio at port 4000 (encrypted, RTP/SAVP), in this order: PCMA, opus"),
        ("a=rtpmap:96 opus/48000/2", "payload type 96 is opus at 48000 Hz, 2 channels"),
        ("a=rtpmap:101 telephone-event/8000", "payload type 101 carries keys that are pressed (DTMF, RFC 4733)"),
        ("a=fmtp:96 useinbandfec=1; stereo=0", "opus: repairs losses from the next packet (useinbandfec), mono only"),
        ("a=ptime:20", "wants 20 ms of sound in each packet"),
        ("a=inactive", "neither sends nor receives: on hold"),
        ("a=rtcp:4001", "RTCP goes to port 4001 (RFC 3605)"),
        (
            "a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ relay",
            "could be reached for media at 192.0.2.1:4000 by UDP: an address on a TURN relay",
        ),
        ("a=x-unheard-of:1", ""),
        ("m=audio", "this line does not follow the grammar"),
        ("b=AS:64", "at most 64 kbit/s"),
    ],
)  # fmt: skip
def test_sdp_in_plain_words(line: str, words: str) -> None:
    body = f"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n{line}\r\n"
    assert explain(body)[-1] == (line, words)


@given(st.text())
def test_any_body_can_be_explained(body: str) -> None:
    explain(body)
