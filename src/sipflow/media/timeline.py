"""The time line of a call: every leg's audio in samples from one origin, and every gap with its reason."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US
from sipflow.media.codec import Payloads
from sipflow.media.placing import PLACED, SAMPLE_US, Cause, Placing, place
from sipflow.media.stream import Stream, Verdict, streams
from sipflow.wire.packet import Chunk, StreamKey

# Silence on every leg at once longer than MAX_SILENCE_US is shortened to KEPT_SILENCE_US and listed as "cut":
# one stray packet hours later must not make hours of file.
MAX_SILENCE_US: Final = 600 * SECOND_US
KEPT_SILENCE_US: Final = 1 * SECOND_US
# Audio that belongs before the first captured packet (it arrived reordered) moves the origin back by at most this.
MAX_LEAD_US: Final = 1 * SECOND_US
# A call has a handful of streams; more than this is forged, and each costs a fraction of a millisecond.
MAX_STREAMS: Final = 1000

REASONS: Final = {
    Cause.PAUSE: "pause",
    Cause.LOST: "lost",
    Cause.EVENT: "telephone-event",
    Cause.COMFORT_NOISE: "comfort-noise",
    Cause.UNDECODED: "not-decoded",
    Cause.RESTART: "restart",
}
STARTS_LATE: Final = "starts-late"
ENDS_EARLY: Final = "ends-early"
CUT: Final = "cut"


class Gap(msgspec.Struct, frozen=True):
    """A stretch without audio; `leg` None means every leg, `reason` one of REASONS, starts-late, ends-early, cut."""

    leg: int | None
    start_us: int
    duration_us: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One leg: its packets (PLACED) by start sample on the shortened time line, and the chunks they point into."""

    leg: int
    chunks: tuple[Chunk, ...]
    placed: NDArray[np.void]
    longest: int
    gap_start_us: NDArray[np.int64]
    gap_duration_us: NDArray[np.int64]
    gap_cause: NDArray[np.uint8]
    edges: tuple[Gap, ...]

    def window(self, start: int, stop: int) -> NDArray[np.void]:
        """Give the packets that sound anywhere in samples [start, stop), by start."""
        first = int(np.searchsorted(self.placed["start"], start - self.longest, "right"))
        return self.placed[first : int(np.searchsorted(self.placed["start"], stop, "left"))]


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """A call's legs on one time line of `samples` samples at 8 kHz, the first at `start_us`.

    `undecoded` counts the packets per encoding that are silence here; `misplaced` those whose time lies before the
    call, `left_out` those of streams beyond MAX_STREAMS; the other counts are sums over all streams.
    """

    start_us: int
    samples: int
    tracks: tuple[Track, ...]
    cuts: tuple[Gap, ...]
    undecoded: Counter[str]
    received: int
    lost: int
    duplicates: int
    strays: int
    misplaced: int
    unclocked: int
    other: int
    left_out: int

    @property
    def gap_count(self) -> int:
        """Count the gaps of all legs."""
        return len(self.cuts) + sum(len(track.gap_start_us) + len(track.edges) for track in self.tracks)

    def gaps(self, limit: int = 1000) -> list[Gap]:
        """List the gaps by start, at most `limit`: a lossy hour has tens of thousands, `gap_count` tells how many."""
        found = [*self.cuts]
        for track in self.tracks:
            found += track.edges
            found += _gaps_of(track, limit)
        return sorted(found, key=lambda gap: (gap.start_us, -1 if gap.leg is None else gap.leg))[:limit]

    def gap_summary(self) -> dict[str, tuple[int, int]]:
        """Sum the gaps per reason: how many, and how long in microseconds."""
        total: dict[str, tuple[int, int]] = {}
        for track in self.tracks:
            for cause in Cause:
                own = track.gap_duration_us[track.gap_cause == cause]
                _add(total, REASONS[cause], len(own), int(own.sum()))
        for gap in [*self.cuts, *(edge for track in self.tracks for edge in track.edges)]:
            _add(total, gap.reason, 1, gap.duration_us)
        return total


