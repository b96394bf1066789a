"""Recordings that a test computes, at any rate and length, and what has become of them in a file."""

import io
from typing import BinaryIO, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from chunks import T0_US
from sipflow.media.completeness import Completeness

COMPLETE = Completeness(True, 100.0, 1, 0, {}, 0, ())


class Speech:
    """Syllables and pauses of tones and noise, others on each channel; every sample is a function of its place."""

    def __init__(
        self, seconds: float, rate: int = 8000, channels: int = 2, completeness: Completeness = COMPLETE
    ) -> None:
        self.rate = rate
        self.channels = channels
        self.samples = round(seconds * rate)
        self.start_us = T0_US
        self.completeness = completeness
        self.longest_asked = 0

    def pcm(self, start: int, stop: int) -> NDArray[np.int16]:
        """Compute samples [start, stop)."""
        stop = min(stop, self.samples)
        self.longest_asked = max(self.longest_asked, stop - start)
        t = np.arange(start, stop) / self.rate
        sides = []
        for channel in range(self.channels):
            loud = np.sin(2 * np.pi * (0.9 + 0.35 * channel) * t + channel) > 0.2
            tone = np.sin(2 * np.pi * (310 + 170 * channel) * t) + 0.5 * np.sin(2 * np.pi * (1240 + 90 * channel) * t)
            sides.append(loud * tone * 6000)
        return np.stack(sides, axis=1).astype(np.int16)


def mu_law(pcm: NDArray[np.int16]) -> bytes:
    """Encode samples as G.711 mu-law, by looking for the nearest value."""
    codes = np.arange(256)
    size = ((((~codes & 15) << 3) + 132) << ((~codes >> 4) & 7)) - 132
    value = np.where(codes & 0x80, size, -size)
    order = np.argsort(value, kind="stable")
    right = np.clip(np.searchsorted(value[order], pcm), 1, 255)
    nearer_left = pcm - value[order][right - 1] < value[order][right] - pcm
    return order[right - nearer_left].astype(np.uint8).tobytes()


class Heard(NamedTuple):
    """What a player gets out of a file: samples (n, channels) at `rate`, and the tags by lower-case name."""

    rate: int
    pcm: NDArray[np.int16]
    tags: dict[str, str]


def hear(octets: bytes | BinaryIO) -> Heard:
    """Decode a whole file as any player would."""
    with av.open(io.BytesIO(octets) if isinstance(octets, bytes) else octets, "r") as container:
        stream = container.streams.audio[0]
        tags = {name.lower(): text for name, text in {**container.metadata, **stream.metadata}.items()}
        count, rate = stream.channels, stream.rate
        resampler = av.AudioResampler("s16", stream.layout, rate)
        frames = [part.to_ndarray() for frame in container.decode(stream) for part in resampler.resample(frame)]
    return Heard(rate, np.concatenate(frames, axis=1).reshape(-1, count).astype(np.int16, copy=False), tags)


def envelope(pcm: NDArray[np.int16], rate: int) -> NDArray[np.float64]:
    """Give the energy (root mean square) of each 20 ms."""
    step = rate // 50
    cut = pcm[: len(pcm) // step * step].astype(np.float64).reshape(-1, step)
    return np.asarray(np.sqrt((cut**2).mean(axis=1)))


def likeness(heard: Heard, meant: NDArray[np.int16], rate: int, channel: int) -> float:
    """Correlate the energy of a channel with what was encoded."""
    a, b = envelope(heard.pcm[:, channel], heard.rate), envelope(meant[:, channel], rate)
    size = min(len(a), len(b))
    return float(np.corrcoef(a[:size], b[:size])[0, 1])
