"""Calls of any codec on one time line; parts, mixes and copies of them."""

import io
import struct
import wave

import numpy as np
import pytest
from numpy.typing import NDArray

from chunks import T0_US, Rtp, make_chunks, make_key, talk
from sipflow._fast import g711_decode
from sipflow.errors import NothingToPlay
from sipflow.media.carried import Law
from sipflow.media.codec import Codec, Payloads
from sipflow.media.decoding import Decoding
from sipflow.media.recording import Overlay, Recording
from sipflow.media.span import EVER, Span
from sipflow.media.wav import WavFile
from sipflow.wire.packet import StreamKey

AUDIO = bytes(np.random.default_rng(7).integers(0, 256, 16_000, dtype=np.uint8))
L16: Payloads = {97: Codec("L16", 16000), 98: Codec("L16", 44100), 101: Codec("telephone-event", 8000)}
SPEECH = np.rint(8000 * np.sin(2 * np.pi * 700 * np.arange(16_000) / 16_000)).astype(np.int16)


class Said:
    """Announcements as a test writes them down, the same for every stream."""

    def __init__(self, *spans: Span) -> None:
        self._spans = spans

    def spans(self, _key: StreamKey, /) -> tuple[Span, ...]:
        return self._spans


def linear(samples: NDArray[np.int16], payload_type: int = 97, per_packet: int = 320, at: int = 0) -> list[Rtp]:
    """Packets of L16 at 16 kHz, one after the other, the first at sample `at`."""
    return [
        Rtp(
            T0_US + (at + begin) * 1_000_000 // 16_000,
            2000 + (at + begin) // per_packet,
            at + begin,
            samples[begin : begin + per_packet].astype(">i2").tobytes(),
            payload_type,
        )
        for begin in range(0, len(samples), per_packet)
    ]


def mu(audio: bytes) -> NDArray[np.int16]:
    return np.frombuffer(g711_decode(audio, 0), np.int16)


def left(recording: Recording) -> NDArray[np.int16]:
    return recording.pcm(0, recording.samples)[:, 0]


def test_a_wide_codec_is_heard_at_its_own_rate_sample_by_sample() -> None:
    recording = Recording.open("c", make_chunks(make_key(), linear(SPEECH)), L16)
    assert (recording.rate, recording.samples, recording.law) == (16000, 16000, None)
    assert np.array_equal(left(recording), SPEECH)
    assert recording.completeness.complete
    with wave.open(io.BytesIO(WavFile(recording).read())) as opened:
        assert (opened.getframerate(), opened.getnframes(), opened.getnchannels()) == (16000, 16000, 2)


def test_packets_out_of_order_are_decoded_in_order() -> None:
    packets = linear(SPEECH)
    packets[4], packets[5] = (
        packets[5]._replace(time_us=packets[4].time_us),
        packets[4]._replace(time_us=packets[5].time_us),
    )
    assert np.array_equal(left(Recording.open("c", make_chunks(make_key(), packets, 3), L16)), SPEECH)


def test_a_lost_packet_is_silence_of_its_length_unless_it_is_concealed() -> None:
    packets = linear(SPEECH)
    del packets[10]
    chunks = make_chunks(make_key(), packets)
    plain = Recording.open("c", chunks, L16)
    expected = SPEECH.copy()
    expected[3200:3520] = 0
    assert np.array_equal(left(plain), expected)
    assert [(gap.reason, gap.duration_us) for gap in plain.gaps()] == [("lost", 20_000)]
    concealed = Recording.open("c", chunks, L16, decoding=Decoding(conceal=True))
    heard = left(concealed)
    assert np.array_equal(np.delete(heard, range(3200, 3520)), np.delete(SPEECH, range(3200, 3520)))
    assert np.abs(heard[3200:3520]).max() > 4000
    assert concealed.gaps() == []
    assert concealed.completeness.lost_packets == 1


def test_narrow_leg_and_wide_leg_share_a_time_line() -> None:
    tone = np.rint(8000 * np.sin(2 * np.pi * 500 * np.arange(8000) / 8000))
    # Codes of mu-law nearest to the tone, from the decoder's own table.
    table = mu(bytes(range(256))).astype(int)
    codes = bytes(int(np.argmin(np.abs(table - value))) for value in tone)
    chunks = make_chunks(make_key(leg=0, ssrc=1), linear(SPEECH))
    chunks += make_chunks(make_key(leg=1, ssrc=2), talk(codes, time_us=T0_US + 100_000))
    recording = Recording.open("c", chunks, L16)
    both = recording.pcm(0, recording.samples)
    assert recording.rate == 16000
    assert np.array_equal(both[: len(SPEECH), 0], SPEECH)
    assert not both[:1600, 1].any()
    due = 8000 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)
    assert np.abs(both[1600:17_600, 1] - due)[200:-200].max() < 400  # the steps of mu-law
    assert recording.gaps()[0].reason == "starts-late"


