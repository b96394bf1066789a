"""Session descriptions: what they say is kept, what is broken is named and costs only itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipflow.errors import WireError
from sipflow.wire.sdp import Attribute, Candidate, Codec, Crypto, Origin, Rtcp, find_descriptions, parse_sdp

CALL = b"""v=0\r
o=jdoe 2890844526 2890842807 IN IP4 10.47.16.5\r
s=A call\r
c=IN IP4 192.0.2.7\r
t=0 0\r
a=sendonly\r
m=audio 49170 RTP/AVP 0 8 111 101\r
a=rtpmap:111 opus/48000/2\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:111 useinbandfec=1; stereo=0\r
a=fmtp:101 0-16\r
a=ptime:20\r
a=maxptime:40.5\r
a=rtcp:53020 IN IP4 192.0.2.8\r
a=rtcp-mux\r
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP\r
m=video 51372/2 RTP/SAVP 99\r
c=IN IP6 2001:db8::7/127\r
a=rtpmap:99 H264/90000\r
a=recvonly\r
a=candidate:1 1 UDP 2130706431 2001:db8::9 8998 typ host generation 0\r
m=image 0 udptl t38\r
"""


def test_everything_a_call_says_is_kept() -> None:
    found = parse_sdp(CALL)
    assert found.faults == ()
    assert found.origin == Origin("jdoe", "2890844526", "2890842807", 4, "10.47.16.5")
    assert (found.name, found.direction) == ("A call", "sendonly")
    audio, video, image = found.media
    assert (audio.kind, audio.port, audio.protocol, audio.formats) == (
        "audio",
        49170,
        "RTP/AVP",
        ("0", "8", "111", "101"),
    )
    assert audio.codecs == (
        Codec(0, "PCMU", 8000),
        Codec(8, "PCMA", 8000),
        Codec(111, "opus", 48000, 2),
        Codec(101, "telephone-event", 8000),
    )
    assert audio.fmtp == {111: "useinbandfec=1; stereo=0", 101: "0-16"}
    assert (audio.ptime, audio.maxptime, audio.rtcp_mux) == (20, 40.5, True)
    assert audio.rtcp == Rtcp(53020, "192.0.2.8")
    key = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4"
    assert audio.cryptos == (Crypto(1, "AES_CM_128_HMAC_SHA1_80", (key,), ("FEC_ORDER=FEC_SRTP",)),)
    assert Attribute("ptime", "20") in audio.attributes
    assert audio.secure
    assert video.secure
    assert video.ports == (51372, 51374)
    assert video.candidates == (Candidate(1, "udp", "2001:db8::9", 8998, "host"),)
    assert image.ports == ()
    assert image.codecs == ()
    assert not image.is_rtp


def test_a_medium_takes_over_what_it_does_not_say_itself() -> None:
    audio, video, image = parse_sdp(CALL).media
    assert audio.connection is not None
    assert image.connection is not None
    assert audio.connection.address == image.connection.address == "192.0.2.7"
    assert video.connection is not None
    assert (video.connection.family, video.connection.address) == (6, "2001:db8::7")
    assert (audio.direction, video.direction) == ("sendonly", "recvonly")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\n"])
def test_any_line_end_is_read(end: str) -> None:
    text = CALL.replace(b"\r\n", end.encode())
    assert parse_sdp(text) == parse_sdp(CALL)


def test_letters_of_either_case_are_read() -> None:
    text = b"V=0\nM=Audio 4000 rtp/avp 0\nC=in ip4 192.0.2.1\nA=RTPMAP:97 iLBC/8000\nA=InActive\n"
    (media,) = parse_sdp(text).media
    assert (media.kind, media.is_rtp, media.direction) == ("audio", True, "inactive")
    assert media.codec(97) == Codec(97, "iLBC", 8000)
    assert media.codec(0) == Codec(0, "PCMU", 8000)
    assert media.codec(96) is None


@pytest.mark.parametrize(
    "line",
    [
        "a=rtpmap:97",
        "a=rtpmap:97 speex",
        "a=rtpmap:197 speex/8000",
        "a=rtpmap:٩٧ speex/8000",
        "a=rtpmap:97 speex/8000/x",
        "a=fmtp:abc x",
        "a=ptime:soon",
        "a=rtcp:",
        "a=rtcp:99999",
        "a=crypto:1",
        "a=candidate:1 1 udp 1 192.0.2.1 70000 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1",
        "c=IN IP9 192.0.2.1",
        "c=IN",
        "not a line",
    ],
)
def test_a_broken_line_costs_only_itself(line: str) -> None:
    text = b"v=0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n" + line.encode() + b"\r\na=ptime:30\r\n"
    found = parse_sdp(text)
    assert found.faults == (line,)
    (media,) = found.media
    assert (media.port, media.ptime) == (4000, 30)
    assert media.connection is not None
    assert media.connection.address == "192.0.2.1"


@pytest.mark.parametrize(
    "line", ["m=audio", "m=audio x RTP/AVP 0", "m=audio 70000 RTP/AVP 0", "m=audio 4000/99 RTP/AVP"]
)
def test_lines_below_a_broken_medium_do_not_fall_to_the_one_above(line: str) -> None:
    found = parse_sdp(b"v=0\nm=audio 4000 RTP/AVP 0\n" + line.encode() + b"\nc=IN IP4 198.51.100.9\na=inactive\n")
    assert found.faults == (line,)
    assert [(media.port, media.connection, media.direction) for media in found.media] == [(4000, None, "sendrecv")]


def test_attributes_that_real_senders_write_their_own_way() -> None:
    text = b"v=0\nm=audio 4000 RTP/AVP 96\na=fmtp:96\toctet-align=1; mode-set=7\na=fmtp:97\na=rtcp-mux-only\n"
    (media,) = parse_sdp(text).media
    assert media.fmtp == {96: "octet-align=1; mode-set=7", 97: ""}
    assert media.rtcp_mux


def test_old_hold_is_told_from_a_host_name() -> None:
    held, named = parse_sdp(
        b"v=0\nm=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\nm=audio 4002 RTP/AVP 0\nc=IN IP4 a.example\n"
    ).media
    assert held.connection is not None
    assert held.connection.unspecified
    assert named.connection is not None
    assert not named.connection.unspecified


@pytest.mark.parametrize("body", [b"", b"hello", b"\x00\x01\x02", b"Signal=5\r\nDuration=160\r\n"])
def test_what_is_no_description_is_refused(body: bytes) -> None:
    with pytest.raises(WireError, match="not_a_session_description"):
        parse_sdp(body)


def multipart(boundary: bytes, *parts: bytes) -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def test_descriptions_are_found_in_multipart_bodies() -> None:
    part = b"Content-Disposition: session\r\nCONTENT-TYPE : application/SDP\r\n\r\n" + CALL
    isup = b"Content-Type: application/isup;version=x\r\n\r\n\x01\x02--x\r\n"
    body = b"preamble\r\n" + multipart(b"a b", isup, part)
    assert find_descriptions('multipart/mixed ; Boundary="a b"', body) == [parse_sdp(CALL)]
    inner = b"c: multipart/alternative;\r\n boundary=in-1\r\n\r\n" + multipart(b"in-1", part, part)
    found = find_descriptions("multipart/mixed;boundary=out", multipart(b"out", isup, inner))
    assert found == [parse_sdp(CALL)] * 2


def test_a_body_is_taken_as_its_type_says() -> None:
    assert find_descriptions("application/sdp;charset=utf-8", CALL) == [parse_sdp(CALL)]
    assert find_descriptions("", CALL) == [parse_sdp(CALL)]
    assert find_descriptions("text/plain", CALL) == []
    assert find_descriptions("application/sdp", b"rubbish") == []
    assert find_descriptions("multipart/mixed", multipart(b"x", CALL)) == []


def test_nesting_and_number_are_bounded() -> None:
    body, kind = CALL, b"application/sdp"
    for level in range(40):
        mark = b"m%d" % level
        body, kind = multipart(mark, b"Content-Type: " + kind + b"\r\n\r\n" + body), b"multipart/mixed;boundary=" + mark
    assert find_descriptions(kind.decode(), body) == []
    assert len(parse_sdp(b"v=0\n" + b"m=audio 4000 RTP/AVP 0\n" * 5000).media) == 64
    assert len(parse_sdp(b"v=0\n" + b"?\n" * 5000).faults) == 16


@given(st.binary(max_size=300), st.integers(0, len(CALL)), st.integers(0, len(CALL)))
def test_no_octets_make_it_fail(noise: bytes, start: int, end: int) -> None:
    text = CALL[:start] + noise + CALL[end:]
    for kind in ("application/sdp", "", "multipart/mixed;boundary=" + noise.decode("latin-1")[:5]):
        for found in find_descriptions(kind, text):
            for media in found.media:
                assert all(0 < port <= 65535 for port in media.ports)
