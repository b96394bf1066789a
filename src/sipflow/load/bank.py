"""The voices of a run, encoded once: every stream reads its audio from here."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import TALKER_TAIL, Voices
from sipflow.load.codec import BY_TYPE, PCMA, PCMU
from sipflow.load.coder import encode_frames, encode_samples
from sipflow.load.voice import LOOP_SECONDS, RATE, ringback, speak

VOICES = 32
RINGBACK = -1  # the number under which the ringing tone is kept
LOOP = LOOP_SECONDS * RATE  # samples of every voice

_WINDOW = 80  # samples per decision on activity: 10 ms
_QUIET_DBFS = -50.0
_HANGOVER = 8  # windows that still count as speech after it ended


class Coding(NamedTuple):
    """What a table of voices is encoded in: a payload type and, of a codec of frames, the samples of each frame."""

    payload_type: int
    samples: int = 0

    @classmethod
    def of(cls, payload_type: int, samples: int) -> "Coding":
        """Give the coding of a stream with packets of so many samples."""
        return cls(payload_type, samples if BY_TYPE[payload_type].framed else 0)

    @property
    def loop(self) -> int:
        """Give the length of a voice's loop [samples]: whole frames."""
        return LOOP // self.samples * self.samples if self.samples else LOOP


G711 = (Coding(PCMU.payload_type), Coding(PCMA.payload_type))


@dataclass(frozen=True)
class VoiceBank:
    """Loops of speech in several codings, laid end to end in `octets` (sender.h, talker.h).

    `places` gives start and length [octets] by coding and voice, `codings` their order, `activity` per voice one bool
    per 10 ms. `voices` is all of it for the C core: per coding the ringing tone and the voices, by their number.
    """

    octets: bytes
    codings: tuple[Coding, ...]
    places: dict[tuple[Coding, int], tuple[int, int]]
    activity: dict[int, NDArray[np.bool_]]
    voices: Voices

    @staticmethod
    def make(seed: int, codings: Iterable[Coding] = G711, voices: int = VOICES) -> "VoiceBank":
        """Synthesise the voices of a seed, about 20 ms of work each; the same seed gives the same octets.

        G.711 is always among the codings.
        """
        return _make(seed, tuple(sorted({*G711, *codings})), voices)

    def first(self, payload_type: int, samples: int) -> int:
        """Give the number in `voices` of the ringing tone in the coding of a stream."""
        return self.codings.index(Coding.of(payload_type, samples)) * len(self.activity)

    def number(self, payload_type: int, samples: int, voice: int) -> int:
        """Give the number in `voices` of a voice in the coding of a stream."""
        return self.first(payload_type, samples) + voice - RINGBACK

    def loop(self, payload_type: int, voice: int) -> bytes:
        """Give the octets of a voice in a codec without frames."""
        start, length = self.places[Coding(payload_type), voice]
        return self.octets[start : start + length]

    def speaking(self, voice: int, position: int, count: int, samples: int, loop: int = LOOP) -> NDArray[np.bool_]:
        """Tell for each of `count` packets of `samples`, the first at `position`, whether the voice speaks in it."""
        flags = self.activity[voice][: loop // _WINDOW]
        starts = position + np.arange(count, dtype=np.int64) * samples
        windows = (starts[:, None] + np.arange(0, samples, _WINDOW)) // _WINDOW % flags.size
        return np.asarray(flags[windows].any(axis=1))


@lru_cache(maxsize=8)
def _make(seed: int, codings: tuple[Coding, ...], voices: int) -> VoiceBank:
    numbers = (RINGBACK, *range(voices))
    sounds = {n: ringback() if n == RINGBACK else speak(np.random.default_rng([seed, n])) for n in numbers}
    activity = {number: _activity(sound) for number, sound in sounds.items()}
    begins = {number: LOOP // _WINDOW * i for i, number in enumerate(activity)}
    flags = np.concatenate([np.resize(one, LOOP // _WINDOW) for one in activity.values()])
    octets = bytearray()
    frames: list[int] = []
    places: dict[tuple[Coding, int], tuple[int, int]] = {}
    table: list[tuple[int, int, int, int, int]] = []
    for coding in codings:
        codec = BY_TYPE[coding.payload_type]
        for number, sound in sounds.items():
            start, first = len(octets), len(frames)
            if coding.samples:
                rng = np.random.default_rng([seed, 1 + number, coding.payload_type])
                encoded = encode_frames(codec, sound, coding.samples, rng)
                frames += (start + np.cumsum([0, *map(len, encoded)])).tolist()
                octets += b"".join(encoded)
                length = len(encoded) * coding.samples
            else:
                loop = encode_samples(codec, sound)
                octets += loop + loop[:TALKER_TAIL]
                length = len(loop)
            places[coding, number] = (start, length)
            table.append((start, length, begins[number], first, coding.samples))
    whole = bytes(octets)
    marks = np.array([*frames, 0], np.uint32)
    return VoiceBank(whole, codings, places, activity, Voices(whole, flags.view(np.uint8), marks, table))


def _activity(sound: NDArray[np.float64]) -> NDArray[np.bool_]:
    power = np.mean(sound.reshape(-1, _WINDOW) ** 2, axis=1)
    loud = 10 * np.log10(power + 1e-12) > _QUIET_DBFS
    return np.asarray(np.logical_or.reduce([np.roll(loud, shift) for shift in range(_HANGOVER)]))
