"""What is known of a call's media, in the form that leaves the process: quality by stream and second, the verdict."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.errors import Undecodable
from sipflow.media.announcement import Announcements
from sipflow.media.burst import BurstGap
from sipflow.media.codec import Codec
from sipflow.media.decoder import decoder_of
from sipflow.media.emodel import Score
from sipflow.media.figures import StreamFigures, figures_of
from sipflow.media.finding import Figure, Finding
from sipflow.media.level import Loudness, loudness
from sipflow.media.quality import Buffered, Seconds, StreamQuality, quality
from sipflow.media.reports import one_way_ms, reports, round_trips
from sipflow.media.stream import Stream, streams
from sipflow.media.verdict import Verdict, judge
from sipflow.wire.packet import Chunk, Message, StreamKey


class ScoreFigures(msgspec.Struct, frozen=True):
    """An opinion score with everything that it means nothing without.

    `label` is kind and scale, e.g. "MOS-LQ NB"; `origin` where the codec's numbers come from, `estimated` that no
    standard gives them; `assumed` that its delay was not measured.
    """

    mos: float
    r: float
    label: str
    band: str
    estimated: bool
    origin: str
    delay_ms: float | None
    assumed: bool


class BufferFigures(msgspec.Struct, frozen=True):
    """What one kind of jitter buffer would have made of a stream."""

    name: str
    mean_ms: float
    discarded: int
    loss_percent: float
    burst: BurstGap
    lq: ScoreFigures | None
    cq: ScoreFigures | None


class SecondsFigures(msgspec.Struct, frozen=True):
    """A stream second by second from `t0_us`; null where there is nothing to tell. `dbfs` is of G.711 only."""

    t0_us: int
    packets: list[int]
    lost: list[int]
    late: list[int]
    jitter_ms: list[float | None]
    mos: list[float | None]
    dbfs: list[float | None]


class LevelFigures(msgspec.Struct, frozen=True):
    """How loud a stream is, see Loudness."""

    rms_dbfs: float | None
    peak_dbfs: float | None
    speech_s: float
    silence_percent: float
    clipped_percent: float


class QualityFigures(StreamFigures, frozen=True):
    """The figures of a stream, and its quality. `level` is None for what is not G.711."""

    jitter_p95_ms: float | None
    packet_ms: float
    one_way_ms: float | None
    lq: ScoreFigures | None
    cq: ScoreFigures | None
    burst: BurstGap
    buffers: list[BufferFigures]
    level: LevelFigures | None
    seconds: SecondsFigures


class Cause(msgspec.Struct, frozen=True):
    """A Finding as JSON has it: `streams` are "leg N: ip:port > ip:port"."""

    code: str
    severity: str
    sentence: str
    reference: str
    times_us: tuple[int, ...]
    streams: tuple[str, ...]
    figures: tuple[Figure, ...]


class Assessment(msgspec.Struct, frozen=True):
    """The media of a call: each stream, whether sound flows both ways and, in sentences, why not."""

    call_id: str
    streams: list[QualityFigures]
    flows: bool
    text: str
    findings: list[Cause]


class MeasuredMedia(NamedTuple):
    """The media of a call as measured and judged; `loud` has None for what is not G.711."""

    announced: Announcements
    quality: list[StreamQuality]
    loud: list[Loudness | None]
    verdict: Verdict


def measure_media(chunks: Sequence[Chunk], messages: Sequence[Message]) -> MeasuredMedia:
    """Measure and judge the media of a call. Raises StorageError when a chunk cannot be read any more."""
    announced = Announcements.of(messages)
    found = streams(chunks)
    delay_ms = one_way_ms(round_trips(reports(chunks)))
    measured = [quality(stream, _payloads(announced, stream.key), one_way_ms=delay_ms) for stream in found]
    loud = [loudness(stream, _payloads(announced, stream.key)) for stream in found]
    return MeasuredMedia(announced, measured, loud, judge_media(messages, announced, found, measured, loud))


def assess_media(call_id: str, chunks: Sequence[Chunk], messages: Sequence[Message]) -> Assessment:
    """Write down what measure_media finds. Raises StorageError when a chunk cannot be read any more."""
    _, measured, loud, verdict = measure_media(chunks, messages)
    return Assessment(
        call_id,
        [_figures(one, level) for one, level in zip(measured, loud, strict=True)],
        verdict.flows,
        verdict.text,
        [_cause(finding) for finding in verdict.findings],
    )


def judge_media(
    messages: Sequence[Message],
    announced: Announcements,
    found: Sequence[Stream],
    measured: Sequence[StreamQuality],
    loud: Sequence[Loudness | None],
) -> Verdict:
    """Judge what was measured: by its levels too, and by what can be decoded here."""
    energies = {
        stream.key: level.rms_dbfs if math.isfinite(level.rms_dbfs) else -120.0
        for stream, level in zip(found, loud, strict=True)
        if level is not None
    }
    return judge(messages, announced, [one.statistics for one in measured], energies, _undecodable)


def _payloads(announced: Announcements, key: StreamKey) -> dict[int, Codec]:
    """Put together what was said of a stream at any time; what was said first stands."""
    whole: dict[int, Codec] = {}
    for span in announced.spans(key):
        for number, codec in span.payloads.items():
            whole.setdefault(number, codec)
    return whole


def _undecodable(codec: Codec) -> str | None:
    if codec.name.upper() in ("PCMU", "PCMA"):
        return None
    try:
        decoder_of(codec)
    except Undecodable as error:
        return error.reason
    return None


def _figures(one: StreamQuality, level: Loudness | None) -> QualityFigures:
    return QualityFigures(
        **msgspec.structs.asdict(figures_of(one.statistics)),
        jitter_p95_ms=one.jitter_p95_ms,
        packet_ms=one.packet_ms,
        one_way_ms=one.one_way_ms,
        lq=_score(one.lq),
        cq=_score(one.cq),
        burst=one.burst,
        buffers=[_buffer(buffer) for buffer in one.buffers],
        level=None if level is None else _level(level),
        seconds=_seconds(one.seconds, level),
    )


def _score(score: Score | None) -> ScoreFigures | None:
    if score is None:
        return None
    return ScoreFigures(
        score.mos, score.r, score.label, score.band, score.estimated, score.origin, score.delay_ms, score.assumed
    )


def _buffer(one: Buffered) -> BufferFigures:
    playout = one.playout
    return BufferFigures(
        playout.name, playout.mean_ms, playout.discarded, one.loss_percent, one.burst, _score(one.lq), _score(one.cq)
    )


def _level(level: Loudness) -> LevelFigures:
    return LevelFigures(
        _finite(level.rms_dbfs), _finite(level.peak_dbfs), level.speech_s, level.silence_percent, level.clipped_percent
    )


def _seconds(seconds: Seconds, level: Loudness | None) -> SecondsFigures:
    count = len(seconds.packets)
    dbfs = np.full(count, np.nan)
    if level is not None and count:
        # Levels count their seconds from the first audio packet, the rest from the first packet of any kind.
        shift = round((level.t0_us - seconds.t0_us) / 1e6)
        kept = level.seconds_dbfs[max(-shift, 0) : max(count - shift, 0)]
        dbfs[max(shift, 0) : max(shift, 0) + len(kept)] = kept
    return SecondsFigures(
        seconds.t0_us,
        seconds.packets.tolist(),
        seconds.lost.tolist(),
        seconds.late.tolist(),
        _numbers(seconds.jitter_ms),
        _numbers(seconds.mos),
        _numbers(dbfs),
    )


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [_finite(value) for value in values.round(3).tolist()]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cause(finding: Finding) -> Cause:
    return Cause(
        finding.code,
        str(finding.severity),
        finding.sentence,
        finding.reference,
        finding.times_us,
        tuple(f"leg {key.leg}: {key.src} > {key.dst}" for key in finding.streams),
        finding.figures,
    )
