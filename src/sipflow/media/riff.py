"""Any recording as a WAV file (Microsoft RIFF, 1991) whose octets are known by their place: PCM, 16 bit."""

import struct
from collections.abc import Iterator
from typing import Final

from sipflow.clock import SECOND_US, format_time
from sipflow.media.sounding import Excerpt, Sounding
from sipflow.version import __version__

MAX_RIFF: Final = (1 << 32) - 1
WINDOW_OCTETS: Final = 256 * 1024
_SAMPLE_OCTETS: Final = 2
_MAX_TEXT: Final = 1000


class Riff:
    """A recording as a WAV file that is rendered where it is read, in the memory of one window."""

    def __init__(self, call_id: str, sounding: Sounding) -> None:
        """Plan the file; what does not fit into the 4 GiB that a WAV may have is left out, and its comment says so."""
        self._frame = sounding.channels * _SAMPLE_OCTETS
        # The texts' lengths are bounded, so room for the largest header is always enough.
        room = (MAX_RIFF - 4 * _MAX_TEXT - 200) // self._frame
        note = sounding.completeness.text
        if sounding.samples > room:
            left_us = (sounding.samples - room) * SECOND_US // sounding.rate
            note = f"the last {left_us / SECOND_US:.3f} s left out: a WAV file holds 4 GiB; {note}"
            sounding = Excerpt(sounding, 0, room)
        self._sounding = sounding
        data_octets = sounding.samples * self._frame
        self._header = _header(call_id, sounding, note, data_octets)
        self.length_octets = len(self._header) + data_octets

    def iterate(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Render octets [start, end) in pieces; ends beyond the file are moved to its end."""
        stop = self.length_octets if end is None else min(end, self.length_octets)
        at = max(start, 0)
        if at < min(stop, len(self._header)):
            yield self._header[at:stop]
            at = len(self._header)
        while at < stop:
            until = min(stop, at + WINDOW_OCTETS)
            yield self._render(at - len(self._header), until - len(self._header))
            at = until

    def _render(self, start: int, stop: int) -> bytes:
        first = start // self._frame
        samples = self._sounding.pcm(first, -(-stop // self._frame)).astype("<i2", copy=False)
        return samples.tobytes()[start - first * self._frame : stop - first * self._frame]


def _header(call_id: str, sounding: Sounding, note: str, data_octets: int) -> bytes:
    starts = format_time(sounding.start_us)
    info = b"INFO" + b"".join(
        (
            _text(b"INAM", call_id),
            _text(b"ICRD", starts),
            _text(b"ICMT", f"Call-ID {call_id[:200]}; starts {starts}; {note}"),
            _text(b"ISFT", f"sipflow {__version__}"),
        )
    )
    frame = sounding.channels * _SAMPLE_OCTETS
    octets_per_s = sounding.rate * frame
    form = struct.pack("<HHIIHH", 1, sounding.channels, sounding.rate, octets_per_s, frame, 8 * _SAMPLE_OCTETS)
    body = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"LIST", info) + struct.pack("<4sI", b"data", data_octets)
    return struct.pack("<4sI", b"RIFF", len(body) + data_octets) + body


def _chunk(name: bytes, body: bytes) -> bytes:
    # RIFF chunks begin on even octets; the pad octet is not counted in the length.
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def _text(name: bytes, text: str) -> bytes:
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return _chunk(name, printable.encode("utf-8", "replace")[:_MAX_TEXT] + b"\0")
