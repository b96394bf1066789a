"""Where each G.711 packet of a stream belongs on the call's time line, sample by sample."""

import enum
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow.media.codec import Codec, Payloads, codec_of, is_comfort_noise, is_event, law_of
from sipflow.media.epoch import epochs
from sipflow.media.stream import Stream

SAMPLE_RATE: Final = 8000
SAMPLE_US: Final = 125


class Cause(enum.IntEnum):
    """Why there is no audio before a packet."""

    PAUSE = 0  # nothing was sent: the numbers go on without a hole
    LOST = 1  # numbers are missing
    EVENT = 2  # RFC 4733 events took the place of audio
    COMFORT_NOISE = 3
    UNDECODED = 4  # a codec that is not decoded here
    RESTART = 5  # the sender began again


# In the C layout of struct sf_placed (mix.h): `start` in samples, `chunk` an index, `offset` and `length` in octets.
PLACED: Final = np.dtype(
    [
        ("start", "<i8"),
        ("chunk", "<u4"),
        ("offset", "<u4"),
        ("length", "<u4"),
        ("law", "u1"),
        ("cause", "u1"),
        ("unused", "<u2"),
    ]
)
_AUDIO: Final = 255  # beside the Causes: a packet that is played


@dataclass(frozen=True, slots=True, eq=False)
class Placing:
    """The packets of one stream that can be played (PLACED, in order of number), and what stands beside them.

    `undecoded` counts packets per encoding name; `silent_from`, `silent_to` and `silent_cause` tell when packets
    without audio came last, so that a leg's silent end has a reason.
    """

    placed: NDArray[np.void]
    undecoded: Counter[str]
    unclocked: int
    silent_us: int | None
    silent_cause: Cause


def place(stream: Stream, payloads: Payloads | None, t0_us: int) -> Placing:
    """Place a stream: sample = round((capture of the epoch's first packet - t0) * rate) + d32(timestamp - its own).

    Where a clock does not hold (see epoch.py) packets follow each other by length, none before its capture time.
    """
    packets = stream.unique
    kinds, laws, undecoded = _classify(packets["payload_type"], payloads)
    kind = kinds[packets["payload_type"]]
    kind[(kind == _AUDIO) & (packets["length"] == 0)] = Cause.PAUSE
    played = np.flatnonzero(kind == _AUDIO)
    audio = packets[played]
    placed = np.zeros(len(audio), PLACED)
    for name in ("chunk", "offset", "length"):
        placed[name] = audio[name]
    placed["law"] = laws[audio["payload_type"]]
    placed["cause"] = _causes(packets, kind, played)
    unclocked = 0
    if len(audio):
        placed["start"], unclocked = _starts(audio, t0_us)
    silent = np.flatnonzero((kind >= Cause.EVENT) & (kind <= Cause.UNDECODED))
    last = silent[np.argmax(packets["time_us"][silent])] if len(silent) else None
    return Placing(
        placed,
        undecoded,
        unclocked,
        None if last is None else int(packets["time_us"][last]),
        Cause.PAUSE if last is None else Cause(int(kind[last])),
    )


def _classify(
    payload_type: NDArray[np.uint8], payloads: Payloads | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Counter[str]]:
    kinds = np.zeros(256, np.uint8)
    laws = np.zeros(256, np.uint8)
    undecoded: Counter[str] = Counter()
    seen = np.bincount(payload_type, minlength=256)
    for number in np.flatnonzero(seen).tolist():
        codec = codec_of(number, payloads)
        law = law_of(codec)
        kinds[number] = _AUDIO if law is not None else _cause_of(codec)
        laws[number] = law or 0
        if law is None:
            undecoded[_written(codec)] += int(seen[number])
    return kinds, laws, undecoded


def _cause_of(codec: Codec) -> Cause:
    if is_event(codec):
        return Cause.EVENT
    return Cause.COMFORT_NOISE if is_comfort_noise(codec) else Cause.UNDECODED


def _written(codec: Codec) -> str:
    # G.711 at another rate than 8 kHz is the one case where the name alone would mislead.
    return f"{codec.name}/{codec.clock}" if codec.name.upper() in ("PCMU", "PCMA") else codec.name


def _causes(packets: NDArray[np.void], kind: NDArray[np.uint8], played: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Tell for each played packet what could have kept the audio before it away."""
    cause = np.full(len(played), Cause.PAUSE, np.uint8)
    if not len(played):
        return cause
    between = np.diff(played) - 1
    numbers, segment = packets["extended"][played], packets["segment"][played]
    before = played[1:] - 1
    cause[1:] = np.where(between > 0, kind[before], Cause.PAUSE)
    cause[1:][np.diff(numbers) - 1 > between] = Cause.LOST
    cause[1:][segment[1:] != segment[:-1]] = Cause.RESTART
    if played[0] > 0:
        cause[0] = kind[played[0] - 1]
    return cause


def _starts(audio: NDArray[np.void], t0_us: int) -> tuple[NDArray[np.int64], int]:
    split = epochs(audio, np.full(len(audio), SAMPLE_RATE, np.int64))
    captured = (audio["time_us"] - t0_us + SAMPLE_US // 2) // SAMPLE_US
    anchor = split.anchor[split.epoch]
    starts: NDArray[np.int64] = captured[anchor] + (audio["timestamp"] - audio["timestamp"][anchor]).astype(np.int32)
    unclocked = ~split.clocked[split.epoch]
    if unclocked.any():
        lengths = audio["length"][unclocked].astype(np.int64)
        played_before = np.cumsum(lengths) - lengths
        starts[unclocked] = played_before + np.maximum.accumulate(captured[unclocked] - played_before)
    return starts, int(np.count_nonzero(unclocked))
