"""The voices are speech as a telephone carries it: band, level, rhythm, pauses; and no two are alike."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sipflow._fast import TALKER_TAIL, g711_decode
from sipflow.load import bank as bank_module
from sipflow.load.bank import LOOP, RINGBACK, VOICES, Coding, VoiceBank
from sipflow.load.coder import LAWS

RATE = 8000
PCMU, PCMA = 0, 8  # payload types
Pcm = NDArray[np.float64]


@pytest.fixture(scope="module")
def bank() -> VoiceBank:
    return VoiceBank.make(1)


def voice(bank: VoiceBank, number: int, codec: int = PCMU) -> Pcm:
    return np.frombuffer(g711_decode(bank.loop(codec, number), LAWS[codec]), np.int16).astype(np.float64) / 32768


def frames_dbfs(sound: Pcm) -> Pcm:
    power = np.mean(sound.reshape(-1, 160) ** 2, axis=1)
    return np.asarray(10 * np.log10(power + 1e-12))


@pytest.mark.parametrize("number", range(VOICES))
def test_levels_are_those_of_speech(bank: VoiceBank, number: int) -> None:
    sound = voice(bank, number)
    level = frames_dbfs(sound)
    assert 0.15 < np.abs(sound).max() < 0.99
    assert -24 < 10 * np.log10(np.mean(sound**2)) + 6 < -14
    assert 0.2 < np.mean(level > -45) < 0.55  # speaks for about half of the loop, with pauses
    assert -69 < np.percentile(level, 10) < -60  # a noise floor lies under all of it


@pytest.mark.parametrize("number", range(VOICES))
def test_energy_lies_in_the_telephone_band_and_is_voiced(bank: VoiceBank, number: int) -> None:
    sound = voice(bank, number)
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(sound.size, 1 / RATE)
    inside = power[(frequency > 200) & (frequency < 3400)].sum()
    assert inside / power.sum() > 0.95
    assert power[(frequency > 1000) & (frequency < 3400)].sum() / power.sum() > 0.03  # more than a hum
    # Voiced frames repeat with a pitch between 70 and 280 Hz.
    active = np.flatnonzero(frames_dbfs(sound) > -26)
    pitched = 0
    for frame in active[active < LOOP // 160 - 3]:
        piece = sound[frame * 160 : frame * 160 + 400] - sound[frame * 160 : frame * 160 + 400].mean()
        correlation = np.correlate(piece, piece, "full")[399:]
        pitched += correlation[28:115].max() > 0.5 * correlation[0]
    assert pitched > 0.6 * active.size


def test_syllables_come_three_to_five_a_second(bank: VoiceBank) -> None:
    strongest = []
    for number in range(VOICES):
        sound = voice(bank, number)
        envelope = np.sqrt(np.mean(sound.reshape(-1, 80) ** 2, axis=1))
        envelope = envelope[:350] - envelope[:350].mean()
        power = np.abs(np.fft.rfft(envelope * np.hanning(350), 4096)) ** 2
        rhythm = np.fft.rfftfreq(4096, 0.01)
        band = (rhythm > 2) & (rhythm < 10)
        strongest.append(rhythm[band][np.argmax(power[band])])
    assert 3 <= np.median(strongest) <= 5.5


def test_parties_half_a_loop_apart_take_turns(bank: VoiceBank) -> None:
    both = 0.0
    for number in range(0, VOICES, 2):
        one = frames_dbfs(voice(bank, number)) > -45
        other = np.roll(frames_dbfs(voice(bank, number + 1)) > -45, one.size // 2)
        both += float(np.mean(one & other))
        assert 0.4 < np.mean(one | other) < 0.95
    assert both / (VOICES / 2) < 0.03


def test_voices_differ_and_depend_on_the_seed(bank: VoiceBank) -> None:
    sounds = [voice(bank, number) for number in range(VOICES)]
    for i in range(VOICES):
        for k in range(i):
            assert abs(np.corrcoef(sounds[i], sounds[k])[0, 1]) < 0.2
    one = VoiceBank.make(1, voices=2)
    bank_module._make.cache_clear()
    assert VoiceBank.make(1, voices=2) is not one
    assert VoiceBank.make(1, voices=2).octets == one.octets
    assert VoiceBank.make(2, voices=2).octets != one.octets


def test_both_laws_carry_the_same_sound_and_a_repeated_tail(bank: VoiceBank) -> None:
    for number in (RINGBACK, 0, 7):
        mu, a = voice(bank, number, PCMU), voice(bank, number, PCMA)
        assert np.sqrt(np.mean((mu - a) ** 2)) < 0.03 * np.sqrt(np.mean(mu**2))
        start, size = bank.places[Coding(PCMU), number]
        assert bank.octets[start + size : start + size + TALKER_TAIL] == bank.octets[start : start + TALKER_TAIL]


def test_the_ringing_tone_is_440_and_480_hz(bank: VoiceBank) -> None:
    tone = voice(bank, RINGBACK)
    power = np.abs(np.fft.rfft(tone[: 2 * RATE])) ** 2
    frequency = np.fft.rfftfreq(2 * RATE, 1 / RATE)
    assert sorted(frequency[np.argsort(power)[-2:]]) == [440, 480]
    assert np.abs(tone[2 * RATE :]).max() < 0.001
