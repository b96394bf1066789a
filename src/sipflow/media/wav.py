"""A call as a WAV file whose every octet is known by its place, so that any range is rendered on its own.

PCM of 16 bit at the recording's rate; or G.711 codes as they were captured, where the whole recording is in one law.
"""

import struct
from collections.abc import Iterator
from typing import Final

from sipflow.clock import format_time
from sipflow.media.carried import Law
from sipflow.media.completeness import Completeness
from sipflow.media.recording import Recording
from sipflow.version import __version__

WINDOW_OCTETS: Final = 256 * 1024
MAX_RIFF: Final = (1 << 32) - 1
# Format tags of Microsoft's mmreg.h.
_PCM: Final = 1
_TAGS: Final = {Law.ULAW: 7, Law.ALAW: 6}
_MAX_TEXT: Final = 1000


class WavFile:
    """A recording as a file that is rendered where it is read; a read needs memory for what it gives, nothing else.

    What does not fit into 4 GiB is left out at the end, and `completeness` says so.
    """

    def __init__(self, recording: Recording, *, copy: bool = False) -> None:
        """Plan the file; `copy` keeps the G.711 codes as captured instead of decoding them.

        Raises ValueError for a copy of a recording whose `law` is None.
        """
        if copy and recording.law is None:
            raise ValueError("copy: found a recording that is not all of one G.711 law; allowed: one whose law is set")
        self.recording = recording
        self._law = recording.law if copy else None
        self._sample_octets = 2 if self._law is None else 1
        frame = self.frame_octets
        # The comment's length is bounded, so room for the largest header is always enough.
        room = (MAX_RIFF - 4 * _MAX_TEXT) // frame
        self.samples = min(recording.samples, room)
        self.completeness: Completeness = recording.completeness_of(self.samples)
        self._header = self._head(self.samples * frame)
        # A data chunk of odd length is padded (Microsoft RIFF, 1991).
        self._pad = b"\0" * (self.samples * frame % 2)
        self._data_end = len(self._header) + self.samples * frame
        self.length_octets = self._data_end + len(self._pad)

    @property
    def frame_octets(self) -> int:
        """Tell the octets of one sample of all channels."""
        return self.recording.channels * self._sample_octets

    @property
    def header_octets(self) -> int:
        """Tell where the samples begin."""
        return len(self._header)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Render octets [start, end); ends beyond the file are moved to its end. Raises StorageError."""
        return b"".join(self.iterate(start, end))

    def iterate(self, start: int = 0, end: int | None = None, window_octets: int = WINDOW_OCTETS) -> Iterator[bytes]:
        """Render octets [start, end) in pieces of about `window_octets`; the rest as read."""
        stop = self.length_octets if end is None else min(end, self.length_octets)
        at = max(start, 0)
        if at < min(stop, len(self._header)):
            yield self._header[at:stop]
            at = len(self._header)
        while at < min(stop, self._data_end):
            until = min(stop, self._data_end, at + max(window_octets, 1))
            yield self._render(at - len(self._header), until - len(self._header))
            at = until
        if at < stop:
            yield self._pad

    def _render(self, start: int, stop: int) -> bytes:
        frame = self.frame_octets
        first, last = start // frame, -(-stop // frame)
        if self._law is None:
            octets = self.recording.pcm(first, last).astype("<i2", copy=False).tobytes()
        else:
            octets = self.recording.codes(first, last).tobytes()
        return octets[start - first * frame : stop - first * frame]

    def _head(self, data_octets: int) -> bytes:
        """Build the RIFF header with an INFO list before the data (Microsoft RIFF, 1991)."""
        recording = self.recording
        begins = format_time(recording.start_us)
        note = f"Call-ID {recording.call_id[:200]}; starts {begins}; {self.completeness.text}"
        info = b"INFO" + b"".join(
            (
                _text(b"INAM", recording.call_id),
                _text(b"ICRD", begins),
                _text(b"ICMT", note),
                _text(b"ISFT", f"sipflow {__version__}"),
            )
        )
        pad = data_octets % 2
        body = b"WAVE" + self._form() + _chunk(b"LIST", info) + struct.pack("<4sI", b"data", data_octets)
        return struct.pack("<4sI", b"RIFF", len(body) + data_octets + pad) + body

    def _form(self) -> bytes:
        rate, channels, frame = self.recording.rate, self.recording.channels, self.frame_octets
        tag = _PCM if self._law is None else _TAGS[self._law]
        form = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, 8 * self._sample_octets)
        if self._law is None:
            return _chunk(b"fmt ", form)
        # Every format but PCM has a size of its extension and a fact chunk (Microsoft Multimedia Standards, 1994).
        return _chunk(b"fmt ", form + struct.pack("<H", 0)) + _chunk(b"fact", struct.pack("<I", self.samples))


def _chunk(name: bytes, body: bytes) -> bytes:
    # RIFF chunks begin on even octets; the pad octet is not counted in the length.
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def _text(name: bytes, text: str) -> bytes:
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return _chunk(name, printable.encode("utf-8", "replace")[:_MAX_TEXT] + b"\0")
