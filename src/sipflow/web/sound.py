"""The audio of a call over HTTP: its WAV, and the figures of its streams."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from sipflow.clock import format_time
from sipflow.errors import CallUnknown, Expired, NothingToPlay, StorageError
from sipflow.media.announcement import Announcements
from sipflow.media.assessment import Assessment, assess_media
from sipflow.media.completeness import Completeness
from sipflow.media.digit import Digit
from sipflow.media.digits import digits
from sipflow.media.figures import StreamFigures, StreamReport, figures_of
from sipflow.media.hidden import hidden_digits
from sipflow.media.sounding import Sounding
from sipflow.media.statistics import StreamStatistics, statistics
from sipflow.media.stream import streams
from sipflow.query.announced import announced
from sipflow.query.answer import Fault, Flow, MediaParts, together
from sipflow.query.source import CallSource
from sipflow.query.wanted import Wanted
from sipflow.query.window import Window
from sipflow.web.derived import Derived
from sipflow.web.download import download
from sipflow.web.recorded import Recordings, unreadable

# Names what of a recording could not be read; a file of sound has no other place for it.
FAULTS_HEADER = "Sipflow-Faults"
# How complete the recording is and why, in one line.
NOTE_HEADER = "Sipflow-Completeness"
_HEADER_MAX = 1000
ALWAYS = Window()


class Sound:
    """Renders what a history holds."""

    def __init__(self, history: CallSource, recordings: Recordings, *, hide_digits: bool = False) -> None:
        self._history = history
        self._recordings = recordings
        self._hide_digits = hide_digits
        self._assessments: Derived[Assessment] = Derived()
        self._digits: Derived[list[Digit]] = Derived()
        self._statistics: Derived[list[StreamStatistics]] = Derived()

    def measure(self, parts: MediaParts) -> tuple[list[StreamStatistics], list[Fault]]:
        """Measure the streams of a call, and tell what could not be read of it.

        Clocks come from all of its SDP, not only that inside the window.
        """
        if not parts.chunks:
            return [], parts.faults
        flow = self._history.flow(parts.call_id)
        return self._measured(parts, flow), together(parts.faults, flow.faults)

    def _measured(self, parts: MediaParts, flow: Flow) -> list[StreamStatistics]:
        return self._statistics.of(None, parts, flow, lambda: statistics(parts.chunks, announced(flow.messages)))

    def figures(self, flow: Flow) -> tuple[list[StreamFigures], list[Fault]]:
        """Give the figures of a whole call, and what of its media could not be read."""
        parts = self._history.media(flow.call_id)
        measured = self._measured(parts, flow)
        return [figures_of(each) for each in measured], parts.faults

    def report(self, parts: MediaParts) -> tuple[StreamReport, list[Fault]]:
        """Give the figures of each stream and how complete the recording is, and what could not be read.

        Raises CallUnknown, or what `unreadable` gives when nothing could be read.
        """
        if not parts.chunks and parts.faults:
            raise unreadable(parts.faults)
        measured, faults = self.measure(parts)
        completeness, note = self.completeness(parts)
        streams = [figures_of(each) for each in measured]
        return StreamReport(parts.call_id, streams, completeness, note), faults

    def completeness(self, parts: MediaParts) -> tuple[Completeness | None, str]:
        """Tell how complete a recording is, None when there is nothing to play, and that, or why not, in one line."""
        try:
            found = self._recordings.open(parts).recording.completeness
        except (NothingToPlay, StorageError, Expired) as nothing:
            # Streams that cannot be played are measured all the same.
            return None, str(nothing)
        return found, found.text

    def assess(self, call_id: str, span: Window = ALWAYS) -> tuple[Assessment, list[Fault]]:
        """Measure and judge the media of a call, and tell what could not be read. Raises CallUnknown, StorageError."""
        parts, flow, unread = self._whole(call_id, span)
        make = partial(assess_media, call_id, parts.chunks, flow.messages)
        return self._assessments.of(None, parts, flow, make), unread

    def digits(self, call_id: str, span: Window = ALWAYS) -> tuple[list[Digit], list[Fault]]:
        """List the keys pressed in a call, hidden where that is set. Raises CallUnknown, StorageError."""
        parts, flow, unread = self._whole(call_id, span)
        found = self._digits.of(None, parts, flow, lambda: _digits(parts, flow))
        return hidden_digits(found) if self._hide_digits else found, unread

    def _whole(self, call_id: str, span: Window) -> tuple[MediaParts, Flow, list[Fault]]:
        parts, flow = self._history.media(call_id, span), self._history.flow(call_id)
        unread = together(parts.faults, flow.faults)
        if not parts.chunks and not flow.messages:
            raise unreadable(unread) if unread else CallUnknown(call_id)
        return parts, flow, unread

    def play(self, request: Request, parts: MediaParts, wanted: Wanted) -> Response:
        """Answer the WAV of a call that is not cut, any range of it, in constant memory.

        Raises NothingToPlay, or CallUnknown when there is nothing of the call at all.
        """
        found = self._recordings.open(parts, wanted)
        etag = f"{found.wav.length_octets:x}-{found.recording.start_us:x}-{found.last_us:x}"
        headers = described(found.recording, found.faults, etag)
        return download(request, found.wav, f"{parts.call_id}.wav", "audio/wav", headers)


def _digits(parts: MediaParts, flow: Flow) -> list[Digit]:
    return digits(streams(parts.chunks, merge_clients=True), flow.messages, Announcements.of(flow.messages))


def described(sounding: Sounding, faults: list[str], etag: str) -> dict[str, str]:
    """Say in headers when the sound begins, how complete the recording is, and what could not be read."""
    headers = {
        "ETag": f'"{etag}"',
        "Sipflow-Start": format_time(sounding.start_us),
        "Sipflow-Complete": f"{sounding.completeness.percent:.2f}",
        NOTE_HEADER: _header(sounding.completeness.text),
    }
    if faults:
        headers[FAULTS_HEADER] = _header("; ".join(faults))
    return headers


def _header(text: str) -> str:
    """Make text fit for a header: visible ASCII, and not too much of it."""
    return "".join(char if " " <= char <= "~" else "?" for char in text)[:_HEADER_MAX]
