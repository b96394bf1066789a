"""Loss, order and jitter per stream (RFC 3550, appendices A.1, A.3 and A.8)."""

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.media.codec import Payloads, codec_of
from sipflow.media.pace import is_media, jitter_of, pace
from sipflow.media.stream import Stream, Verdict, streams
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Chunk


class StreamStatistics(msgspec.Struct, frozen=True):
    """What one stream's packets tell.

    packet_count = expected - lost + duplicates + strays, plus what is not RTP where `ssrc` is None. `lost` is what
    no packet was seen of, so it is never negative; `late` and `reordered` packets are not lost. `loss_percent` is of
    `expected`. `resets` counts restarts of the numbering, `segments` the numberings. Jitter is None with fewer than two
    packets to compare; `jitter_ms` is the filter's last state. `payload_type`, `codec` and `clock_rate` are those of
    most audio packets. All None or 0 where nothing was RTP.
    """

    leg: int
    src: Endpoint
    dst: Endpoint
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


def statistics(chunks: Iterable[Chunk], payloads: Payloads | None = None) -> list[StreamStatistics]:
    """Measure every stream of a call, in order of their first packet; `payloads` is what SDP announced."""
    return [measure(stream, payloads) for stream in streams(chunks)]


def measure(
    stream: Stream, payloads: Payloads | None = None, jitter_ms: NDArray[np.float64] | None = None
) -> StreamStatistics:
    """Measure one stream; `jitter_ms` is the series of jitter_of, for one who has it already."""
    packets = stream.packets
    types = type_counts(stream)
    dominant = dominant_type(types, payloads)
    codec = None if dominant is None else codec_of(dominant, payloads)
    if jitter_ms is None:
        jitter_ms = np.zeros(0) if dominant is None else jitter_of(pace(stream.unique, dominant, payloads)).value_ms
    series = jitter_ms
    lost = stream.expected - stream.received
    first_us, last_us = _span(stream)
    return StreamStatistics(
        leg=stream.key.leg,
        src=stream.key.src,
        dst=stream.key.dst,
        ssrc=stream.key.ssrc,
        client_id=stream.key.client_id,
        packet_count=len(packets) + stream.other,
        expected=stream.expected,
        lost=lost,
        loss_percent=100.0 * lost / stream.expected if stream.expected else 0.0,
        duplicates=stream.count(Verdict.DUPLICATE),
        reordered=stream.count(Verdict.REORDERED),
        late=stream.count(Verdict.LATE),
        strays=stream.count(Verdict.STRAY),
        resets=max(stream.segments - 1, 0),
        segments=stream.segments,
        jitter_ms=float(series[-1]) if len(series) else None,
        jitter_mean_ms=float(series.mean()) if len(series) else None,
        jitter_max_ms=float(series.max()) if len(series) else None,
        payload_type=dominant,
        codec=codec.name if codec else None,
        clock_rate=codec.clock if codec else None,
        payload_types=types,
        payload_octets=int(packets["length"].sum(dtype=np.int64)),
        first_us=first_us,
        last_us=last_us,
    )


def type_counts(stream: Stream) -> dict[int, int]:
    """Count the packets of each payload type."""
    seen = np.bincount(stream.packets["payload_type"], minlength=1)
    return {number: int(seen[number]) for number in np.flatnonzero(seen).tolist()}


def dominant_type(types: dict[int, int], payloads: Payloads | None) -> int | None:
    """Choose the payload type of most audio packets; events and comfort noise only when there is nothing else."""
    audio = {number: count for number, count in types.items() if is_media(number, payloads)}
    candidates = audio or types
    return max(candidates, key=lambda number: candidates[number]) if candidates else None


def _span(stream: Stream) -> tuple[int, int]:
    # Datagrams that are not RTP count as well, so the span is taken from the chunks.
    first = min(int(chunk.rows["time_us"].min()) for chunk in stream.chunks)
    return first, max(int(chunk.rows["time_us"].max()) for chunk in stream.chunks)
