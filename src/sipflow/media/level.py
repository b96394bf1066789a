"""How loud a stream is: energy, peak, silence and clipping, and whether only one side of a call is heard.

Levels are in dBFS: 0 is a square wave at full scale (32768), a sine at full scale has -3.01. Silence is what stays
below SILENCE_DBFS packet by packet; digital silence is given as FLOOR_DBFS.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow._fast import level_pcm, levels_g711
from sipflow.media.codec import Payloads, codec_of, law_of
from sipflow.media.stream import Stream

FLOOR_DBFS: Final = -96.0
# Speech lies at -35 to -15, the noise of a quiet room below -60.
SILENCE_DBFS: Final = -50.0
# So much above silence makes a side that is heard [s].
SPEECH_S: Final = 0.5
MAX_SECONDS: Final = 48 * 3600
# One packet, or one frame of samples, in the C layout of struct sf_level (level.h).
LEVEL: Final = np.dtype([("energy", "<u8"), ("samples", "<u4"), ("clipped", "<u4"), ("peak", "<u4"), ("unused", "<u4")])
_FULL_SCALE: Final = 32768.0
_FRAME_S: Final = 0.02
_SECOND_US: Final = 1_000_000
_G711_RATE: Final = 8000


class Loudness(msgspec.Struct, frozen=True, eq=False):
    """How loud a stream is, in sum and second by second from `t0_us` (dBFS; NaN for a second without audio).

    `speech_s` is how long it was above silence, of `duration_s` that were measured; `silence_percent` the rest of it.
    `clipped_percent` counts samples in runs of three or more at full scale.
    """

    samples: int
    duration_s: float
    rms_dbfs: float
    peak_dbfs: float
    speech_s: float
    silence_percent: float
    clipped_percent: float
    t0_us: int
    seconds_dbfs: NDArray[np.float64]


class OneWay(msgspec.Struct, frozen=True):
    """A call of which only one side is heard: `leg` is the other one, `reason` what is known of it."""

    leg: int
    reason: str


def loudness(stream: Stream, payloads: Payloads | None = None) -> Loudness | None:
    """Measure the G.711 packets of a stream without decoding them; None when it has none.

    A number that was sent twice is measured once. Packets of other codecs are left out.
    """
    laws = np.full(256, -1, np.int8)
    for number in np.flatnonzero(np.bincount(stream.packets["payload_type"], minlength=1)).tolist():
        law = law_of(codec_of(number, payloads))
        laws[number] = -1 if law is None else law
    packets = stream.unique
    law_of_each = laws[packets["payload_type"]]
    known = law_of_each >= 0
    if not known.all():
        packets, law_of_each = packets[known], law_of_each[known]
    if not len(packets):
        return None
    levels = _measured(stream, packets, law_of_each)
    return _summed(levels, np.ascontiguousarray(packets["time_us"]), _G711_RATE)


def loudness_of(samples: NDArray[np.int16], rate: int, t0_us: int = 0) -> Loudness | None:
    """Measure linear samples, mono, that begin at `t0_us`, in frames of 20 ms; None without any."""
    size = max(round(rate * _FRAME_S), 1)
    if not len(samples):
        return None
    frames = -(-len(samples) // size)
    levels = np.zeros(frames, LEVEL)
    whole = np.ascontiguousarray(samples)
    for index in range(frames):
        level = level_pcm(whole[index * size : (index + 1) * size])
        levels[index] = (*level, 0)
    return _summed(levels, t0_us + np.arange(frames) * (size * _SECOND_US) // rate, rate)


def one_way(legs: Mapping[int, Sequence[Loudness | None]]) -> OneWay | None:
    """Tell whether only one side of a call is heard: one leg speaks, the other has no audio or stays silent.

    `legs` has the streams of leg 0 and leg 1; None stands for a stream that could not be measured, of which nothing is
    said then.
    """
    speaking = [leg for leg in (0, 1) if _speaks(legs.get(leg, ()))]
    if len(speaking) != 1:
        return None
    other = 1 - speaking[0]
    streams = legs.get(other, ())
    if None in streams:
        return None
    return OneWay(other, "its audio is silent" if streams else "no audio of it was captured")


def _speaks(streams: Sequence[Loudness | None]) -> bool:
    return sum(one.speech_s for one in streams if one is not None) >= SPEECH_S


def _measured(stream: Stream, packets: NDArray[np.void], law: NDArray[np.int8]) -> NDArray[np.void]:
    """Measure each packet; one call into C per chunk and law."""
    levels = np.zeros(len(packets), LEVEL)
    group = packets["chunk"].astype(np.int64) * 2 + law
    order = np.argsort(group, kind="stable") if (group[1:] < group[:-1]).any() else np.arange(len(group))
    offset = np.ascontiguousarray(packets["offset"][order])
    length = np.ascontiguousarray(packets["length"][order])
    edges = [*np.flatnonzero(np.diff(group[order], prepend=-1)).tolist(), len(order)]
    found = np.zeros(len(packets), LEVEL)
    for start, stop in itertools.pairwise(edges):
        chunk, which = divmod(int(group[order[start]]), 2)
        part = found[start:stop].view(np.uint8)
        levels_g711(offset[start:stop], length[start:stop], stream.chunks[chunk].data, which, part)
    levels[order] = found
    return levels


def _summed(levels: NDArray[np.void], time_us: NDArray[np.int64], rate: int) -> Loudness:
    energy, samples = levels["energy"].astype(np.float64), levels["samples"].astype(np.int64)
    total = int(samples.sum())
    quiet = energy <= samples * (_FULL_SCALE * 10 ** (SILENCE_DBFS / 20)) ** 2
    speech = int(samples[~quiet].sum())
    t0_us = int(time_us.min())
    second = (time_us - t0_us) // _SECOND_US
    second, by_energy, by_samples = _inside(second, energy, samples)
    count = int(second.max()) + 1
    sums = np.bincount(second, by_energy, count).astype(np.float64)
    sizes = np.bincount(second, by_samples, count).astype(np.float64)
    return Loudness(
        samples=total,
        duration_s=total / rate,
        rms_dbfs=_dbfs(float(energy.sum()) / total) if total else FLOOR_DBFS,
        peak_dbfs=_dbfs(float(levels["peak"].max()) ** 2),
        speech_s=speech / rate,
        silence_percent=100.0 * (total - speech) / total if total else 100.0,
        clipped_percent=100.0 * int(levels["clipped"].sum()) / total if total else 0.0,
        t0_us=t0_us,
        seconds_dbfs=_dbfs_of(sums, sizes),
    )


def _inside(
    second: NDArray[np.int64], energy: NDArray[np.float64], samples: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    # Forged times must not make an endless series.
    inside = second < MAX_SECONDS
    return second[inside], energy[inside], samples[inside]


def _dbfs(square: float) -> float:
    return max(FLOOR_DBFS, 10 * math.log10(square / _FULL_SCALE**2)) if square > 0 else FLOOR_DBFS


def _dbfs_of(energy: NDArray[np.float64], samples: NDArray[np.float64]) -> NDArray[np.float64]:
    given = np.full(len(energy), np.nan)
    heard = samples > 0
    with np.errstate(divide="ignore"):
        given[heard] = np.maximum(FLOOR_DBFS, 10 * np.log10(energy[heard] / samples[heard] / _FULL_SCALE**2))
    return given
