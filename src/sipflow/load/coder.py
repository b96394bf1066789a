"""Speech encoded as a codec has it: octets of samples, or frames."""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from sipflow._fast import ALAW, ULAW, g711_encode
from sipflow.load.codec import AMR, G722, G729, OPUS, PCMA, PCMU, Codec

LAWS = {PCMU.payload_type: ULAW, PCMA.payload_type: ALAW}

_RATE = 8000
_G729_OCTETS = 10  # of 10 ms (RFC 3551, section 4.5.6)
_AMR_MODE = 12_200  # bit/s
_AMR_NO_REQUEST = 0xF0  # codec mode request 15, octet-aligned (RFC 4867, section 4.4.1)
_AMR_FOLLOWED = 0x80  # another entry of the table of contents follows
_OPUS_RATE = 24_000  # bit/s

Sound = NDArray[np.float64]


def encode_samples(codec: Codec, sound: Sound) -> bytes:
    """Encode a loop of speech (full scale 1.0, 8 kHz), an octet for each sample."""
    if codec is not G722:
        return g711_encode(np.round(sound * 32767).astype(np.int16).tobytes(), LAWS[codec.payload_type])
    context = _encoder("g722", 16_000)
    octets = b"".join(_packets(context, _resampled(sound, 2), 16_000, 320))
    return octets[: sound.size].ljust(sound.size, b"\0")


def encode_frames(codec: Codec, sound: Sound, samples: int, rng: np.random.Generator) -> list[bytes]:
    """Encode a loop of speech in frames, each a payload of `samples` of 8 kHz; what is left at the end is left out.

    There is no free encoder of G.729: its frames have the right size and parameters drawn from `rng`, which decode to a
    noise that is no speech.
    """
    count = sound.size // samples
    if codec is G729:
        return [rng.bytes(samples // 80 * _G729_OCTETS) for _ in range(count)]
    if codec is AMR:
        context = _encoder("libopencore_amrnb", _RATE, bit_rate=_AMR_MODE)
        return _amr_payloads(list(_packets(context, sound, _RATE, 160)), samples // 160, count)
    options = {"frame_duration": str(samples // 8), "application": "voip", "compression_level": "0"}
    context = _encoder("libopus", OPUS.clock, options, _OPUS_RATE)
    frames = list(_packets(context, _resampled(sound, 6), OPUS.clock, samples * 6))
    return frames[:count]


def _amr_payloads(stored: list[bytes], together: int, count: int) -> list[bytes]:
    """Put frames of the storage format, each an entry of the table of contents and its speech, into payloads."""
    payloads = []
    for first in range(0, count * together, together):
        frames = stored[first : first + together]
        entries = [frame[0] | (_AMR_FOLLOWED if i + 1 < len(frames) else 0) for i, frame in enumerate(frames)]
        payloads.append(bytes([_AMR_NO_REQUEST, *entries]) + b"".join(frame[1:] for frame in frames))
    return payloads


def _encoder(name: str, rate: int, options: dict[str, str] | None = None, bit_rate: int = 0) -> AudioCodecContext:
    context = av.CodecContext.create(name, "w")
    if not isinstance(context, AudioCodecContext):
        raise TypeError(f"{name}: not an encoder of audio")
    context.sample_rate = rate
    context.layout = "mono"
    context.format = "s16"
    context.time_base = Fraction(1, rate)
    if bit_rate:
        context.bit_rate = bit_rate
    context.options = options or {}
    context.open()
    return context


def _packets(context: AudioCodecContext, sound: Sound, rate: int, size: int) -> Iterator[bytes]:
    pcm = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    for at in range(0, pcm.size - size + 1, size):
        frame = av.AudioFrame.from_ndarray(pcm[None, at : at + size], "s16", "mono")
        frame.sample_rate = rate
        frame.pts = at
        for packet in context.encode(frame):
            yield bytes(packet)
    for packet in context.encode(None):
        yield bytes(packet)


def _resampled(sound: Sound, factor: int) -> Sound:
    """Give a loop at a rate so many times as high."""
    spectrum = np.fft.rfft(sound)
    return np.asarray(np.fft.irfft(spectrum, sound.size * factor) * factor)
