"""A call's sound as it is found in a history: the recording, and what of it could not be read."""

import weakref
from typing import NamedTuple

from sipflow.errors import BadQuery, CallUnknown, Expired, NothingToPlay, StorageError
from sipflow.media.announcement import Announcements
from sipflow.media.decoding import Decoding
from sipflow.media.decoding_process import DecodingProcess
from sipflow.media.keypad import silences, tones
from sipflow.media.recording import Recording
from sipflow.media.sounding import MonoMix, Sounding, excerpt
from sipflow.media.wav import WavFile
from sipflow.query.answer import Fault, Flow, MediaParts, together
from sipflow.query.expiry import expired, have_expired
from sipflow.query.source import CallSource
from sipflow.query.wanted import Wanted
from sipflow.web.derived import Derived

WHOLE = Wanted()


class Recorded(NamedTuple):
    """A recording as found; `last_us` and `packets` change when a live call has grown."""

    recording: Recording
    wav: WavFile
    faults: list[str]
    last_us: int
    packets: int

    def shaped(self, wanted: Wanted) -> Sounding:
        """Mix and cut it; the leg was chosen when it was opened. Raises BadQuery for a cut beyond it."""
        mixed = MonoMix(self.recording) if wanted.mono and self.recording.channels > 1 else self.recording
        return excerpt(mixed, wanted.start_s, wanted.end_s)


class Recordings:
    """Opens the recordings of a history's calls; payloads are decoded in a process that may die."""

    def __init__(self, history: CallSource, *, hide_digits: bool = False) -> None:
        """Use `history`; with `hide_digits` no key that was pressed can be heard."""
        self._history = history
        self._decoders = DecodingProcess()
        # An application has no end of its own at which it could be closed.
        weakref.finalize(self, self._decoders.close)
        self._hide_digits = hide_digits
        # A player that seeks asks for many ranges of one recording.
        self._opened: Derived[Recorded] = Derived()

    def close(self) -> None:
        """End the decoding process."""
        self._decoders.close()

    def open(self, parts: MediaParts, wanted: Wanted = WHOLE) -> Recorded:
        """Open the recording of a call, one leg of it or all, not yet cut; codecs come from all of its SDP.

        A copy's WAV holds G.711 codes as captured, and no tones of keys. Raises BadQuery when they are not all
        of one law, NothingToPlay, or CallUnknown when there is nothing of the call at all, or what `unreadable` gives.
        """
        if not parts.chunks and parts.faults:
            raise unreadable(parts.faults)
        flow = self._history.flow(parts.call_id)
        what = wanted.leg, wanted.copy, wanted.conceal
        return self._opened.of(what, parts, flow, lambda: self._open(parts, flow, wanted))

    def _open(self, parts: MediaParts, flow: Flow, wanted: Wanted) -> Recorded:
        unread = together(parts.faults, flow.faults)
        if not parts.chunks and not flow.messages:
            raise unreadable(unread) if unread else CallUnknown(parts.call_id)
        faults = [f"{fault.where}: {fault.what}" for fault in unread]
        announced = Announcements.of(flow.messages)
        hidden = silences(parts.chunks, flow.messages, announced) if self._hide_digits else []
        try:
            recording = Recording.open(
                parts.call_id,
                parts.chunks,
                announced,
                leg=wanted.leg,
                faults=faults,
                overlays=[] if wanted.copy or self._hide_digits else tones(parts.chunks, announced),
                silences=hidden,
                decoding=Decoding(self._decoders.open, conceal=wanted.conceal),
            )
        except NothingToPlay:
            if unread:
                raise unreadable(unread) from None
            raise
        if wanted.copy and recording.law is None:
            raise BadQuery("copy: found a recording that is not all of one G.711 law, one packet at a time; allowed: 0")
        last_us = max(chunk.last_us for chunk in parts.chunks)
        packets = sum(chunk.packets for chunk in parts.chunks)
        return Recorded(recording, WavFile(recording, copy=wanted.copy), faults, last_us, packets)


def unreadable(faults: list[Fault]) -> StorageError | Expired:
    """Give the error of a question whose every answer lies in what could not be read, or has expired."""
    if have_expired(faults):
        return expired(faults)
    return StorageError("read", faults[0].where, "; ".join(fault.what for fault in faults))