def test_odd_rates_leave_no_seam() -> None:
    chunks = make_chunks(make_key(leg=0, ssrc=1), talk(b"\x80" * 8000, samples=80))
    wide = np.full(44_100, 100, np.int16)
    chunks += make_chunks(
        make_key(leg=1, ssrc=2),
        [Rtp(T0_US + i * 10_000, i, i * 441, wide[:441].astype(">i2").tobytes(), 98) for i in range(100)],
    )
    recording = Recording.open("c", chunks, L16)
    assert recording.rate == 44_100
    assert recording.gaps() == []
    assert np.abs(left(recording)[500:-500] - 32124).max() <= 700


def test_a_reinvite_that_renumbers_is_followed() -> None:
    second_us = T0_US + 500_000
    said = Said(
        Span(EVER, {97: Codec("L16", 16000)}, None, "sendrecv", ()),
        Span(second_us, {97: Codec("PCMU", 8000)}, None, "sendrecv", ()),
    )
    first = linear(SPEECH[:8000])
    then = talk(b"\xff" * 1600 + b"\x80" * 2400, time_us=second_us, sequence=2025, timestamp=8000, payload_type=97)
    recording = Recording.open("c", make_chunks(make_key(), first + then), said)
    heard = left(recording)
    assert recording.samples == 16_000
    assert np.array_equal(heard[:8000], SPEECH[:8000])
    assert np.abs(heard[8000:11_000]).max() < 700
    assert np.abs(heard[11_400:15_800] - 32124).max() <= 700


def test_hold_is_named_as_such() -> None:
    said = Said(
        Span(EVER, {}, None, "sendrecv", ()),
        Span(T0_US + 600_000, {}, None, "sendonly", ()),
        Span(T0_US + 2_400_000, {}, None, "sendrecv", ()),
    )
    packets = talk(AUDIO[:4800]) + talk(AUDIO[4800:9600], time_us=T0_US + 2_500_000, sequence=1030, timestamp=180_000)
    recording = Recording.open("c", make_chunks(make_key(), packets), said)
    assert [(gap.reason, gap.duration_us) for gap in recording.gaps()] == [("hold", 1_900_000)]


def test_encrypted_audio_without_keys_is_silence_with_that_reason() -> None:
    said = Said(Span(EVER, {}, None, "sendrecv", (), secure=True, protocol="RTP/SAVP"))
    with pytest.raises(NothingToPlay, match=r"PCMU \(encrypted\) \(50 packets\)"):
        Recording.open("c", make_chunks(make_key(), talk(AUDIO[:8000])), said)
    later = Said(
        Span(EVER, {}, None, "sendrecv", ()),
        Span(T0_US + 500_000, {}, None, "sendrecv", (), secure=True),
        Span(T0_US + 700_000, {}, None, "sendrecv", ()),
    )
    recording = Recording.open("c", make_chunks(make_key(), talk(AUDIO[:8000])), later)
    assert [(gap.reason, gap.duration_us) for gap in recording.gaps()] == [("encrypted", 200_000)]
    assert recording.completeness.undecoded == {"PCMU (encrypted)": 10}
    assert not recording.completeness.complete


def test_a_refused_payload_is_silence_and_named() -> None:
    packets = linear(SPEECH)
    packets[7] = packets[7]._replace(payload=b"\0")
    recording = Recording.open("c", make_chunks(make_key(), packets), L16)
    assert [(gap.reason, gap.duration_us) for gap in recording.gaps()] == [("not-decoded", 20_000)]
    assert recording.completeness.undecoded == {"L16": 1}


