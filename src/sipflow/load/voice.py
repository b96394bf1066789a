"""Speech that never was: voices of formants moved by syllables, made by numpy from a seed.

Every voice is a loop of telephone speech. A person speaks a turn of phrases for about half of the loop and listens
for the rest, so that the two parties of a call, half a loop apart, take turns. Each glottal pulse excites four damped
resonances (Rodet's formant-wave functions); consonants are shaped noise; a noise floor lies under all of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE = 8000  # samples per second
LOOP_SECONDS = 8
NOISE_FLOOR_DBFS = -65.0
SPEECH_DBFS = -20.0  # root mean square of voiced speech
BAND = (220.0, 3400.0)  # Hz, what a telephone line lets through

Samples = NDArray[np.float64]

# Formants of vowels as an adult man speaks them [Hz]: F1, F2, F3.
_VOWELS = np.array(
    [
        (270, 2290, 3010),
        (390, 1990, 2550),
        (530, 1840, 2480),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (440, 1020, 2240),
        (300, 870, 2240),
        (640, 1190, 2390),
        (490, 1350, 1690),
    ],
    dtype=float,
)
_BANDWIDTHS = np.array([70.0, 100.0, 140.0, 220.0])  # Hz
_LEVELS = np.array([1.0, 0.50, 0.25, 0.10])  # the glottal source falls with frequency
_GRAIN = 200  # samples a pulse rings


@dataclass(frozen=True)
class _Throat:
    """What makes one speaker: pitch [Hz], length of the vocal tract (1 = adult man), speed [syllables/s], breath."""

    pitch: float
    scale: float
    tempo: float
    breath: float


@dataclass(frozen=True)
class _Syllable:
    """One syllable: start, consonant and length [s], its vowel, stress and whether the consonant is a hiss."""

    start: float
    onset: float
    length: float
    vowel: int
    stress: float
    hiss: bool


def speak(rng: np.random.Generator, seconds: int = LOOP_SECONDS) -> Samples:
    """Make one voice: a loop of `seconds` with full scale 1.0, as rng decides."""
    female = rng.random() < 0.5
    throat = _Throat(
        pitch=rng.uniform(165, 235) if female else rng.uniform(85, 145),
        scale=rng.uniform(1.10, 1.22) if female else rng.uniform(0.94, 1.06),
        tempo=rng.uniform(3.2, 4.8),
        breath=rng.uniform(0.02, 0.06),
    )
    syllables = _turn(rng, throat, seconds / 2 - rng.uniform(0.2, 0.6))
    sound = _voiced(rng, throat, syllables, seconds * RATE) + _hisses(rng, syllables, seconds * RATE)
    sound = _band_limited(sound)
    loud = np.abs(sound) > 0.02 * np.abs(sound).max()
    sound = sound * 10 ** (SPEECH_DBFS / 20) / np.sqrt(np.mean(sound[loud] ** 2))
    noise = _band_limited(rng.standard_normal(sound.size))
    noise *= 10 ** (NOISE_FLOOR_DBFS / 20) / np.sqrt(np.mean(noise**2))
    # A soft knee keeps the rare peak inside the range of G.711.
    return np.asarray(np.tanh(1.05 * (sound + noise)) / 1.05)


def ringback() -> Samples:
    """Make the North American ringing tone (440 and 480 Hz, 2 s on, 4 s off; ITU-T E.180) at -19 dBFS per tone."""
    time = np.arange(6 * RATE) / RATE
    tone = 0.16 * (np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 480 * time))
    return np.where(time < 2, tone, 0.0)


def _turn(rng: np.random.Generator, throat: _Throat, until: float) -> list[_Syllable]:
    syllables: list[_Syllable] = []
    now = rng.uniform(0.05, 0.2)
    in_phrase = int(rng.integers(4, 9))
    while now < until - 0.3:
        length = float(np.clip(rng.normal(1 / throat.tempo, 0.05), 0.13, 0.34))
        onset = rng.uniform(0.03, 0.08)
        syllables.append(
            _Syllable(now, onset, length, int(rng.integers(len(_VOWELS))), rng.uniform(0.5, 1.0), rng.random() < 0.45)
        )
        now += length
        in_phrase -= 1
        if in_phrase == 0:
            now += rng.uniform(0.25, 0.5)
            in_phrase = int(rng.integers(4, 9))
    return syllables


def _pitch(throat: _Throat, syllables: list[_Syllable], at: Samples) -> Samples:
    """Give the pitch [Hz] at times: it falls through a phrase and rises with stress."""
    starts = np.array([s.start for s in syllables])
    first = np.concatenate(([True], np.diff(starts) > 0.4))
    phrase_start = np.maximum.accumulate(np.where(first, starts, 0.0))
    fall = 1.08 - 0.10 * (starts - phrase_start)
    accent = 0.85 + 0.25 * np.array([s.stress for s in syllables])
    return np.asarray(np.interp(at, starts + 0.08, throat.pitch * fall * accent))


def _pulses(rng: np.random.Generator, throat: _Throat, syllables: list[_Syllable], size: int) -> Samples:
    """Give the instants [s] at which the vocal folds close, one per period of the pitch."""
    time = np.arange(size) / RATE
    cycles = np.cumsum(_pitch(throat, syllables, time)) / RATE
    instants = np.interp(np.arange(1, cycles[-1]), cycles, time)
    return np.asarray(instants + rng.normal(0, 0.00004, instants.size))


def _loudness(syllables: list[_Syllable], at: Samples) -> Samples:
    """Give how loud voicing is at times, 0 to 1: it swells after the consonant and fades with the syllable."""
    knots: list[tuple[float, float]] = []
    for s in syllables:
        knots += [
            (s.start + s.onset * 0.7, 0.0),
            (s.start + s.onset + 0.02, s.stress),
            (s.start + s.length * 0.75, 0.7 * s.stress),
            (s.start + s.length * 0.98, 0.0),
        ]
    times, levels = np.array(knots).T
    return np.asarray(np.interp(at, np.maximum.accumulate(times), levels))


def _formants(throat: _Throat, syllables: list[_Syllable], at: Samples) -> Samples:
    """Give four formants [Hz] per time: they glide from vowel to vowel."""
    middles = np.array([s.start + 0.6 * s.length for s in syllables])
    targets = _VOWELS[[s.vowel for s in syllables]] * throat.scale
    moving = [np.interp(at, middles, targets[:, i]) for i in range(3)]
    return np.column_stack([*moving, np.full(at.size, 3500 * throat.scale)])


def _voiced(rng: np.random.Generator, throat: _Throat, syllables: list[_Syllable], size: int) -> Samples:
    pulses = _pulses(rng, throat, syllables, size)
    level = _loudness(syllables, pulses)
    pulses, level = pulses[level > 0.01], level[level > 0.01]
    if not pulses.size:
        return np.zeros(size)
    formants = np.minimum(_formants(throat, syllables, pulses), 3900.0)
    first = np.ceil(pulses * RATE).astype(int)
    after = (first - pulses * RATE)[:, None] / RATE + np.arange(_GRAIN) / RATE
    attack = np.minimum(after / 0.0006, 1.0)
    grains = np.zeros_like(after)
    for i in range(4):
        ring = np.exp(-np.pi * _BANDWIDTHS[i] * after) * np.sin(2 * np.pi * formants[:, i, None] * after)
        grains += _LEVELS[i] * ring
    grains *= attack * level[:, None] * rng.normal(1.0, 0.03, pulses.size)[:, None]
    grains += throat.breath * level[:, None] * rng.standard_normal(grains.shape) * np.exp(-after / 0.004)
    places = (first[:, None] + np.arange(_GRAIN)) % size
    sound: Samples = np.bincount(places.ravel(), weights=grains.ravel(), minlength=size).astype(np.float64)
    return sound


def _hisses(rng: np.random.Generator, syllables: list[_Syllable], size: int) -> Samples:
    noise = np.diff(rng.standard_normal(size + 1))  # rises with frequency, as a fricative does
    envelope = np.zeros(size)
    for s in syllables:
        if s.hiss:
            a, b = int(s.start * RATE), int((s.start + s.onset) * RATE)
            envelope[a:b] = np.hanning(b - a) * 0.09 * s.stress
    return np.asarray(noise * envelope)


def _band_limited(sound: Samples) -> Samples:
    spectrum = np.fft.rfft(sound)
    frequency = np.fft.rfftfreq(sound.size, 1 / RATE)
    low, high = BAND
    gain = np.clip((frequency - low * 0.6) / (low * 0.4), 0, 1) * np.clip((high + 200 - frequency) / 200, 0, 1)
    return np.asarray(np.fft.irfft(spectrum * gain, sound.size))
