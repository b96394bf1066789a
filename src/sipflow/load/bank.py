"""The voices of a run, encoded once: every stream reads its audio from here."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import ALAW, TALKER_TAIL, ULAW, Voices, g711_encode
from sipflow.load.voice import LOOP_SECONDS, RATE, ringback, speak

VOICES = 32
RINGBACK = -1  # the number under which the ringing tone is kept
PCMU, PCMA = 0, 8  # payload types (RFC 3551, section 6)
LAWS = {PCMU: ULAW, PCMA: ALAW}
LOOP = LOOP_SECONDS * RATE  # samples of every voice

_WINDOW = 80  # samples per decision on activity: 10 ms
_QUIET_DBFS = -50.0
_HANGOVER = 8  # windows that still count as speech after it ended


@dataclass(frozen=True)
class VoiceBank:
    """Loops of speech in mu-law and A-law, laid end to end in `octets`, each with a repeated tail (talker.h).

    `places` gives start and length [samples] by payload type and voice; `activity` per voice, one bool per 10 ms.
    `voices` is all of it for the C core: per payload type the ringing tone and the voices, by their number.
    """

    octets: bytes
    places: dict[tuple[int, int], tuple[int, int]]
    activity: dict[int, NDArray[np.bool_]]
    voices: Voices

    @staticmethod
    @lru_cache(maxsize=4)
    def make(seed: int, voices: int = VOICES) -> "VoiceBank":
        """Synthesise the voices of a seed, about 20 ms of work each; the same seed gives the same octets."""
        octets = bytearray()
        places: dict[tuple[int, int], tuple[int, int]] = {}
        activity: dict[int, NDArray[np.bool_]] = {}
        for number in (RINGBACK, *range(voices)):
            sound = ringback() if number == RINGBACK else speak(np.random.default_rng([seed, number]))
            pcm = np.round(sound * 32767).astype(np.int16)
            activity[number] = _activity(sound)
            for codec, law in LAWS.items():
                loop = g711_encode(pcm.tobytes(), law)
                places[codec, number] = (len(octets), len(loop))
                octets += loop + loop[:TALKER_TAIL]
        whole = bytes(octets)
        # The activity of a voice is the same in both laws.
        begins = {number: LOOP // _WINDOW * i for i, number in enumerate(activity)}
        flags = np.concatenate([np.resize(one, LOOP // _WINDOW) for one in activity.values()])
        ordered = [(*places[codec, number], begins[number]) for codec in LAWS for number in activity]
        return VoiceBank(whole, places, activity, Voices(whole, flags.view(np.uint8), ordered))

    def number(self, payload_type: int, voice: int) -> int:
        """Give the number of a voice in `voices`."""
        codecs = list(LAWS)
        return codecs.index(payload_type) * len(self.activity) + voice - RINGBACK

    def speaking(self, voice: int, position: int, count: int, samples: int) -> NDArray[np.bool_]:
        """Tell for each of `count` packets of `samples`, the first at `position`, whether the voice speaks in it."""
        flags = self.activity[voice]
        starts = position + np.arange(count, dtype=np.int64) * samples
        windows = (starts[:, None] + np.arange(0, samples, _WINDOW)) // _WINDOW % flags.size
        return np.asarray(flags[windows].any(axis=1))


def _activity(sound: NDArray[np.float64]) -> NDArray[np.bool_]:
    power = np.mean(sound.reshape(-1, _WINDOW) ** 2, axis=1)
    loud = 10 * np.log10(power + 1e-12) > _QUIET_DBFS
    return np.asarray(np.logical_or.reduce([np.roll(loud, shift) for shift in range(_HANGOVER)]))
