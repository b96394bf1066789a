"""RTP payloads of the shared captures, each number once and in order, and tones to encode."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captured_rtp import CAPTURES, rtp_chunks, truth_of
from captures import need
from sipflow.media.stream import streams

LAB = CAPTURES.parent / "lab" / "results"


def captured_payloads(name: str, payload_type: int, which: int = 0) -> list[bytes]:
    """Give the payloads of the `which`-th stream of a capture that has this payload type; skips without captures."""
    if name.startswith("lab"):
        truth: dict[str, Any] = json.loads(need(LAB / f"{name}.truth.json").read_text())
        name = f"../lab/results/{name}"
    else:
        truth = truth_of(name)
    listed = truth["rtp_rfc3550"] or truth["rtp_rfc3550_heuristic"]
    wanted = [stream for stream in listed if str(payload_type) in stream["payload_types"]][which]
    stream = streams(rtp_chunks(name, [wanted]))[0]
    rows = stream.unique[stream.unique["payload_type"] == payload_type]
    return [
        stream.chunks[chunk].data[offset : offset + length]
        for chunk, offset, length in zip(
            rows["chunk"].tolist(), rows["offset"].tolist(), rows["length"].tolist(), strict=True
        )
    ]


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0, peak: int = 8000) -> NDArray[np.int16]:
    """Make a tone that swells and falls four times a second, so that its envelope has a shape."""
    time = np.arange(round(rate * seconds)) / rate
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
    return np.rint(peak * swell * np.sin(2 * np.pi * hertz * time)).astype(np.int16)


def encoded(name: str, samples: NDArray[np.int16], rate: int, bit_rate: int = 0, **options: str) -> list[bytes]:
    """Encode mono samples with PyAV, one packet for each frame of the encoder."""
    import av  # noqa: PLC0415 - the tests of a missing PyAV import this module

    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = rate, "mono", "s16"
    context.options = options
    if bit_rate:
        context.bit_rate = bit_rate
    context.open()
    size = context.frame_size or rate // 50
    packets: list[bytes] = []
    for start in range(0, len(samples) - size + 1, size):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + size], "s16", "mono")
        frame.sample_rate, frame.pts = rate, start
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets + [bytes(packet) for packet in context.encode(None)]
