"""A call as a WAV file whose every octet is known by its place, so that any range is rendered on its own.

PCM 16 bit, 8 kHz. Stereo: leg 1 is the right channel, every other leg the left; or one leg alone, mono, on the same
time line. Legs that share a channel, and streams that overlap, are added with saturation. Both channels always have
the same length; what is missing is silence, and listed.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import mix_g711
from sipflow.clock import format_time
from sipflow.errors import NothingToPlay
from sipflow.media.codec import Payloads
from sipflow.media.completeness import Completeness, assess
from sipflow.media.placing import SAMPLE_RATE, SAMPLE_US
from sipflow.media.timeline import Gap, Timeline, Track, lay_out, runs
from sipflow.version import __version__
from sipflow.wire.packet import Chunk

RIGHT_LEG: Final = 1
SAMPLE_OCTETS: Final = 2
WINDOW_OCTETS: Final = 256 * 1024
MAX_RIFF: Final = (1 << 32) - 1
_MAX_TEXT: Final = 1000


class WavFile:
    """A call's audio as a file that is rendered where it is read.

    Holds the chunks and a plan of 24 octets per packet; a read needs memory for the octets it gives, nothing else.
    """

    def __init__(
        self,
        call_id: str,
        chunks: Sequence[Chunk],
        payloads: Payloads | None = None,
        *,
        leg: int | None = None,
        faults: Sequence[str] = (),
    ) -> None:
        """Plan the file: `payloads` is what SDP said of payload types, `leg` asks for one leg in mono.

        Raises NothingToPlay, whose text names what there was instead of audio.
        """
        timeline = lay_out(chunks, payloads)
        tracks = [track for track in timeline.tracks if leg is None or track.leg == leg]
        if not any(len(track.placed) for track in tracks):
            raise NothingToPlay(_nothing(call_id, timeline, leg, faults))
        self.call_id = call_id
        self.channels = 2 if leg is None else 1
        self._tracks = tracks
        frame = self.channels * SAMPLE_OCTETS
        # The comment's length is bounded, so room for the largest header is always enough.
        room = (MAX_RIFF - 4 * _MAX_TEXT) // frame
        self.samples = min(timeline.samples, room)
        truncated_us = (timeline.samples - self.samples) * SAMPLE_US
        self.completeness: Completeness = assess(timeline, faults, truncated_us=truncated_us)
        self.timeline = timeline
        self._header = _header(self, self.samples * frame)
        self.length_octets = len(self._header) + self.samples * frame

    @property
    def header_octets(self) -> int:
        """Tell where the samples begin."""
        return len(self._header)

    @property
    def start_us(self) -> int:
        """Tell the time of the first sample."""
        return self.timeline.start_us

    @property
    def duration_us(self) -> int:
        """Tell how long the file plays."""
        return self.samples * SAMPLE_US

    def gaps(self, limit: int = 1000) -> list[Gap]:
        """List where the file is silent for want of audio, see Timeline.gaps."""
        return self.timeline.gaps(limit)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Render octets [start, end); ends beyond the file are moved to its end."""
        return b"".join(self.iterate(start, end))

    def iterate(self, start: int = 0, end: int | None = None, window_octets: int = WINDOW_OCTETS) -> Iterator[bytes]:
        """Render octets [start, end) in pieces of about `window_octets`; the rest as read."""
        stop = self.length_octets if end is None else min(end, self.length_octets)
        at = max(start, 0)
        if at < min(stop, len(self._header)):
            yield self._header[at:stop]
            at = len(self._header)
        while at < stop:
            until = min(stop, at + max(window_octets, 1))
            yield self._render(at - len(self._header), until - len(self._header))
            at = until

    def pcm(self, start: int, stop: int) -> NDArray[np.int16]:
        """Render samples [start, stop) as an array (samples, channels), left before right."""
        out = np.zeros((max(min(stop, self.samples) - start, 0), self.channels), np.int16)
        for track in self._tracks:
            _mix(track, start, out, 1 if self.channels == 2 and track.leg == RIGHT_LEG else 0)
        return out

    def _render(self, start: int, stop: int) -> bytes:
        frame = self.channels * SAMPLE_OCTETS
        first = start // frame
        samples = self.pcm(first, -(-stop // frame)).astype("<i2", copy=False)
        return samples.tobytes()[start - first * frame : stop - first * frame]


def _mix(track: Track, start: int, out: NDArray[np.int16], channel: int) -> None:
    rows = track.window(start, start + len(out))
    for first, stop in runs(rows["chunk"]):
        data = track.chunks[int(rows["chunk"][first])].data
        mix_g711(rows[first:stop].view(np.uint8), data, start, out, channel)


def _header(wav: WavFile, data_octets: int) -> bytes:
    """Build the RIFF header with an INFO list before the data (Microsoft RIFF, 1991)."""
    note = wav.completeness.text
    info = b"INFO" + b"".join(
        (
            _text(b"INAM", wav.call_id),
            _text(b"ICRD", format_time(wav.start_us)),
            _text(b"ICMT", f"Call-ID {wav.call_id[:200]}; starts {format_time(wav.start_us)}; {note}"),
            _text(b"ISFT", f"sipflow {__version__}"),
        )
    )
    frame = wav.channels * SAMPLE_OCTETS
    form = struct.pack("<HHIIHH", 1, wav.channels, SAMPLE_RATE, SAMPLE_RATE * frame, frame, 8 * SAMPLE_OCTETS)
    body = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"LIST", info) + struct.pack("<4sI", b"data", data_octets)
    return struct.pack("<4sI", b"RIFF", len(body) + data_octets) + body


def _chunk(name: bytes, body: bytes) -> bytes:
    # RIFF chunks begin on even octets; the pad octet is not counted in the length.
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def _text(name: bytes, text: str) -> bytes:
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return _chunk(name, printable.encode("utf-8", "replace")[:_MAX_TEXT] + b"\0")


def _nothing(call_id: str, timeline: Timeline, leg: int | None, faults: Sequence[str]) -> str:
    """Say why there is no audio: what was asked for, what there is instead."""
    legs = [track.leg for track in timeline.tracks]
    if leg is not None and leg not in legs and legs:
        why = f"no RTP of leg {leg} was captured, only of leg {', '.join(map(str, legs))}"
    elif timeline.undecoded:
        found = ", ".join(f"{name} ({count} packets)" for name, count in sorted(timeline.undecoded.items()))
        why = f"none of its audio is in a codec that is decoded here (PCMU, PCMA); found {found}"
    elif timeline.received:
        why = "its RTP packets carry no audio"
    elif timeline.other:
        why = f"its {timeline.other} media datagrams are not RTP"
    else:
        why = "no RTP of it was captured, only SIP"
    unread = f"; could not be read: {'; '.join(faults)}" if faults else ""
    return f"call {call_id!r} has nothing to play: {why}{unread}"
