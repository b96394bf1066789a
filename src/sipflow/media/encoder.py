"""Compresses recordings: Opus in Ogg, MP3 and FLAC, by the encoders of FFmpeg that PyAV brings."""

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final, NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from numpy.typing import NDArray

from sipflow.clock import format_time
from sipflow.errors import BadQuery, NoEncoder
from sipflow.media.sounding import Sounding

# What is rendered and held at a time: 8 s at 8 kHz, 256 KiB in stereo.
WINDOW_SAMPLES: Final = 1 << 16
_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_MAX_TEXT: Final = 1000


class Form(NamedTuple):
    """A compressed form of audio; `name` is also the suffix of its files.

    `rates` [Hz] are those it can have, empty for any. `base_bits` and `sample_bits` make its bit rate per channel:
    base_bits per second + sample_bits per sample up to 16 kHz; 0 and 0 where the audio decides.
    """

    name: str
    codec: str
    container: str
    media_type: str
    rates: tuple[int, ...]
    base_bits: int
    sample_bits: int
    options: Mapping[str, str]

    def rate_for(self, rate: int) -> int:
        """Give the rate to encode audio of `rate` Hz at: the same, or the next above, or the highest."""
        if not self.rates or rate in self.rates:
            return rate
        return min((one for one in self.rates if one > rate), default=max(self.rates))

    def bit_rate(self, rate: int, channels: int) -> int:
        """Give the bits per second for audio of `rate` Hz."""
        return channels * (self.base_bits + self.sample_bits * min(rate, 16_000))


# The rates are those of RFC 6716 and of MPEG-1, 2 and 2.5 layer III.
FORMS: Final = {
    form.name: form
    for form in (
        Form("opus", "libopus", "ogg", "audio/ogg; codecs=opus", (8000, 12000, 16000, 24000, 48000), 8_000, 2,
             {"compression_level": "5"}),
        Form("mp3", "libmp3lame", "mp3", "audio/mpeg",
             (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000), 0, 4, {"compression_level": "7"}),
        Form("flac", "flac", "flac", "audio/flac", (), 0, 0, {}),
    )
}  # fmt: skip


def form_of(name: str) -> Form:
    """Find a form by name. Raises BadQuery, NoEncoder when this build of PyAV has no encoder for it."""
    form = FORMS.get(name.lower())
    if form is None:
        raise BadQuery(f"format: found {name!r}; allowed: wav, {', '.join(FORMS)}")
    if form.codec not in av.codec.codecs_available:
        there = [one.name for one in FORMS.values() if one.codec in av.codec.codecs_available]
        raise NoEncoder(f"format: found {name!r}, whose encoder {form.codec} PyAV {av.__version__} has not; "
                        f"allowed: {', '.join(['wav', *there])}")  # fmt: skip
    return form


def encode(sounding: Sounding, form: Form, call_id: str, into: BinaryIO) -> Iterator[int]:
    """Encode a recording into a file, window by window; gives after each how many samples of it are done.

    `into` must be seekable: the headers of MP3 (Xing) and FLAC (STREAMINFO) are completed at the end. The file is whole
    when the iterator is exhausted. Title is the Call-ID, date the time of the first sample, comment how complete the
    recording is. The same audio gives the same octets. Takes the memory of one window.
    """
    # Without bitexact every Ogg stream has a random serial number, and ranges of two renderings would not fit.
    with av.open(into, "w", format=form.container, options={"fflags": "+bitexact"}) as container:
        stream = _stream(container, sounding, form)
        # Ogg has the tags of its stream, the others those of the file; what the other place says they ignore.
        container.metadata.update(_tags(sounding, call_id))
        for start in range(0, sounding.samples, WINDOW_SAMPLES):
            stop = min(start + WINDOW_SAMPLES, sounding.samples)
            container.mux(stream.encode(_frame(sounding.pcm(start, stop), sounding.rate, start)))
            yield stop
        container.mux(stream.encode(None))


def _stream(container: OutputContainer, sounding: Sounding, form: Form) -> AudioStream:
    rate = form.rate_for(sounding.rate)
    stream = container.add_stream(form.codec, rate, dict(form.options))
    if not isinstance(stream, AudioStream):  # pragma: no cover - every codec of FORMS is audio
        raise TypeError(f"{form.codec} made a {type(stream).__name__}")
    context = stream.codec_context
    context.layout = _LAYOUTS[sounding.channels]
    # PCM16 is what recordings are; FFmpeg's first choice for MP3 would be 32 bit.
    context.format = "s16p" if form.codec == "libmp3lame" else "s16"
    if bits := form.bit_rate(sounding.rate, sounding.channels):
        context.bit_rate = bits
    return stream


def _frame(pcm: NDArray[np.int16], rate: int, at: int) -> AudioFrame:
    packed = np.ascontiguousarray(pcm).reshape(1, -1)
    frame = AudioFrame.from_ndarray(packed, format="s16", layout=_LAYOUTS[pcm.shape[1]])
    frame.sample_rate = rate
    frame.pts = at
    return frame


def _tags(sounding: Sounding, call_id: str) -> dict[str, str]:
    texts = {
        "title": call_id,
        "date": format_time(sounding.start_us),
        "comment": sounding.completeness.text,
    }
    return {name: "".join(c if c.isprintable() else "?" for c in text)[:_MAX_TEXT] for name, text in texts.items()}
