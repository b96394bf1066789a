"""How fast a call in memory becomes a WAV file and figures: real-time factor and microseconds per packet."""

import statistics as middle
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from bench import long_call
from bench.figures import Column, Findings, Line, Row, Scale, spread_rows, written

from chunks import T0_US, Rtp, make_chunks, make_key
from sipflow.media.codec import Codec
from sipflow.media.recording import Recording
from sipflow.media.statistics import statistics
from sipflow.media.wav import WavFile
from sipflow.wire.packet import Chunk

PAYLOADS = {111: Codec("opus", 48_000, 2)}
COLUMNS = [
    Column("case", "case"),
    Column("packets", "packets", ","),
    Column("plan_us_per_packet", "plan us", ".3f"),
    Column("render_us_per_packet", "render us", ".3f"),
    Column("range_64k_ms", "64k ms", ".2f"),
    Column("statistics_us_per_packet", "stats us", ".3f"),
    Column("real_time_factor", "x real", ",.0f"),
    Column("megabytes_per_second", "MB/s", ",.0f"),
]


def call(minutes: float, samples: int, *, loss: float = 0.0, jitter_us: int = 0, shuffle: bool = False) -> list[Chunk]:
    """Make a two-legged call of random G.711."""
    chance = np.random.default_rng(1)
    count = int(minutes * 60 * 8000 / samples)
    chunks = []
    for leg in (0, 1):
        audio = chance.integers(0, 256, count * samples, dtype=np.uint8).tobytes()
        late = chance.integers(0, jitter_us + 1, count)
        kept = chance.random(count) >= loss
        packets = [
            Rtp(T0_US + i * samples * 125 + int(late[i]), i, i * samples, audio[i * samples : (i + 1) * samples])
            for i in range(count)
            if kept[i]
        ]
        if shuffle:
            packets.sort(key=lambda packet: packet.time_us)
        chunks += make_chunks(make_key(leg=leg, ssrc=leg), packets)
    return chunks


def coded(minutes: float, encoder: str, payload_type: int, rate: int, clock: int) -> list[Chunk]:
    """Make a two-legged call of a codec, 20 ms a packet: five seconds of noise and tone, over and over."""
    chance = np.random.default_rng(1)
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = rate, av.AudioLayout("mono"), av.AudioFormat("s16")
    step = rate // 50
    tone = 6000 * np.sin(2 * np.pi * 440 * np.arange(250 * step) / rate) + chance.normal(0, 500, 250 * step)
    octets = []
    for at in range(0, len(tone), step):
        frame = av.AudioFrame.from_ndarray(tone[None, at : at + step].astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = rate
        octets += [bytes(packet) for packet in context.encode(frame)]
    ticks = clock // 50
    chunks = []
    for leg in (0, 1):
        packets = [
            Rtp(T0_US + i * 20_000, i, i * ticks, octets[i % len(octets)], payload_type)
            for i in range(round(minutes * 3000))
        ]
        chunks += make_chunks(make_key(leg=leg, ssrc=leg), packets)
    return chunks


def timed(work: Callable[[], object], repeat: int) -> float:
    """Give the median seconds of several runs."""
    took = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return middle.median(took)


def read_all(wav: WavFile) -> int:
    """Render the whole file, piece by piece."""
    return sum(len(piece) for piece in wav.iterate())


def measure(scale: Scale) -> Findings:
    """Measure calls of several kinds."""
    minutes = 2.0 if scale.quick else 10.0
    cases = {
        "20 ms": call(minutes, 160),
        "10 ms": call(minutes, 80),
        "60 ms": call(minutes, 480),
        "20 ms, 5 % lost": call(minutes, 160, loss=0.05),
        "20 ms, reordered": call(minutes, 160, jitter_us=50_000, shuffle=True),
        "G.722": coded(minutes, "g722", 9, 16_000, 8000),
        "Opus": coded(minutes, "libopus", 111, 48_000, 48_000),
    }
    rows = [spread_rows([_run(name, chunks, minutes) for _ in range(scale.runs)]) for name, chunks in cases.items()]
    line = Line("WAV of two legs at 20 ms: times faster than real time", written(rows[0]["real_time_factor"]))
    hours = 0.25 if scale.quick else 4.0
    long = long_call.measure(hours, scale.directory)
    lines = [line, Line(f"memory that the WAV of a call of {hours:g} h takes [MB]", f"{long.growth_mb:.0f}", "64")]
    settings: dict[str, str | float] = {
        "minutes": minutes,
        "numpy": np.__version__,
        "first_octet_of_long_s": round(long.first_octet_s, 2),
    }
    return Findings(f"two legs, {minutes:g} min", COLUMNS, rows, settings, lines)


def _run(name: str, chunks: list[Chunk], minutes: float) -> Row:
    packets = sum(len(chunk.rows) for chunk in chunks)
    wav = WavFile(Recording.open("bench", chunks, PAYLOADS))
    middle_octet = wav.length_octets // 2
    plan = timed(partial(Recording.open, "bench", chunks, PAYLOADS), 3)
    render = timed(partial(read_all, wav), 3)
    seek = timed(partial(wav.read, middle_octet, middle_octet + 65536), 20)
    figures = timed(partial(statistics, chunks, PAYLOADS), 3)
    return {
        "case": name,
        "packets": packets,
        "plan_us_per_packet": plan * 1e6 / packets,
        "render_us_per_packet": render * 1e6 / packets,
        "range_64k_ms": seek * 1e3,
        "statistics_us_per_packet": figures * 1e6 / packets,
        "real_time_factor": minutes * 60 / (plan + render),
        "megabytes_per_second": wav.length_octets / 1e6 / render,
    }
