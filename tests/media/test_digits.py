"""All digits of a call: ways merged, and nothing of them left when they are hidden."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from chunks import T0_US, Rtp, make_chunks, make_key
from media.dual_tone import dial, spoken
from media.test_dtmf import EVENTS, press, report
from media.test_info_digits import info
from sipflow.media.codec import Codec, Payloads
from sipflow.media.digit import Digit, Source
from sipflow.media.digits import digits
from sipflow.media.dtmf import events
from sipflow.media.hidden import MASK, hidden_digits, masked_chunks, masked_message, silenced
from sipflow.media.inband import heard
from sipflow.media.info_digits import info_digits
from sipflow.media.stream import Stream, streams
from sipflow.wire.packet import StreamKey


def event_stream(packets: list[Rtp], leg: int = 0, ssrc: int = 1) -> Stream:
    (one,) = streams(make_chunks(make_key(leg, ssrc), packets))
    return one


def listed(found: Sequence[Digit]) -> list[tuple[str, str]]:
    return [(one.symbol, one.source.value) for one in found]


def test_every_way_is_listed_by_time() -> None:
    pressed = event_stream(press("1", timestamp=0) + press("4", timestamp=16_000, sequence=20), leg=1)
    found = digits([pressed, spoken(dial("2", lead=0.5))], [info(b"Signal=3", at_ms=900)], EVENTS)
    assert listed(found) == [("1", "rfc4733"), ("2", "inband"), ("3", "info"), ("4", "rfc4733")]


def test_copies_of_a_digit_are_listed_once() -> None:
    pressed = event_stream(press("5", timestamp=800))
    sound = spoken(dial("5", on=0.1))
    message = info(b"Signal=5\r\nDuration=100", at_ms=150)
    assert listed(digits([pressed, sound], [message], EVENTS, thorough=True)) == [("5", "rfc4733")]
    assert listed(digits([sound], [message], EVENTS)) == [("5", "info")]
    other_key, later = info(b"Signal=6", at_ms=150), info(b"Signal=5", at_ms=400, cseq=2)
    assert listed(digits([pressed], [other_key, later], EVENTS)) == [("5", "rfc4733"), ("6", "info"), ("5", "info")]


def test_another_leg_is_another_digit() -> None:
    both = [event_stream(press("5", timestamp=800), leg) for leg in (0, 1)]
    assert len(digits(both, [], EVENTS)) == 2


def test_two_sights_of_a_stream_are_one() -> None:
    both = [event_stream(press("5", timestamp=800), 0, ssrc) for ssrc in (1, 2)]
    assert len(digits(both, [], EVENTS)) == 1


def test_audio_is_listened_to_only_without_events() -> None:
    pressed, sound = event_stream(press("1", timestamp=0)), spoken(dial("2", lead=0.5))
    assert listed(digits([pressed, sound], [], EVENTS)) == [("1", "rfc4733")]
    assert listed(digits([pressed, sound], [], EVENTS, thorough=True)) == [("1", "rfc4733"), ("2", "inband")]


class Renumbering(NamedTuple):
    from_us: int
    payloads: Payloads


class Negotiated:
    """What a re-INVITE after a second announced."""

    def spans(self, key: StreamKey) -> list[Renumbering]:
        assert key.leg == 0
        return [Renumbering(0, EVENTS), Renumbering(T0_US + 1_000_000, {96: Codec("telephone-event", 8000)})]


def test_announcements_hold_in_their_time() -> None:
    packets = press("1", timestamp=0) + press("2", timestamp=16_000, sequence=50, pt=96)
    assert [one.symbol for one in digits([event_stream(packets)], [], Negotiated())] == ["1", "2"]


# --- hidden ---


def test_hidden_digits_keep_time_and_count() -> None:
    found = events(event_stream([*press("1", timestamp=0), Rtp(T0_US + 10**6, 90, 9000, report(16, 9), 101)]), EVENTS)
    assert [(one.symbol, one.time_us) for one in hidden_digits(found)] == [
        (MASK, found[0].time_us),
        ("flash", found[1].time_us),
    ]


@pytest.mark.parametrize(
    ("content_type", "body", "masked"),
    [
        ("application/dtmf-relay", b"Signal= 5\r\nDuration= 160\r\n", b"Signal= x\r\nDuration= 160\r\n"),
        ("Application/DTMF-Relay; a=b", b"signal=11\nduration=9", b"signal=xx\nduration=9"),
        ("application/dtmf", b"7", b"x"),
        ("application/dtmf", b" 123\r\n", b" xxx\r\n"),
        ("application/vnd.nortelnetworks.digits", b"p=D\r\nd=Digits=3\r\n", b"p=x\r\nd=Digits=x\r\n"),
        (
            "application/kpml-response+xml",
            b'<kpml-response digits="4711" code="200"/>',
            b'<kpml-response digits="xxxx" code="200"/>',
        ),
        (
            'multipart/mixed;boundary="b"',
            b"--b\nC: text/plain\n\n12=3\n--b\r\nContent-type: application/dtmf-relay\r\n\r\nSignal=4\r\n--b--\r\n",
            b"--b\nC: text/plain\n\n12=3\n--b\r\nContent-type: application/dtmf-relay\r\n\r\nSignal=x\r\n--b--\r\n",
        ),
    ],
)
def test_digits_in_messages_are_blanked(content_type: str, body: bytes, masked: bytes) -> None:
    message = info(body, content_type)
    assert masked_message(message).payload == message.payload[: -len(body)] + masked
    assert info_digits([masked_message(message)]) == []


def test_other_messages_stay() -> None:
    for message in (
        info(b"v=0\r\ns=5\r\n", "application/sdp"),
        info(b"", "application/dtmf"),
        info(b"Signal=5", start="SIP/2.0 200 OK"),
    ):
        assert masked_message(message) is message


def test_silence_covers_every_copy_and_never_overlaps() -> None:
    found = digits([event_stream(press("1", timestamp=800) + press("2", timestamp=1760, sequence=20))], [], EVENTS)
    (one,) = silenced(found)
    assert (one.leg, one.from_us < T0_US + 100_000, one.to_us > T0_US + 340_000) == (0, True, True)
    assert silenced(hidden_digits(found)) == [one]
    (by_info,) = silenced(info_digits([info(b"Signal=1")]))
    assert by_info.from_us < T0_US < T0_US + 100_000 < by_info.to_us
    assert silenced([]) == []


@pytest.mark.parametrize("law", [0, 1])
def test_nothing_can_be_heard_or_read_in_masked_packets(law: int) -> None:
    rng = np.random.default_rng(3)
    sound = dial("4711", on=0.1, off=0.5)
    sound += rng.normal(0, 30, len(sound))
    stream = spoken(sound, law)
    silences = silenced(digits([stream], []))
    (masked,) = streams(masked_chunks(stream, None, silences))
    assert [one.symbol for one in heard(stream)] == ["4", "7", "1", "1"]
    assert heard(masked) == []
    before = b"".join(chunk.data for chunk in stream.chunks)
    after = b"".join(chunk.data for chunk in masked.chunks)
    assert len(before) == len(after)
    changed = np.flatnonzero(np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8))
    assert 0.4 * len(sound) > len(changed) > 4 * 700  # the tones, and the audio beside them stays


def test_event_codes_are_masked_and_the_rest_of_the_packet_stays() -> None:
    stream = event_stream(press("4", timestamp=0))
    (masked,) = streams(masked_chunks(stream, EVENTS, []))
    (digit,) = events(masked, EVENTS)
    assert (digit.symbol, digit.duration_ms) == ("event 255", 120.0)
    assert masked.packets.tobytes() == stream.packets.tobytes()


def test_redundant_copies_of_an_event_are_masked_too() -> None:
    payloads = {**EVENTS, 97: Codec("red", 8000)}
    blocks = b"\xe5\x25\x80\x04\x65" + report(1, 800, end=True) + report(2, 160)
    stream = event_stream([Rtp(T0_US, 1, 50_000, blocks, 97)])
    assert [one.symbol for one in events(stream, payloads)] == ["1", "2"]
    (masked,) = streams(masked_chunks(stream, payloads, []))
    assert [one.symbol for one in events(masked, payloads)] == ["event 255", "event 255"]


def test_silence_of_another_leg_touches_nothing() -> None:
    stream = spoken(dial("5"), leg=1)
    found = events(event_stream(press("5", timestamp=800)), EVENTS)
    assert [one.source for one in found] == [Source.RFC4733]
    assert [chunk.data for chunk in masked_chunks(stream, EVENTS, silenced(found))] == [c.data for c in stream.chunks]
