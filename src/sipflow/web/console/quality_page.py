"""The page of a call's quality: each stream in figures, and second by second."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from sipflow.diagnose import Call
from sipflow.diagnose.dialogue import Dialogue
from sipflow.media.quality import StreamQuality
from sipflow.query.session_times import session_times
from sipflow.web.asked import only
from sipflow.web.console.chart import Chart, Series, lines
from sipflow.web.console.dossier import Dossiers
from sipflow.web.console.media_band import MediaBand, media_bands
from sipflow.web.console.render import render
from sipflow.web.console.urls import Urls

# A forged call can have thousands; the table of PAGE lists them all.
STREAMS_SHOWN = 16


class StreamPage(NamedTuple):
    """One stream on the page."""

    band: MediaBand
    quality: StreamQuality
    charts: list[Chart]
    seconds: list[tuple[int, int, int, int, float | None, float | None]]


class QualityView:
    """The view /calls/{id}/quality."""

    def __init__(self, dossiers: Dossiers) -> None:
        self._dossiers = dossiers
        self._urls = Urls()

    def page(self, request: Request, call_id: str) -> Response:
        """Answer the page. Raises CallUnknown."""
        only(request, ())
        dossier = self._dossiers.of(call_id)
        measured = [each for each in dossier.measured.quality if each.statistics.ssrc is not None]
        measured.sort(key=lambda each: each.statistics.first_us)
        bands = media_bands(call_id, measured, dossier.announcements)
        streams = [_stream(band, each) for band, each in zip(bands, measured, strict=True)][:STREAMS_SHOWN]
        times = session_times(Dialogue(Call(call_id, tuple(dossier.messages))))
        return render(
            request, "quality.html", twin=self._urls.call_json(call_id, "quality"),
            call=dossier.call, call_id=call_id, streams=streams,
            hidden=len(measured) - len(streams), times=times, faults=dossier.faults,
        )  # fmt: skip


def _stream(band: MediaBand, measured: StreamQuality) -> StreamPage:
    seconds = measured.seconds
    count = len(seconds.packets)
    labels = [f"{n // 60}:{n % 60:02d}" for n in range(count)]
    lost = Series("lost", "bad", [float(value) for value in seconds.lost])
    late = Series("too late", "warn", [float(value) for value in seconds.late])
    charts = [
        lines("Packets lost and too late, each second", labels, [lost, late]),
        lines("Jitter, ms, at the end of each second", labels, [Series("jitter", "lane2", _known(seconds.jitter_ms))]),
        lines("MOS (listening), each second", labels, [Series("MOS", "lane1", _known(seconds.mos))], top=5.0),
    ]
    rows = zip(range(count), *_columns(measured), strict=True)
    # The table shows seconds in which something was wrong; a good call has none.
    worst = [row for row in rows if row[2] or row[3] or (row[5] is not None and row[5] < 3.6)]
    return StreamPage(band, measured, charts, worst[:200])


def _columns(
    measured: StreamQuality,
) -> tuple[list[int], list[int], list[int], list[float | None], list[float | None]]:
    seconds = measured.seconds
    return (
        seconds.packets.tolist(),
        seconds.lost.tolist(),
        seconds.late.tolist(),
        _known(seconds.jitter_ms),
        _known(seconds.mos),
    )


def _known(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