def lay_out(chunks: Sequence[Chunk], payloads: Payloads | None = None) -> Timeline:
    """Lay a call's chunks out in time. `payloads` says what SDP announced; without it RFC 3551 speaks.

    Time is the capturing side's, unless a chunk is marked clock_skew: then the collector's, for the whole call, so
    that the legs stay together. The origin is the first RTP packet of any kind.
    """
    kept, left_out = _largest(chunks)
    found = streams(kept, by_arrival=any(chunk.clock_skew for chunk in kept), merge_clients=True)
    heard = [stream for stream in found if stream.segments]
    t0_us = min((_first_us(stream) for stream in heard), default=0)
    placings = [place(stream, payloads, t0_us) for stream in heard]
    shift, misplaced = _shift_origin(placings)
    start_us = t0_us - shift * SAMPLE_US
    legs = sorted({stream.key.leg for stream in heard})
    parts = [[pair for pair in zip(heard, placings, strict=True) if pair[0].key.leg == leg] for leg in legs]
    rows = [_merge(part) for part in parts]
    end = max((int((row["start"] + row["length"]).max()) for row in rows if len(row)), default=0)
    holes = [_holes(leg, row, part, start_us, end) for leg, row, part in zip(legs, rows, parts, strict=True)]
    cuts, removed = _cut(rows, start_us)
    tracks = tuple(
        Track(leg, _chunks(part), row, int(row["length"].max()) if len(row) else 0, *hole)
        for leg, part, row, hole in zip(legs, parts, rows, holes, strict=True)
    )
    return Timeline(
        start_us,
        end - removed,
        tracks,
        cuts,
        sum((placing.undecoded for placing in placings), Counter()),
        received=sum(stream.received for stream in heard),
        lost=sum(stream.expected - stream.received for stream in heard),
        duplicates=sum(stream.count(Verdict.DUPLICATE) for stream in heard),
        strays=sum(stream.count(Verdict.STRAY) for stream in heard),
        misplaced=misplaced,
        unclocked=sum(placing.unclocked for placing in placings),
        other=sum(stream.other for stream in found),
        left_out=left_out,
    )


