"""The audio of a call over HTTP: its WAV, and the figures of its streams."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sipflow.clock import format_time
from sipflow.errors import CallUnknown, NothingToPlay, StorageError
from sipflow.media.statistics import StreamStatistics, statistics
from sipflow.media.wav import WavFile
from sipflow.query.announced import announced
from sipflow.query.answer import Fault, Flow, MediaParts, together
from sipflow.query.source import CallSource
from sipflow.web.download import download

# Names what of a recording could not be read; a WAV has no other place for it.
FAULTS_HEADER = "Sipflow-Faults"
_HEADER_MAX = 1000


class StreamFigures(msgspec.Struct, frozen=True):
    """StreamStatistics as JSON has it: `src` and `dst` are "ip:port"."""

    leg: int
    src: str
    dst: str
    ssrc: int | None
    client_id: int
    packet_count: int
    expected: int
    lost: int
    loss_percent: float
    duplicates: int
    reordered: int
    late: int
    strays: int
    resets: int
    segments: int
    jitter_ms: float | None
    jitter_mean_ms: float | None
    jitter_max_ms: float | None
    payload_type: int | None
    codec: str | None
    clock_rate: int | None
    payload_types: dict[int, int]
    payload_octets: int
    first_us: int
    last_us: int


class Sound:
    """Renders what a history holds."""

    def __init__(self, history: CallSource) -> None:
        self._history = history

    def measure(self, parts: MediaParts) -> tuple[list[StreamStatistics], list[Fault]]:
        """Measure the streams of a call, and tell what could not be read of it.

        Clocks come from all of its SDP, not only that inside the window.
        """
        if not parts.chunks:
            return [], parts.faults
        flow = self._history.flow(parts.call_id)
        return statistics(parts.chunks, announced(flow.messages)), together(parts.faults, flow.faults)

    def figures(self, flow: Flow) -> tuple[list[StreamFigures], list[Fault]]:
        """Give the figures of a whole call, and what of its media could not be read."""
        parts = self._history.media(flow.call_id)
        measured = statistics(parts.chunks, announced(flow.messages))
        return [_figures(each) for each in measured], parts.faults

    def play(self, request: Request, parts: MediaParts, leg: int | None) -> Response:
        """Answer the WAV of a call, any range of it, in constant memory.

        Raises NothingToPlay, or CallUnknown when there is nothing of the call at all.
        """
        if not parts.chunks and parts.faults:
            raise unreadable(parts.faults)
        flow = self._history.flow(parts.call_id)
        unread = together(parts.faults, flow.faults)
        if not parts.chunks and not flow.messages:
            raise unreadable(unread) if unread else CallUnknown(parts.call_id)
        faults = [f"{fault.where}: {fault.what}" for fault in unread]
        try:
            wav = WavFile(parts.call_id, parts.chunks, announced(flow.messages), leg=leg, faults=faults)
        except NothingToPlay:
            if unread:
                raise unreadable(unread) from None
            raise
        last_us = max(int(chunk.rows["time_us"].max()) for chunk in parts.chunks)
        headers = {
            "ETag": f'"{wav.length_octets:x}-{wav.start_us:x}-{last_us:x}"',
            "Sipflow-Start": format_time(wav.start_us),
            "Sipflow-Complete": f"{wav.completeness.percent:.2f}",
        }
        if faults:
            headers[FAULTS_HEADER] = _header("; ".join(faults))
        return download(request, wav, f"{parts.call_id}.wav", "audio/wav", headers)


def _header(text: str) -> str:
    """Make text fit for a header: visible ASCII, and not too much of it."""
    return "".join(char if " " <= char <= "~" else "?" for char in text)[:_HEADER_MAX]


def unreadable(faults: list[Fault]) -> StorageError:
    """Give the error of a question whose every answer lies in what could not be read."""
    return StorageError("read", faults[0].where, "; ".join(fault.what for fault in faults))


def _figures(measured: StreamStatistics) -> StreamFigures:
    fields = {**msgspec.structs.asdict(measured), "src": str(measured.src), "dst": str(measured.dst)}
    return msgspec.convert(fields, StreamFigures)
