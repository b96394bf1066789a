"""What a stream must sound like, and whether a recording does."""

import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import g711_decode
from sipflow.load.bank import VoiceBank
from sipflow.load.coder import LAWS
from sipflow.load.stream import EVENT_TYPE, Stream

RATE = 8000
_KEY = 1600  # samples by which a stream is found in a recording: 200 ms
_TRIES = 256  # places that are looked at when the key occurs more than once, as in a tone
_SHORTEST_TONE = 320  # samples: 40 ms
_CAPTURE_US = 1_000  # a packet is captured no later than this after its time
_HEAD = 12  # octets of an RTP header without extras

Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class Expected:
    """The samples of a stream on its own RTP clock; `known` tells where a packet brought them."""

    samples: Pcm
    known: NDArray[np.bool_]


def expected_audio(stream: Stream, bank: VoiceBank) -> Expected:
    """Lay out what the stream sends; where keys were pressed and what was lost is not known."""
    placed: list[tuple[int, bytes]] = []
    presses: dict[int, list[int]] = {}  # durations that were reported, by begin
    for _, packet in stream.talker(bank).packets():
        at = (int.from_bytes(packet[4:8]) - stream.timestamp) & 0xFFFFFFFF
        if packet[1] & 0x7F == EVENT_TYPE:
            presses.setdefault(at, []).append(int.from_bytes(packet[14:16]))
        else:
            placed.append((at, packet[_HEAD:]))
    size = max((at + len(octets) for at, octets in placed), default=0)
    samples, known = np.zeros(size, np.int16), np.zeros(size, np.bool_)
    for at, octets in placed:
        samples[at : at + len(octets)] = np.frombuffer(g711_decode(octets, LAWS[stream.payload_type]), np.int16)
        known[at : at + len(octets)] = True
    # A recording has the tone of a key where its packets were captured, which is late by what the network delayed them.
    late = (_CAPTURE_US + stream.impairment.delay_us) * RATE // 1_000_000
    for at, durations in presses.items():
        missed = durations[0] - stream.samples  # of its begin
        known[max(0, at - late) : at + max(_SHORTEST_TONE, *durations) + missed + late] = False
    return Expected(samples, known)


def read_channel(wav: bytes, leg: int) -> Pcm:
    """Take the leg's channel of a WAV of 16-bit samples at 8 kHz (stereo: leg 1 is right). Raises ValueError."""
    try:
        with wave.open(io.BytesIO(wav)) as source:
            form = (source.getframerate(), source.getsampwidth(), source.getnchannels())
            data = np.frombuffer(source.readframes(source.getnframes()), "<i2")
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV of linear samples: {error}") from None
    if form[:2] != (RATE, 2) or form[2] not in (1, 2):
        raise ValueError(f"WAV: found {form[0]} Hz, {8 * form[1]} bits, {form[2]} channels; allowed: 8000 Hz, 16 bits")
    return np.asarray(data[leg == 1 :: 2] if form[2] == 2 else data, np.int16)


def differing_samples(expected: Expected, channel: Pcm) -> int | None:
    """Find the stream in a channel and count the samples that are not as sent; None when it is not there at all."""
    key_at = _loudest_known(expected)
    if key_at is None:
        return 0
    key = expected.samples[key_at : key_at + min(_KEY, expected.samples.size)].tobytes()
    hay = channel.tobytes()
    least: int | None = None
    found = -1
    for _ in range(_TRIES):
        found = hay.find(key, found + 1)
        if found < 0:
            break
        if found % 2 == 0:
            wrong = _wrong_at(expected, channel, found // 2 - key_at)
            least = wrong if least is None else min(least, wrong)
            if least == 0:
                break
    return least


def _wrong_at(expected: Expected, channel: Pcm, start: int) -> int:
    size = expected.samples.size
    first, last = max(0, -start), min(size, channel.size - start)
    inside = channel[start + first : start + last] != expected.samples[first:last]
    wrong = int(np.count_nonzero(inside & expected.known[first:last]))
    return wrong + int(np.count_nonzero(expected.known[:first])) + int(np.count_nonzero(expected.known[last:]))


def _loudest_known(expected: Expected) -> int | None:
    """Give where the loudest stretch begins that is known throughout."""
    length = min(_KEY, expected.samples.size)
    if length == 0:
        return None
    starts = np.arange(0, expected.samples.size - length + 1, 80)
    whole = np.cumsum(np.concatenate(([0], expected.known)))
    power = np.cumsum(np.concatenate(([0.0], expected.samples.astype(np.float64) ** 2)))
    complete = whole[starts + length] - whole[starts] == length
    if not complete.any():
        return None
    return int(starts[np.argmax(np.where(complete, power[starts + length] - power[starts], -1.0))])