def runs(values: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Give the bounds [start, stop) of each run of equal values."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    yield from ((start, stop) for start, stop in itertools.pairwise(edges) if stop > start)


def _largest(chunks: Sequence[Chunk]) -> tuple[list[Chunk], int]:
    """Keep the MAX_STREAMS streams with most packets; gives the packets of the others."""
    sizes: Counter[StreamKey] = Counter()
    for chunk in chunks:
        sizes[chunk.key] += len(chunk.rows)
    kept = {key for key, _ in sizes.most_common(MAX_STREAMS)}
    return [chunk for chunk in chunks if chunk.key in kept], sum(sizes[key] for key in sizes.keys() - kept)


def _first_us(stream: Stream) -> int:
    return int(stream.packets["time_us"][stream.packets["verdict"] <= Verdict.LATE][0])


def _shift_origin(placings: list[Placing]) -> tuple[int, int]:
    """Move every start so that none is negative; what lies further back than MAX_LEAD_US cannot belong to the call."""
    limit = -MAX_LEAD_US // SAMPLE_US
    misplaced = 0
    earliest = 0
    for placing in placings:
        start = placing.placed["start"]
        misplaced += int(np.count_nonzero(start < limit))
        earliest = min(earliest, int(start[start >= limit].min(initial=0)))
    for placing in placings:
        placing.placed["start"] -= earliest
    return -earliest, misplaced


def _merge(part: list[tuple[Stream, Placing]]) -> NDArray[np.void]:
    """Join the streams of one leg into rows by start, their chunk indices counted over all of them."""
    pieces = []
    first_chunk = 0
    for stream, placing in part:
        piece = placing.placed[placing.placed["start"] >= 0]
        piece["chunk"] += first_chunk
        first_chunk += len(stream.chunks)
        pieces.append(piece)
    rows = np.concatenate(pieces) if pieces else np.zeros(0, PLACED)
    if np.any(rows["start"][1:] < rows["start"][:-1]):
        rows = rows[np.argsort(rows["start"], kind="stable")]
    return rows


def _chunks(part: list[tuple[Stream, Placing]]) -> tuple[Chunk, ...]:
    return tuple(chunk for stream, _ in part for chunk in stream.chunks)


def _holes(
    leg: int, rows: NDArray[np.void], part: list[tuple[Stream, Placing]], start_us: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], tuple[Gap, ...]]:
    """Find where a leg has no audio: between its packets, and at the call's start and end."""
    stop = np.maximum.accumulate(rows["start"] + rows["length"])
    hole = np.flatnonzero(rows["start"][1:] > stop[:-1])
    begin = stop[:-1][hole]
    edges = []
    if len(rows) and rows["start"][0] > 0:
        cause = Cause(int(rows["cause"][0]))
        reason = STARTS_LATE if cause == Cause.PAUSE else REASONS[cause]
        edges.append(Gap(leg, start_us, int(rows["start"][0]) * SAMPLE_US, reason))
    heard_to = int(stop[-1]) if len(rows) else 0
    if heard_to < end:
        last = max(part, key=lambda pair: pair[1].silent_us or 0)[1]
        from_us = start_us + heard_to * SAMPLE_US
        silent_after = last.silent_us is not None and last.silent_us >= from_us - SECOND_US // 10
        reason = REASONS[last.silent_cause] if silent_after else ENDS_EARLY
        edges.append(Gap(leg, from_us, (end - heard_to) * SAMPLE_US, reason))
    return (
        start_us + begin * SAMPLE_US,
        (rows["start"][1:][hole] - begin) * SAMPLE_US,
        rows["cause"][1:][hole],
        tuple(edges),
    )


def _cut(rows: list[NDArray[np.void]], start_us: int) -> tuple[tuple[Gap, ...], int]:
    """Shorten what is silent on every leg for too long; moves the rows, gives the cuts and the samples removed."""
    start = np.concatenate([row["start"] for row in rows]) if rows else np.zeros(0, np.int64)
    stop = start + (np.concatenate([row["length"] for row in rows]) if rows else 0)
    order = np.argsort(start, kind="stable")
    heard_to = np.maximum.accumulate(np.append(0, stop[order]))[:-1]
    hole = start[order] - heard_to
    at = np.flatnonzero(hole > MAX_SILENCE_US // SAMPLE_US)
    kept = KEPT_SILENCE_US // SAMPLE_US
    removed = np.append(0, np.cumsum(hole[at] - kept))
    resumes = start[order][at]
    cuts = tuple(
        Gap(None, start_us + (begin + kept) * SAMPLE_US, (length - kept) * SAMPLE_US, CUT)
        for begin, length in zip(heard_to[at].tolist(), hole[at].tolist(), strict=True)
    )
    if cuts:
        for row in rows:
            row["start"] -= removed[np.searchsorted(resumes, row["start"], "right")]
    return cuts, int(removed[-1])


def _gaps_of(track: Track, limit: int) -> list[Gap]:
    return [
        Gap(track.leg, start, duration, REASONS[Cause(cause)])
        for start, duration, cause in zip(
            track.gap_start_us[:limit].tolist(),
            track.gap_duration_us[:limit].tolist(),
            track.gap_cause[:limit].tolist(),
            strict=True,
        )
    ]


def _add(total: dict[str, tuple[int, int]], reason: str, count: int, duration_us: int) -> None:
    if count:
        before = total.get(reason, (0, 0))
        total[reason] = (before[0] + count, before[1] + duration_us)
