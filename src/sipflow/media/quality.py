"""The quality of one stream: what came, what was lost, and how it sounded, in sum and second by second."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.media.burst import BadRuns, BurstGap, burst_gap
from sipflow.media.codec import Payloads, codec_of
from sipflow.media.emodel import Impairment, Score, burst_ratio, impairment_of, mouth_to_ear_ms, score
from sipflow.media.pace import Jitter, Pace, delays_ms, jitter_of, pace
from sipflow.media.playout import FIXED_MS, Playout, replay
from sipflow.media.statistics import StreamStatistics, dominant_type, measure, type_counts
from sipflow.media.stream import Stream

# A series ends here: times further apart than this are no call.
MAX_SECONDS: Final = 48 * 3600
_SECOND_US: Final = 1_000_000
# What most audio is sent in, where a stream is too short to tell.
_USUAL_PACKET_MS: Final = 20.0


class Seconds(msgspec.Struct, frozen=True, eq=False):
    """A stream second by second from `t0_us`, arrays of equal length: packets received, numbers lost, packets too late
    for the adaptive buffer, jitter at the second's end [ms, NaN before there is any], MOS-LQ [NaN where nothing was
    expected, or the codec is unknown].

    Losses are spread evenly over the time between the packets around them. Nothing is listed behind MAX_SECONDS.
    """

    t0_us: int
    packets: NDArray[np.int64]
    lost: NDArray[np.int64]
    late: NDArray[np.int64]
    jitter_ms: NDArray[np.float64]
    mos: NDArray[np.float64]


class Buffered(msgspec.Struct, frozen=True, eq=False):
    """What a jitter buffer would have played of the stream: loss with what came too late, its spread, the scores.

    `lq` is None for an unknown codec, `cq` also when the delay is neither measured nor assumed.
    """

    playout: Playout
    loss_percent: float
    burst: BurstGap
    lq: Score | None
    cq: Score | None


class StreamQuality(msgspec.Struct, frozen=True, eq=False):
    """All that is known of a stream's quality.

    `packet_ms` is the usual length of a packet. `burst` is of the network's losses alone; `buffers` has what each kind
    of jitter buffer would have made of the stream: the fixed ones by size, then the adaptive one. `lq` and `cq` are
    those of the adaptive buffer, which most phones have.
    """

    statistics: StreamStatistics
    jitter_p95_ms: float | None
    packet_ms: float
    burst: BurstGap
    buffers: tuple[Buffered, ...]
    seconds: Seconds
    one_way_ms: float | None

    @property
    def lq(self) -> Score | None:
        """Give the listening score, None for an unknown codec."""
        return self.buffers[-1].lq if self.buffers else None

    @property
    def cq(self) -> Score | None:
        """Give the conversational score, None without a delay."""
        return self.buffers[-1].cq if self.buffers else None


class _Numbered(NamedTuple):
    """The numbers a stream spans, one behind the other: where its packets stand, and the holes behind each."""

    place: NDArray[np.int64]
    missing: NDArray[np.int64]
    expected: int

    @property
    def holes(self) -> BadRuns:
        at = np.flatnonzero(self.missing)
        return BadRuns(self.place[at] + 1, self.missing[at])


def quality(
    stream: Stream,
    payloads: Payloads | None = None,
    *,
    one_way_ms: float | None = None,
    assumed_ms: float | None = None,
    sizes_ms: Sequence[float] = FIXED_MS,
    impairment: Impairment | None = None,
) -> StreamQuality:
    """Measure a stream exactly.

    `payloads` is what SDP announced. `one_way_ms` is the delay of the network that RTCP measured; without it
    `assumed_ms`, if given, takes its place, and the scores say so; without either there is no conversational score.
    `impairment` replaces the usual numbers of the codec. A stream without RTP has zeros, and no scores.
    """
    dominant = dominant_type(type_counts(stream), payloads)
    codec = None if dominant is None else codec_of(dominant, payloads)
    unique = stream.unique
    paced = None if dominant is None else pace(unique, dominant, payloads)
    jitter = Jitter(np.zeros(0, np.int64), np.zeros(0)) if paced is None else jitter_of(paced)
    packet_ms = _packet_ms(paced)
    numbered = _numbered(unique)
    if impairment is None and codec is not None:
        impairment = impairment_of(codec.name)
    delay_ms = assumed_ms if one_way_ms is None else one_way_ms
    assumed = one_way_ms is None
    buffers: list[Buffered] = []
    late_us = np.zeros(0, np.int64)
    if paced is not None:
        buffers = [
            _buffered(playout, numbered, paced, packet_ms, impairment, delay_ms, assumed)
            for playout in replay(paced.packets["time_us"], delays_ms(paced), packet_ms, sizes_ms)
        ]
        late_us = paced.packets["time_us"][buffers[-1].playout.late]
    return StreamQuality(
        statistics=measure(stream, payloads, jitter.value_ms),
        jitter_p95_ms=float(np.percentile(jitter.value_ms, 95)) if len(jitter.value_ms) else None,
        packet_ms=packet_ms,
        burst=burst_gap(numbered.holes, numbered.expected, packet_ms),
        buffers=tuple(buffers),
        seconds=_seconds(unique, numbered, jitter, late_us, impairment),
        one_way_ms=one_way_ms,
    )


def _numbered(unique: NDArray[np.void]) -> _Numbered:
    if not len(unique):
        return _Numbered(np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    segment, number = unique["segment"], unique["extended"]
    step = np.diff(number)
    fresh = segment[1:] != segment[:-1]
    step[fresh] = 1
    place = np.append(0, np.cumsum(step))
    return _Numbered(place, np.append(step - 1, 0), int(place[-1]) + 1)


def _packet_ms(paced: Pace | None) -> float:
    """Give the most usual step between neighbouring packets by their timestamps."""
    if paced is None or len(paced.packets) < 2:
        return _USUAL_PACKET_MS
    packets = paced.packets
    ticks = np.diff(packets["timestamp"]).astype(np.int32)
    steps = ticks[(np.diff(packets["extended"]) == 1) & (ticks > 0)]
    return float(np.median(steps)) * 1000.0 / paced.clock if len(steps) else _USUAL_PACKET_MS


def _buffered(
    playout: Playout,
    numbered: _Numbered,
    paced: Pace,
    packet_ms: float,
    impairment: Impairment | None,
    delay_ms: float | None,
    assumed: bool,
) -> Buffered:
    burst = burst_gap(_with_late(numbered, paced.sequence[playout.late]), numbered.expected, packet_ms)
    loss = 100.0 * burst.bad / burst.expected if burst.expected else 0.0
    ratio = burst_ratio(burst.bad, burst.runs, burst.expected)
    lq = cq = None
    if impairment is not None:
        lq = score(impairment, loss, ratio)
        if delay_ms is not None:
            total_ms = mouth_to_ear_ms(impairment, delay_ms, playout.mean_ms, packet_ms)
            cq = score(impairment, loss, ratio, total_ms, assumed=assumed)
    return Buffered(playout, loss, burst, lq, cq)


def _with_late(numbered: _Numbered, late: NDArray[np.int64]) -> BadRuns:
    """Add packets, by their index in Stream.unique, to the holes."""
    holes = numbered.holes
    if not len(late):
        return holes
    start = np.concatenate((holes.start, numbered.place[late]))
    length = np.concatenate((holes.length, np.ones(len(late), np.int64)))
    order = np.argsort(start, kind="stable")
    return BadRuns(start[order], length[order])


def _seconds(
    unique: NDArray[np.void],
    numbered: _Numbered,
    jitter: Jitter,
    late_us: NDArray[np.int64],
    impairment: Impairment | None,
) -> Seconds:
    if not len(unique):
        none = np.zeros(0, np.int64)
        return Seconds(0, none, none, none, np.zeros(0), np.zeros(0))
    time_us = np.ascontiguousarray(unique["time_us"])
    t0_us = int(time_us.min())
    count = min((int(time_us.max()) - t0_us) // _SECOND_US + 1, MAX_SECONDS)

    def tally(at_us: NDArray[np.int64]) -> NDArray[np.int64]:
        second = (at_us - t0_us) // _SECOND_US
        return np.bincount(second[second < count], minlength=count)

    packets, late = tally(time_us), tally(late_us)
    # Numbers lost so far, as a line over time: between two packets it rises evenly.
    reached = np.maximum.accumulate(time_us) - t0_us
    so_far = np.append(0, np.cumsum(numbered.missing)[:-1])
    edges = np.interp(np.arange(1, count + 1) * float(_SECOND_US), reached, so_far)
    lost = np.diff(np.floor(edges + 1e-9).astype(np.int64), prepend=0)
    return Seconds(
        t0_us, packets, lost, late, _jitter_by(jitter, t0_us, count), _mos_by(packets, lost, late, impairment)
    )


def _jitter_by(jitter: Jitter, t0_us: int, count: int) -> NDArray[np.float64]:
    """Give the filter's state at the end of each second."""
    if not len(jitter.value_ms):
        return np.full(count, np.nan)
    last = np.searchsorted(jitter.time_us - t0_us, np.arange(1, count + 1) * _SECOND_US, "left") - 1
    return np.where(last < 0, np.nan, jitter.value_ms[np.maximum(last, 0)])


def _mos_by(
    packets: NDArray[np.int64], lost: NDArray[np.int64], late: NDArray[np.int64], impairment: Impairment | None
) -> NDArray[np.float64]:
    """Score each second for random loss; a second is too short for a burst ratio."""
    scored = np.full(len(packets), np.nan)
    expected = packets + lost
    if impairment is None:
        return scored
    heard = expected > 0
    percent = 100.0 * (lost + late)[heard] / expected[heard]
    values, which = np.unique(percent, return_inverse=True)
    scored[heard] = np.array([score(impairment, value).mos for value in values.tolist()])[which]
    return scored
