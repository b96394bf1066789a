"""The time line of a call: every leg's audio in samples from one origin, and every gap with its reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US
from sipflow.media.always import Announced
from sipflow.media.carried import G711_RATE, Cause, contents
from sipflow.media.decoding import Decoding
from sipflow.media.holes import Cuts, Gap, Islands, cuts, islands, us_of
from sipflow.media.placed import PLACED
from sipflow.media.placing import Heard, Placing, place
from sipflow.media.spool import rows, taken
from sipflow.media.stream import Stream, Verdict, streams
from sipflow.media.track import STRIDE, Source, Track
from sipflow.wire.packet import Chunk, StreamKey

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
    Cause.ENCRYPTED: "encrypted",
    Cause.HOLD: "hold",
}
STARTS_LATE: Final = "starts-late"
ENDS_EARLY: Final = "ends-early"


class StreamDrift(NamedTuple):
    """How fast the clock of a stream runs [ppm], None when its packets do not tell; samples put in or out for it."""

    key: StreamKey
    ppm: float | None
    corrected: int


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """A call's legs on one time line of `samples` samples at `rate` [Hz], the first at `start_us`.

    `played` counts packets with audio, `undecoded` per encoding those without; `reasons` say why decoders failed.
    `misplaced` counts those whose time lies before the call, `left_out` those of streams beyond MAX_STREAMS; the other
    counts are sums over all streams.
    """

    rate: int
    start_us: int
    samples: int
    tracks: tuple[Track, ...]
    shortened: Cuts
    drifts: tuple[StreamDrift, ...]
    played: int
    undecoded: Counter[str]
    reasons: tuple[str, ...]
    received: int
    lost: int
    duplicates: int
    strays: int
    misplaced: int
    unclocked: int
    other: int
    left_out: int

    @property
    def cuts(self) -> tuple[Gap, ...]:
        """List where silence on all legs was shortened."""
        return self.shortened.gaps(self.start_us, self.rate)

    def sample_at(self, time_us: int) -> int:
        """Tell which sample sounds at a time; may lie outside the line."""
        return self.shortened.after((time_us - self.start_us) * self.rate // SECOND_US)

    def time_at(self, sample: int) -> int:
        """Tell when a sample sounds [us]."""
        return self.start_us + us_of(self.shortened.before(sample), self.rate)

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


def lay_out(chunks: Sequence[Chunk], announced: Announced, decoding: Decoding) -> Timeline:
    """Lay a call's chunks out in time, at the highest rate of its codecs. RFC 3551 speaks where SDP did not.

    Time is the capturing side's, unless a chunk is marked clock_skew: then the collector's, for the whole call, so
    that the legs stay together. The origin is the first RTP packet of any kind. Reads every chunk, and decodes what
    needs its order. Raises StorageError when a chunk cannot be read any more, OSError when there is no room for what
    was decoded.
    """
    kept, left_out = _largest(chunks)
    found = streams(kept, by_arrival=any(chunk.clock_skew for chunk in kept), merge_clients=True)
    heard = [_heard(stream, announced, decoding) for stream in found if stream.segments]
    rate = max((one.contents.rate for one in heard), default=0) or G711_RATE
    t0_us = min((_first_us(one.stream) for one in heard), default=0)
    placings = [place(one, rate, t0_us, decoding) for one in heard]
    shift, misplaced = _shift_origin(placings, rate)
    start_us = t0_us - us_of(shift, rate)
    held = {leg: _held(leg, heard, announced) for leg in {one.stream.key.leg for one in heard}}
    legs = sorted(held)
    parts = [[pair for pair in zip(heard, placings, strict=True) if pair[0].stream.key.leg == leg] for leg in legs]
    merged = [_merge(part) for part in parts]
    sound = [islands(each) for each in merged]
    end = max((int(one.end[-1]) for one in sound if len(one.end)), default=0)
    shortened = cuts(sound, rate)
    tracks = []
    for leg, part, each, heard_at in zip(legs, parts, merged, sound, strict=True):
        holes = _holes(_Line(leg, start_us, end, rate), heard_at, part, held[leg])
        overlaps = _overlaps(each)
        shortened.move(each)
        longest = int(each["length"].max()) if len(each) else 0
        tracks.append(Track(leg, _sources(part), each, longest, overlaps, each["start"][::STRIDE].copy(), *holes))
    return Timeline(
        rate,
        start_us,
        end - shortened.removed,
        tuple(tracks),
        shortened,
        tuple(
            StreamDrift(one.stream.key, placing.drift_ppm, placing.corrected)
            for one, placing in zip(heard, placings, strict=True)
        ),
        played=sum(placing.played for placing in placings) - misplaced,
        reasons=tuple(dict.fromkeys(decoding.reasons)),
        undecoded=sum((placing.silent for placing in placings), Counter()),
        received=sum(one.stream.received for one in heard),
        lost=sum(one.stream.expected - one.stream.received for one in heard),
        duplicates=sum(one.stream.count(Verdict.DUPLICATE) for one in heard),
        strays=sum(one.stream.count(Verdict.STRAY) for one in heard),
        misplaced=misplaced,
        unclocked=sum(placing.unclocked for placing in placings),
        other=sum(stream.other for stream in found),
        left_out=left_out,
    )


def _heard(stream: Stream, announced: Announced, decoding: Decoding) -> Heard:
    packets = stream.unique
    return Heard(stream, packets, contents(packets, announced.spans(stream.key), decoding))


def _largest(chunks: Sequence[Chunk]) -> tuple[list[Chunk], int]:
    """Keep the MAX_STREAMS streams with most packets; gives the packets of the others."""
    sizes: Counter[StreamKey] = Counter()
    for chunk in chunks:
        sizes[chunk.key] += chunk.packets
    kept = {key for key, _ in sizes.most_common(MAX_STREAMS)}
    return [chunk for chunk in chunks if chunk.key in kept], sum(sizes[key] for key in sizes.keys() - kept)


def _first_us(stream: Stream) -> int:
    return int(stream.packets["time_us"][np.argmax(stream.packets["verdict"] <= Verdict.LATE)])


def _held(leg: int, heard: Sequence[Heard], announced: Announced) -> list[tuple[int, int]]:
    """List when a leg had said that it would not send [us, from and until]."""
    spells = []
    for one in heard:
        if one.stream.key.leg == leg:
            said = announced.spans(one.stream.key)
            ends = [span.from_us for span in said[1:]] + [1 << 62]
            spells += [(span.from_us, end) for span, end in zip(said, ends, strict=True) if span.held]
    return spells


def _shift_origin(placings: list[Placing], rate: int) -> tuple[int, int]:
    """Move every start so that none is negative; what lies further back than MAX_LEAD_US cannot belong to the call."""
    limit = -MAX_LEAD_US * rate // SECOND_US
    misplaced = 0
    earliest = 0
    for placing in placings:
        start = placing.placed["start"]
        misplaced += int(np.count_nonzero(start < limit))
        earliest = min(earliest, int(start[start >= limit].min(initial=0)))
    if earliest:
        for placing in placings:
            placing.placed["start"] -= earliest
    return -earliest, misplaced


def _merge(part: list[tuple[Heard, Placing]]) -> NDArray[np.void]:
    """Join the streams of one leg into rows by start, their chunk indices counted over all of them."""
    pieces = []
    first_source = 0
    for heard, placing in part:
        piece = placing.placed
        if (piece["start"] < 0).any():
            piece = taken(piece, piece["start"] >= 0)
        piece["chunk"] += first_source
        first_source += len(heard.stream.chunks) + 1
        pieces.append(piece)
    joined = pieces[0]
    if len(pieces) > 1:
        joined = rows(sum(map(len, pieces)), PLACED)
        np.concatenate(pieces, out=joined)
    if np.any(joined["start"][1:] < joined["start"][:-1]):
        joined = taken(joined, np.argsort(joined["start"], kind="stable"))
    return joined


def _overlaps(placed: NDArray[np.void]) -> bool:
    stop = placed["start"] + placed["length"]
    np.maximum.accumulate(stop, out=stop)
    return bool((placed["start"][1:] < stop[:-1]).any())


class _Nothing(NamedTuple):
    """Stands where a stream has no spool."""

    data: bytes = b""


def _sources(part: list[tuple[Heard, Placing]]) -> tuple[Source, ...]:
    return tuple(source for heard, placing in part for source in (*heard.stream.chunks, placing.spool or _Nothing()))


class _Line(NamedTuple):
    """One leg on the time line: `end` is the sample after the last of the call."""

    leg: int
    start_us: int
    end: int
    rate: int

    def at(self, sample: int) -> int:
        return self.start_us + us_of(sample, self.rate)


def _holes(
    line: _Line, sound: Islands, part: list[tuple[Heard, Placing]], held: list[tuple[int, int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], tuple[Gap, ...]]:
    """Find where a leg has no audio: between its packets, and at the call's start and end."""
    edges = []
    if len(sound.begin) and sound.begin[0] > 0:
        cause = Cause(int(sound.cause[0]))
        reason = STARTS_LATE if cause == Cause.PAUSE else REASONS[cause]
        edges.append(Gap(line.leg, line.start_us, us_of(int(sound.begin[0]), line.rate), reason))
    heard_to = int(sound.end[-1]) if len(sound.end) else 0
    if heard_to < line.end:
        last = max(part, key=lambda pair: pair[1].silent_us or 0)[1]
        from_us = line.at(heard_to)
        silent_after = last.silent_us is not None and last.silent_us >= from_us - SECOND_US // 10
        reason = REASONS[last.silent_cause] if silent_after else ENDS_EARLY
        edges.append(Gap(line.leg, from_us, us_of(line.end - heard_to, line.rate), reason))
    begin, until = sound.end[:-1], sound.begin[1:]
    cause_of = sound.cause[1:].copy()
    start_us = line.start_us + begin * SECOND_US // line.rate
    duration_us = (until - begin) * SECOND_US // line.rate
    unsent = (cause_of == Cause.PAUSE) | (cause_of == Cause.RESTART)
    for from_us, until_us in held:
        cause_of[unsent & (start_us < until_us) & (start_us + duration_us > from_us)] = Cause.HOLD
    return start_us, duration_us, cause_of, tuple(edges)


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
