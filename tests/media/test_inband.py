"""DTMF in audio: every clean key is heard, speech is not taken for one."""

import numpy as np
import pytest

from captured_rtp import rtp_chunks, truth_of
from chunks import T0_US, make_chunks, make_key, talk
from media.dual_tone import PAD, dial, spoken
from sipflow.load.bank import VoiceBank
from sipflow.media.codec import Codec
from sipflow.media.digit import Digit, Source
from sipflow.media.inband import heard
from sipflow.media.stream import streams


def symbols(found: list[Digit]) -> str:
    return "".join(digit.symbol for digit in found)


@pytest.mark.parametrize("law", [0, 1])
@pytest.mark.parametrize("level", [-30, -20, -10, -3, 0])
@pytest.mark.parametrize("shift", [-0.015, 0, 0.015])
@pytest.mark.parametrize("twist", [-8, -4, 0, 4, 8])
def test_clean_keys_are_heard(law: int, level: float, shift: float, twist: float) -> None:
    rng = np.random.default_rng(5)
    for lead in (0.05, 0.0513, 0.0538):
        sound = dial(PAD, level=level, shift=shift, twist=twist, lead=lead, rng=rng)
        assert symbols(heard(spoken(sound, law))) == PAD


def test_time_length_and_level() -> None:
    found = heard(spoken(dial("159D", level=-13, on=0.1, off=0.06, lead=0.123)))
    assert [one.symbol for one in found] == ["1", "5", "9", "D"]
    for i, one in enumerate(found):
        assert one.time_us == pytest.approx(T0_US + 123_000 + 160_000 * i, abs=5000)
        assert one.duration_ms == pytest.approx(100, abs=6)
        assert one.volume_dbm0 == pytest.approx(-13, abs=1)
        assert (one.source, one.leg, one.ssrc) == (Source.INBAND, 0, 77)


def test_a_key_that_the_end_cuts_off_is_heard() -> None:
    sound = dial("7", on=0.2, off=0.0)
    (digit,) = heard(spoken(sound))
    assert digit.duration_ms == pytest.approx(200, abs=6)


@pytest.mark.parametrize("seed", range(5))
def test_with_loss_every_key_that_was_not_hit_is_heard(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = "".join(rng.choice(list(PAD), 60))
    sound = dial(keys, on=0.08, off=0.08)
    lost = frozenset(np.flatnonzero(rng.random(len(sound) // 160) < 0.05).tolist()) - {0}
    found = heard(spoken(sound, lost=lost))
    for i, key in enumerate(keys):
        first, last = 800 + 1280 * i, 800 + 1280 * i + 640
        if not lost & set(range(first // 160, last // 160 + 1)):
            near = [one for one in found if abs(one.time_us - T0_US - first * 125) < 10_000]
            assert symbols(near) == key
    assert len(found) <= len(keys) + len(lost)


def test_a_lost_packet_does_not_part_a_key() -> None:
    sound = dial("5", on=0.2)
    for lost in range(6, 14):
        assert symbols(heard(spoken(sound, lost=frozenset({lost})))) == "5"


@pytest.mark.parametrize("shift", [-0.035, 0.035])
def test_other_frequencies_are_no_keys(shift: float) -> None:
    assert heard(spoken(dial(PAD, on=0.1, shift=shift))) == []


def test_short_bursts_are_no_keys() -> None:
    assert heard(spoken(dial(PAD, on=0.023))) == []


def test_minutes_of_speech_have_no_keys() -> None:
    spoken_seconds = 0.0
    for seed in (0, 1, 7, 8, 10, 11, 13, 14, 16, 18, 25, 29):  # the seeds whose voices come closest among them
        bank = VoiceBank.make(seed, voices=8)
        for (coding, voice), (at, length) in bank.places.items():
            packets = talk(bank.octets[at : at + length], payload_type=coding.payload_type)
            (stream,) = streams(make_chunks(make_key(), packets))
            assert heard(stream) == [], (seed, voice)
            spoken_seconds += length / 8000
    assert spoken_seconds > 20 * 60


@pytest.mark.parametrize("name", ["codec-g711", "magicjack", "sipp-g711a", "milliwatt-pcmu", "dtmf-2833-call"])
def test_real_calls_have_none(name: str) -> None:
    for stream in streams(rtp_chunks(name, truth_of(name)["rtp_rfc3550"])):
        assert heard(stream, {96: Codec("telephone-event", 8000)}) == []


def test_other_codecs_are_not_listened_to() -> None:
    packets = [packet._replace(payload_type=9) for packet in talk(b"\x00" * 1600)]
    (stream,) = streams(make_chunks(make_key(), packets))
    assert heard(stream) == []
    renamed = [packet._replace(payload_type=97) for packet in talk(_codes(dial("5")))]
    (stream,) = streams(make_chunks(make_key(), renamed))
    assert symbols(heard(stream, {97: Codec("PCMU", 8000)})) == "5"
    assert heard(stream, {97: Codec("PCMU", 16000)}) == []


def _codes(sound: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> bytes:
    stream = spoken(sound)
    return b"".join(chunk.data[row["payload_offset"] :][:160] for chunk in stream.chunks for row in chunk.rows)
