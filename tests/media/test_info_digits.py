"""Digits in SIP INFO: every body that is in use, counted once however often it was seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured_rtp import CAPTURES, truth_of
from chunks import T0_US
from sipflow.ingest.capture_file import read_packets
from sipflow.media.digit import Source
from sipflow.media.info_digits import info_digits, read_body
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Message


def info(
    body: bytes,
    content_type: str = "application/dtmf-relay",
    *,
    cseq: int = 1,
    branch: str = "z9hG4bK1",
    at_ms: int = 0,
    start: str = "INFO sip:b@test SIP/2.0",
) -> Message:
    """Write an INFO request, or with another `start` a response to it."""
    head = (
        f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\n"
        "From: <sip:a@test>;tag=a1\r\nTo: <sip:b@test>;tag=b1\r\n"
        f"Call-ID: call@test\r\nCSeq: {cseq} INFO\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    ends = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
    time_us = T0_US + at_ms * 1000
    return Message("call@test", time_us, time_us, *ends, head.encode() + body, leg=0)


def symbols(*messages: Message) -> str:
    return "".join(digit.symbol for digit in info_digits(messages))


@pytest.mark.parametrize(
    ("content_type", "body", "keys", "lasted"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5", 160),
        ("application/dtmf-relay", b"Signal= 1\r\nDuration= 180\r\n", "1", 180),
        ("Application/DTMF-Relay;charset=utf-8", b"signal = #\nDURATION = 90 ms", "#", 90),
        ("application/dtmf-relay", b"Signal=a\n", "A", None),
        ("application/dtmf-relay", b"Signal=10\r\nDuration=250\r\n", "*", 250),
        ("application/dtmf-relay", b"Signal=11\r\n", "#", None),
        ("application/dtmf-relay", b"Duration=100\r\nSignal=0", "0", 100),
        ("application/dtmf", b"7", "7", None),
        ("application/dtmf", b" * \r\n", "*", None),
        ("application/vnd.nortelnetworks.digits", b"p=Digit-Collection\r\ny=Digits\r\nd=Digits=3\r\n", "3", None),
        ("application/vnd.nortelnetworks.digits", b"d=4\r\n", "4", None),
    ],
)
def test_bodies_in_use(content_type: str, body: bytes, keys: str, lasted: float | None) -> None:
    (digit,) = info_digits([info(body, content_type)])
    assert (digit.symbol, digit.duration_ms, digit.source, digit.leg) == (keys, lasted, Source.INFO, 0)
    assert (digit.time_us, digit.src) == (T0_US, Endpoint("192.0.2.1", 5060))


def test_flash_has_its_name() -> None:
    assert symbols(info(b"Signal=16\r\n"), info(b"Signal=!\r\n", cseq=2)) == "flashflash"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/dtmf-relay", b""),
        ("application/dtmf-relay", b"Signal=\r\n"),
        ("application/dtmf-relay", b"Signal=x\r\n"),
        ("application/dtmf-relay", b"5"),
        ("application/dtmf", b""),
        ("application/sdp", b"v=0\r\n"),
        ("", b"Signal=5"),
    ],
)
def test_what_is_no_digit(content_type: str, body: bytes) -> None:
    assert info_digits([info(body, content_type)]) == []


def test_the_same_request_counts_once() -> None:
    one = b"Signal=5\r\nDuration=160\r\n"
    assert symbols(info(one), info(one, at_ms=500)) == "5"
    assert symbols(info(one), info(one, branch="z9hG4bKproxy", at_ms=3)) == "5"
    assert symbols(info(one), info(one, cseq=2, branch="z9hG4bK2", at_ms=300)) == "55"


def test_only_the_request_that_was_let_in_counts() -> None:
    one = b"Signal=5\r\n"
    challenge = info(b"", cseq=1, at_ms=5, start="SIP/2.0 407 Proxy Authentication Required")
    assert symbols(info(one), challenge, info(one, cseq=2, at_ms=10)) == "5"


def test_only_requests_of_that_method_count() -> None:
    one = b"Signal=5\r\n"
    assert symbols(info(one, start="SIP/2.0 200 OK")) == ""
    assert symbols(info(one, start="MESSAGE sip:b@test SIP/2.0")) == ""


def test_they_come_by_time() -> None:
    late, early = info(b"Signal=2", cseq=2, at_ms=400), info(b"Signal=1", at_ms=100)
    assert symbols(late, early) == "12"


@given(
    st.sampled_from(["application/dtmf-relay", "application/dtmf", "application/vnd.nortelnetworks.digits"]),
    st.binary(),
)
def test_any_body_is_read_without_harm(content_type: str, body: bytes) -> None:
    read = read_body(content_type, body)
    assert all(symbol in "0123456789*#ABCD" or symbol == "flash" for symbol in read.symbols)
    assert read.duration_ms is None or 0 <= read.duration_ms <= 60_000


def test_real_capture() -> None:
    truth = truth_of("dtmf-info-pppoe")["dtmf_info"]
    messages = [
        Message(packet.call_id, packet.time_us, packet.time_us, packet.src, packet.dst, packet.payload, packet.leg)
        for packet in read_packets(CAPTURES / "dtmf-info-pppoe.pcap")
        if packet.kind == Kind.SIP
    ]
    for call_id, expected in truth.items():
        found = info_digits([message for message in messages if message.call_id == call_id])
        assert [[one.time_us, str(one.src), one.symbol] for one in found] == expected
        assert {one.duration_ms for one in found} == {180.0}
    assert len(info_digits(messages)) == sum(map(len, truth.values()))
