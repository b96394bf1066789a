"""Levels against signals whose level is known, and against sums over decoded samples."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from captured_rtp import rtp_chunks, truth_of
from chunks import T0_US, Rtp, make_chunks, make_key, talk
from sipflow._fast import ALAW, ULAW, g711_decode, g711_encode, levels_g711
from sipflow.media.level import FLOOR_DBFS, LEVEL, Loudness, loudness, loudness_of, one_way
from sipflow.media.stream import streams


def sine(amplitude: float, seconds: float = 2.0, rate: int = 8000) -> NDArray[np.int16]:
    time = np.arange(round(seconds * rate)) / rate
    return np.round(amplitude * np.sin(2 * np.pi * 440 * time)).astype(np.int16)


def level_of(packets: list[Rtp]) -> Loudness:
    (stream,) = streams(make_chunks(make_key(), packets))
    found = loudness(stream)
    assert found is not None
    return found


@pytest.mark.parametrize(("law", "payload_type"), [(ULAW, 0), (ALAW, 8)])
def test_a_sine_has_its_level(law: int, payload_type: int) -> None:
    codes = g711_encode(sine(8000).tobytes(), law)
    one = level_of(talk(codes, payload_type=payload_type))
    assert one.rms_dbfs == pytest.approx(20 * math.log10(8000 / math.sqrt(2) / 32768), abs=0.05)
    assert one.peak_dbfs == pytest.approx(20 * math.log10(8000 / 32768), abs=0.3)
    assert (one.samples, one.duration_s, one.speech_s, one.silence_percent, one.clipped_percent) == (
        16_000, 2.0, 2.0, 0.0, 0.0,
    )  # fmt: skip
    assert one.t0_us == T0_US
    assert one.seconds_dbfs == pytest.approx([one.rms_dbfs] * 2, abs=0.05)


@pytest.mark.parametrize("law", [ULAW, ALAW])
def test_it_is_the_sum_over_the_decoded_samples(law: int) -> None:
    codes = np.random.default_rng(law).integers(0, 256, 1600, np.uint8).tobytes()
    samples = np.frombuffer(g711_decode(codes, law), np.int16).astype(float)
    one = level_of(talk(codes, payload_type=8 * law))
    assert one.rms_dbfs == pytest.approx(10 * math.log10((samples**2).mean() / 32768**2), abs=1e-9)
    assert one.peak_dbfs == pytest.approx(20 * math.log10(np.abs(samples).max() / 32768), abs=1e-9)
    linear = loudness_of(samples.astype(np.int16), 8000, T0_US)
    assert linear is not None
    assert (linear.rms_dbfs, linear.peak_dbfs, linear.speech_s) == (one.rms_dbfs, one.peak_dbfs, one.speech_s)
    assert linear.seconds_dbfs.tolist() == one.seconds_dbfs.tolist()


def test_silence_is_told_packet_by_packet() -> None:
    codes = g711_encode(np.concatenate((sine(3000, 1), np.zeros(24_000, np.int16))).tobytes(), ULAW)
    one = level_of(talk(codes))
    assert (one.silence_percent, one.speech_s) == (75.0, 1.0)
    assert one.seconds_dbfs[1:].tolist() == [FLOOR_DBFS] * 3


def test_quiet_noise_is_silence_and_a_whisper_is_not() -> None:
    assert level_of(talk(g711_encode(sine(100).tobytes(), ULAW))).silence_percent == 100.0  # -53 dBFS
    assert level_of(talk(g711_encode(sine(300).tobytes(), ULAW))).silence_percent == 0.0  # -44 dBFS


def test_clipping() -> None:
    loud = np.clip(sine(60_000 / 2, 1).astype(np.int32) * 3, -32768, 32767).astype(np.int16)
    assert level_of(talk(g711_encode(loud.tobytes(), ULAW))).clipped_percent > 50
    assert level_of(talk(g711_encode(sine(30_000).tobytes(), ULAW))).clipped_percent == 0
    linear = loudness_of(loud, 8000)
    assert linear is not None
    assert linear.clipped_percent > 50


def test_packets_twice_count_once_and_others_do_not() -> None:
    packets = talk(g711_encode(sine(8000).tobytes(), ULAW))
    twice = [copy for packet in packets for copy in (packet, packet)]
    noise = [packet._replace(payload_type=13, payload=b"\x40") for packet in talk(bytes(480), sequence=1100)]
    once = level_of(packets)
    assert (level_of(twice).samples, level_of(twice).rms_dbfs) == (once.samples, once.rms_dbfs)
    assert level_of(packets + noise).samples == once.samples


def test_both_laws_in_one_stream() -> None:
    half = sine(8000, 1).tobytes()
    packets = talk(g711_encode(half, ULAW)) + talk(
        g711_encode(half, ALAW), payload_type=8, sequence=1050, timestamp=168_000, time_us=T0_US + 10**6
    )
    both = level_of([packet for pair in zip(packets[:50], packets[50:], strict=True) for packet in pair])
    assert both.seconds_dbfs == pytest.approx([-15.26, -15.26], abs=0.05)


def test_what_is_not_g711_has_no_level_here() -> None:
    (stream,) = streams(make_chunks(make_key(), [Rtp(T0_US, 0, 0, bytes(20), payload_type=18)]))
    assert loudness(stream) is None
    assert loudness_of(np.zeros(0, np.int16), 8000) is None
    silent = loudness_of(np.zeros(100, np.int16), 16_000)
    assert silent is not None
    assert (silent.rms_dbfs, silent.silence_percent, silent.duration_s) == (FLOOR_DBFS, 100.0, 0.00625)


def test_empty_payloads_are_silence() -> None:
    one = level_of([Rtp(T0_US, 0, 0, b""), Rtp(T0_US + 20_000, 1, 160, b"")])
    assert (one.samples, one.rms_dbfs, one.silence_percent) == (0, FLOOR_DBFS, 100.0)
    assert np.isnan(one.seconds_dbfs).all()


def test_places_outside_their_data_are_refused() -> None:
    out = np.zeros(2, LEVEL)
    offset, length = np.array([0, 3], np.uint32), np.array([2, 2], np.uint32)
    assert levels_g711(offset, length, b"\x80\x80\x80\x80", ULAW, out.view(np.uint8)) == 1
    assert out["samples"].tolist() == [2, 0]
    with pytest.raises(ValueError, match="allowed: 2 and 48"):
        levels_g711(offset, length[:1], b"", ULAW, out.view(np.uint8))
    with pytest.raises(ValueError, match=r"law: found 2; allowed: 0 \(mu-law\), 1 \(A-law\)"):
        levels_g711(offset, length, b"", 2, out.view(np.uint8))


def side(amplitude: float) -> Loudness:
    found = loudness_of(sine(amplitude), 8000)
    assert found is not None
    return found


def test_one_way_audio() -> None:
    speech, silence = side(5000), side(0)
    assert one_way({0: [speech], 1: [speech]}) is None
    assert one_way({0: [silence], 1: [silence]}) is None
    assert one_way({}) is None
    found = one_way({0: [speech]})
    assert found is not None
    assert (found.leg, found.reason) == (1, "no audio of it was captured")
    found = one_way({0: [silence], 1: [silence, speech]})
    assert found is not None
    assert (found.leg, found.reason) == (0, "its audio is silent")
    assert one_way({0: [speech], 1: [None]}) is None  # nobody knows what that one says


def test_a_real_tone() -> None:
    (stream,) = streams(rtp_chunks("milliwatt-pcmu", truth_of("milliwatt-pcmu")["rtp_rfc3550"]))
    one = loudness(stream)
    assert one is not None
    payloads = b"".join(
        stream.chunks[packet["chunk"]].data[packet["offset"] : packet["offset"] + packet["length"]]
        for packet in stream.unique
    )
    samples = np.frombuffer(g711_decode(payloads, ULAW), np.int16).astype(float)
    assert one.rms_dbfs == pytest.approx(10 * math.log10((samples**2).mean() / 32768**2), abs=1e-9)
    # Nearly a sine: its peak lies 3 dB above; and it is steady.
    assert one.peak_dbfs - one.rms_dbfs == pytest.approx(3.01, abs=0.2)
    assert np.ptp(one.seconds_dbfs) < 0.1
    assert (one.silence_percent, one.clipped_percent) == (0.0, 0.0)
