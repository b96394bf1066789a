"""The figures of a stream as JSON has them, for every face."""

import msgspec

from sipflow.media.completeness import Completeness
from sipflow.media.statistics import StreamStatistics


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


def figures_of(measured: StreamStatistics) -> StreamFigures:
    """Write measured values for JSON."""
    fields = {**msgspec.structs.asdict(measured), "src": str(measured.src), "dst": str(measured.dst)}
    return msgspec.convert(fields, StreamFigures)


class StreamReport(msgspec.Struct, frozen=True):
    """The streams of a call, in order of their first packet, and how complete its recording is.

    `completeness` is None where nothing can be played; `note` says how complete, or why nothing, in one line.
    """

    call_id: str
    streams: list[StreamFigures]
    completeness: Completeness | None
    note: str
