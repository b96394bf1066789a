"""Audio decoders of libav (FFmpeg, by PyAV): octets of whole frames in, mono samples out."""

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow.errors import Undecodable

MISSING: str | None
try:
    import av
    from av.audio.codeccontext import AudioCodecContext
except ImportError as _error:  # a platform without a wheel: everything but these codecs still works
    MISSING = f"PyAV cannot be imported ({_error})"
else:
    MISSING = None

EMPTY: Final[NDArray[np.int16]] = np.zeros(0, np.int16)
FULL_SCALE: Final = 32768


class Libav:
    """One decoder of libav; it keeps the state that follows from frame to frame. One thread at a time."""

    def __init__(self, context: "AudioCodecContext") -> None:
        """Take a context that is ready to decode."""
        self._context = context

    def __call__(self, octets: bytes) -> NDArray[np.int16] | None:
        """Decode whole frames to mono int16 at the codec's rate; None when libav refuses them."""
        if not octets:
            return EMPTY  # to libav an empty packet is the end of the stream
        try:
            frames = self._context.decode(av.Packet(octets))
        except (av.FFmpegError, ValueError):
            return None
        if any(frame.layout.nb_channels != 1 for frame in frames):
            return None  # every context is opened mono; what claims to be more is not the codec's
        if len(frames) == 1:
            return _samples(frames[0])
        return np.concatenate([_samples(frame) for frame in frames]) if frames else EMPTY


def _samples(frame: "av.AudioFrame") -> NDArray[np.int16]:
    plane = memoryview(frame.planes[0])
    if frame.format.bytes == 2:
        return np.frombuffer(plane, np.int16, frame.samples).copy()  # libav uses the frame's memory again
    heard = np.nan_to_num(np.frombuffer(plane, np.float32, frame.samples) * FULL_SCALE)
    return np.clip(np.rint(heard), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def opener(
    codec: str, names: tuple[str, ...], rate: int, *, bit_rate: int = 0, extradata: bytes = b""
) -> Callable[[], Libav]:
    """Find the first of these decoders that the build has; give what opens one, mono at `rate` [Hz].

    `bit_rate` [bit/s] and `extradata` are for codecs that need them to know their mode. Raises Undecodable.
    """
    found = _available(codec, names)

    def start() -> Libav:
        context = _context(found)
        context.sample_rate, context.layout = rate, "mono"
        if bit_rate:
            context.bit_rate = bit_rate
        if extradata:
            context.extradata = extradata
        return Libav(context)

    return start


def g726_opener(codec: str, name: str, bits: int) -> Callable[[], Libav]:
    """Give what opens a G.726 decoder of `bits` per sample, packed as the format `name` (g726, g726le) says.

    Code words have no size of their own in a bare context, so the raw demuxer of the same name sets it.
    Raises Undecodable.
    """
    _available(codec, (name,))
    if name not in av.formats_available:
        raise Undecodable(f"{codec}: the libavformat of PyAV {av.__version__} has no {name}")

    def start() -> Libav:
        # The demuxer reads one packet's worth to know its stream; what stands in it does not matter.
        with av.open(io.BytesIO(bytes(4096)), format=name, options={"code_size": str(bits)}) as opened:
            return Libav(opened.streams.audio[0].codec_context)

    return start


def _available(codec: str, names: tuple[str, ...]) -> str:
    if MISSING is not None:
        raise Undecodable(f"{codec}: {MISSING}")
    for name in names:
        if name in av.codecs_available and _decodes(name):
            return name
    raise Undecodable(f"{codec}: the libavcodec of PyAV {av.__version__} has no decoder {' or '.join(names)}")


def _decodes(name: str) -> bool:
    try:
        av.Codec(name, "r")
    except ValueError:
        return False
    return True


def _context(name: str) -> "AudioCodecContext":
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, AudioCodecContext)
    # Frames are of milliseconds: a thread per decoder would cost more than it saves.
    context.thread_count = 1
    return context