def test_part_of_a_call_is_that_part_of_the_whole() -> None:
    chunks = make_chunks(make_key(leg=0, ssrc=1), talk(AUDIO))
    chunks += make_chunks(make_key(leg=1, ssrc=2), talk(AUDIO[::-1], time_us=T0_US + 300_000))
    whole = Recording.open("c", chunks, invite_us=T0_US - 1_500_000)
    assert whole.invite_offset_us == 1_500_000
    part = Recording.open("c", chunks, start_us=T0_US + 250_000, end_us=T0_US + 1_000_000)
    assert (part.start_us, part.samples) == (T0_US + 250_000, 6000)
    assert np.array_equal(part.pcm(0, 9999), whole.pcm(2000, 8000))
    mixed = Recording.open("c", chunks, mix=True)
    both = whole.pcm(0, whole.samples).astype(int)
    assert np.array_equal(mixed.pcm(0, mixed.samples)[:, 0], np.clip(both.sum(axis=1), -32768, 32767))
    with pytest.raises(NothingToPlay, match="outside of the time asked for"):
        Recording.open("c", chunks, start_us=T0_US + 60_000_000)


@pytest.mark.parametrize(("payload_type", "law", "tag", "zero"), [(0, Law.ULAW, 7, 0xFF), (8, Law.ALAW, 6, 0xD5)])
def test_codes_are_copied_as_captured(payload_type: int, law: Law, tag: int, zero: int) -> None:
    packets = talk(AUDIO[:8001], payload_type=payload_type)
    del packets[3]
    chunks = make_chunks(make_key(leg=0, ssrc=1), packets)
    recording = Recording.open("c", chunks, leg=0)
    assert recording.law == law
    wav = WavFile(recording, copy=True)
    octets = wav.read()
    expected = bytearray(AUDIO[:8001])
    expected[480:640] = bytes([zero]) * 160
    assert octets[wav.header_octets :] == bytes(expected) + b"\0"
    assert struct.unpack("<HHIIHHH", octets[20:38]) == (tag, 1, 8000, 8000, 1, 8, 0)
    assert octets[38:50] == b"fact" + struct.pack("<II", 4, 8001)
    assert struct.unpack("<I", octets[4:8])[0] == len(octets) - 8
    assert struct.unpack("<I", octets[wav.header_octets - 4 : wav.header_octets])[0] == 8001
    decoded = np.frombuffer(g711_decode(bytes(expected), int(law)), np.int16).copy()
    decoded[480:640] = 0  # A-law has no code for zero
    assert np.array_equal(decoded, left(recording))


def test_what_is_not_one_law_is_not_copied() -> None:
    two = make_chunks(make_key(ssrc=1), talk(AUDIO[:1600])) + make_chunks(
        make_key(leg=1, ssrc=2), talk(AUDIO[:1600], payload_type=8)
    )
    over = make_chunks(make_key(ssrc=1), talk(AUDIO[:1600])) + make_chunks(make_key(ssrc=2), talk(AUDIO[:1600]))
    for chunks in (two, over):
        recording = Recording.open("c", chunks)
        assert recording.law is None
        with pytest.raises(ValueError, match=r"one G\.711 law"):
            WavFile(recording, copy=True)


def test_an_overlay_is_added_where_it_belongs() -> None:
    chunks = make_chunks(make_key(leg=1, ssrc=1), talk(b"\xff" * 8000))
    tone = Overlay(1, T0_US + 250_000, lambda rate: np.full(rate // 10, 1234, np.int16))
    recording = Recording.open("c", chunks, overlays=[tone])
    both = recording.pcm(0, recording.samples)
    assert not both[:, 0].any()
    assert np.flatnonzero(both[:, 1]).tolist() == list(range(2000, 2800))
    assert np.array_equal(recording.pcm(2700, 2900)[:, 1], [1234] * 100 + [0] * 100)


@pytest.mark.parametrize("tag", [4, 10, 16])
def test_srtp_that_nobody_announced_is_no_noise(tag: int) -> None:
    packets = [packet._replace(payload=packet.payload + bytes(tag)) for packet in talk(AUDIO)]
    with pytest.raises(NothingToPlay, match=r"PCMU \(encrypted\)"):
        Recording.open("c", make_chunks(make_key(), packets))
    # The same surplus on a few packets, and packets that are longer because their time is, are audio.
    some = [packet._replace(payload=packet.payload + bytes(tag)) for packet in talk(AUDIO)[:3]] + talk(AUDIO)[3:]
    assert Recording.open("c", make_chunks(make_key(), some)).samples >= len(AUDIO)
    assert Recording.open("c", make_chunks(make_key(), talk(AUDIO, samples=160 + tag))).completeness.complete
