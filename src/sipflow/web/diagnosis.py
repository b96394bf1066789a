"""The answer of /diag: messages, streams, and what happened to the packets over time, under RustPBX's names."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US, format_time
from sipflow.media.codec import Payloads, codec_of
from sipflow.media.statistics import StreamStatistics, measure
from sipflow.media.stream import Stream, streams
from sipflow.query.announced import announced
from sipflow.query.answer import Fault, Flow, MediaParts
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.sip import parse_head

BUCKET_S: Final = 10
BAR_MAX: Final = 40
GAP_US: Final = SECOND_US
JUMP_S: Final = 1.0
# Lists are cut here: what is sent must not grow with what a hostile stream provokes.
LIST_MAX: Final = 1000


class NotFound(msgspec.Struct, frozen=True):
    """There is truly nothing of this call."""

    callid: str
    found: bool = False
    message: str = "No data found for this Call-ID"
    status: str = "success"


class SipItem(msgspec.Struct, frozen=True):
    """One message; `message` is "METHOD URI" or "code reason", `time` RFC 3339 in UTC."""

    timestamp: int
    time: str
    src_addr: str
    dst_addr: str
    message: str
    msg_type: str = "Sip"


class RtpStream(msgspec.Struct, frozen=True):
    """One stream; `codec` is the payload type, as RustPBX has it, `codec_name` what that stands for."""

    leg: int
    src: str
    codec: int | None
    codec_name: str | None
    clock_rate: int | None
    packet_count: int
    lost_packets: int
    loss_percent: float
    jitter_ms: float | None
    ssrc: int | None


class SsrcSpan(msgspec.Struct, frozen=True):
    """When one SSRC was heard [s from the call's first packet]."""

    ssrc: int | None
    packet_count: int
    time_start_secs: float
    time_end_secs: float


class TimeBucket(msgspec.Struct, frozen=True):
    """Packets in ten seconds; only buckets that hold any are listed."""

    bucket_start: float
    packet_count: int
    bar: str


class SilentGap(msgspec.Struct, frozen=True):
    """More than a second without a packet of this leg."""

    time_secs: float
    gap_ms: float


class TimestampJump(msgspec.Struct, frozen=True):
    """Where RTP timestamp and capture time part by a second or more."""

    time_secs: float
    ssrc: int | None
    delta: int
    capture_delta_us: int


class LegDetail(msgspec.Struct, frozen=True):
    """What one leg did over time."""

    leg: int
    label: str
    src: str
    total_packets: int
    time_start_secs: float
    time_end_secs: float
    duration_secs: float
    ssrcs: list[SsrcSpan]
    payload_type_counts: dict[int, int]
    time_buckets: list[TimeBucket]
    gaps_over_1s: list[SilentGap]
    ts_jumps: list[TimestampJump]


class CrossBucket(msgspec.Struct, frozen=True):
    """Packets of the two lowest legs in the same ten seconds."""

    time_start: float
    time_end: float
    leg0_packets: int
    leg1_packets: int


class CrossLeg(msgspec.Struct, frozen=True):
    """The two lowest legs side by side."""

    bucket_interval_secs: float
    buckets: list[CrossBucket]


class RtpDetail(msgspec.Struct, frozen=True):
    """All legs together."""

    total_packets: int
    total_lost: int
    loss_percent: float
    legs: list[LegDetail]
    cross_leg: CrossLeg | None
    payload_map: dict[int, tuple[str, int]]
    leg_pt_map: dict[int, dict[int, tuple[str, int]]]
    max_jitter_ms: float | None


class Diagnosis(msgspec.Struct, frozen=True):
    """The answer of /diag."""

    callid: str
    sip_count: int
    rtp_streams_count: int
    duration_secs: float
    sip_flow: list[SipItem]
    rtp_streams: list[RtpStream]
    rtp_detail: RtpDetail
    partial: bool
    faults: list[Fault]
    found: bool = True
    status: str = "success"


def diagnose(flow: Flow, parts: MediaParts, sdp: Payloads | None = None) -> Diagnosis:
    """Say what happened in a call; `sdp` is what was announced, by default in the messages of `flow`."""
    payloads = announced(flow.messages) if sdp is None else sdp
    found = streams(parts.chunks)
    measured = [measure(stream, payloads) for stream in found]
    times = [message.time_us for message in flow.messages]
    times += [time for each in measured for time in (each.first_us, each.last_us)]
    origin_us = min(times)
    faults = [*flow.faults, *(fault for fault in parts.faults if fault not in flow.faults)]
    return Diagnosis(
        callid=flow.call_id,
        sip_count=len(flow.messages),
        rtp_streams_count=len(found),
        duration_secs=(max(times) - origin_us) / SECOND_US,
        sip_flow=[
            SipItem(
                message.time_us,
                format_time(message.time_us),
                without_brackets(message.src),
                without_brackets(message.dst),
                _line(message.payload),
            )
            for message in flow.messages
        ],
        rtp_streams=[_stream(each) for each in measured],
        rtp_detail=_detail(found, measured, payloads, origin_us),
        partial=bool(faults),
        faults=faults,
    )


def without_brackets(endpoint: Endpoint) -> str:
    """Write ip:port as RustPBX does, IPv6 without brackets."""
    return f"{endpoint.ip}:{endpoint.port}"


def _line(payload: bytes) -> str:
    head = parse_head(payload)
    return f"{head.method} {head.uri}" if head.is_request else head.label if head.status else "not SIP"


def _stream(each: StreamStatistics) -> RtpStream:
    return RtpStream(
        each.leg,
        without_brackets(each.src),
        each.payload_type,
        each.codec,
        each.clock_rate,
        each.packet_count,
        each.lost,
        each.loss_percent,
        each.jitter_ms,
        each.ssrc,
    )


def _detail(found: list[Stream], measured: list[StreamStatistics], payloads: Payloads, origin_us: int) -> RtpDetail:
    legs = sorted({stream.key.leg for stream in found})
    by_leg = {leg: [stream for stream in found if stream.key.leg == leg] for leg in legs}
    types = {leg: _types(by_leg[leg]) for leg in legs}
    lost, expected = sum(each.lost for each in measured), sum(each.expected for each in measured)
    named = {number: _pair(number, payloads) for counts in types.values() for number in counts}
    jitters = [each.jitter_max_ms for each in measured if each.jitter_max_ms is not None]
    return RtpDetail(
        total_packets=sum(each.packet_count for each in measured),
        total_lost=lost,
        loss_percent=100.0 * lost / expected if expected else 0.0,
        legs=[_leg(leg, by_leg[leg], types[leg], payloads, origin_us) for leg in legs],
        cross_leg=_cross(by_leg[legs[0]], by_leg[legs[1]], origin_us) if len(legs) > 1 else None,
        payload_map=named,
        leg_pt_map={leg: {number: named[number] for number in types[leg]} for leg in legs},
        max_jitter_ms=max(jitters, default=None),
    )


def _leg(leg: int, members: list[Stream], types: dict[int, int], payloads: Payloads, origin_us: int) -> LegDetail:
    times = _times(members)
    first, last = (float(times[0] - origin_us), float(times[-1] - origin_us)) if len(times) else (0.0, 0.0)
    pauses = np.diff(times)
    wide = np.flatnonzero(pauses > GAP_US)[:LIST_MAX]
    buckets, counts = _buckets(times, origin_us)
    busiest = int(counts.max()) if len(counts) else 1
    return LegDetail(
        leg=leg,
        label={0: "Caller (Leg A)", 1: "Callee (Leg B)"}.get(leg, f"Leg {leg}"),
        src=", ".join(dict.fromkeys(without_brackets(stream.key.src) for stream in members)),
        total_packets=sum(len(stream.packets) + stream.other for stream in members),
        time_start_secs=first / SECOND_US,
        time_end_secs=last / SECOND_US,
        duration_secs=(last - first) / SECOND_US,
        ssrcs=[_span(stream, origin_us) for stream in members if len(stream.packets)],
        payload_type_counts=types,
        time_buckets=[
            TimeBucket(float(bucket * BUCKET_S), int(count), "#" * max(1, BAR_MAX * int(count) // busiest))
            for bucket, count in zip(buckets[:LIST_MAX].tolist(), counts[:LIST_MAX].tolist(), strict=True)
        ],
        gaps_over_1s=[
            SilentGap(float(times[index] - origin_us) / SECOND_US, float(pauses[index]) / 1000.0) for index in wide
        ],
        ts_jumps=[jump for stream in members for jump in _jumps(stream, payloads, origin_us)][:LIST_MAX],
    )


def _pair(number: int, payloads: Payloads) -> tuple[str, int]:
    codec = codec_of(number, payloads)
    return codec.name, codec.clock


def _types(members: list[Stream]) -> dict[int, int]:
    seen = np.concatenate([stream.packets["payload_type"] for stream in members])
    numbers, counts = np.unique(seen, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _times(members: list[Stream]) -> NDArray[np.int64]:
    return np.sort(np.concatenate([stream.packets["time_us"] for stream in members]))


def _buckets(times: NDArray[np.int64], origin_us: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count packets in buckets counted from the start of the call, empty ones left out."""
    return np.unique((times - origin_us) // (BUCKET_S * SECOND_US), return_counts=True)


def _span(stream: Stream, origin_us: int) -> SsrcSpan:
    times = stream.packets["time_us"]
    return SsrcSpan(
        stream.key.ssrc,
        len(times),
        float(times[0] - origin_us) / SECOND_US,
        float(times[-1] - origin_us) / SECOND_US,
    )


def _jumps(stream: Stream, payloads: Payloads, origin_us: int) -> list[TimestampJump]:
    packets = stream.unique
    if len(packets) < 2:
        return []
    packets = packets[np.argsort(packets["time_us"], kind="stable")]
    clocks = np.array([codec_of(number, payloads).clock for number in range(128)], np.float64)
    ticks = np.diff(packets["timestamp"]).astype(np.int32).astype(np.int64)
    waited = np.diff(packets["time_us"])
    # A pause with running timestamps is no jump: only what the clock and the wait do not explain is.
    strange = np.abs(ticks / clocks[packets["payload_type"][1:] & 127] - waited / SECOND_US) >= JUMP_S
    return [
        TimestampJump(
            float(packets["time_us"][index + 1] - origin_us) / SECOND_US,
            stream.key.ssrc,
            int(ticks[index]),
            int(waited[index]),
        )
        for index in np.flatnonzero(strange)[:LIST_MAX]
    ]


def _cross(first: list[Stream], second: list[Stream], origin_us: int) -> CrossLeg:
    one = dict(zip(*(part.tolist() for part in _buckets(_times(first), origin_us)), strict=True))
    two = dict(zip(*(part.tolist() for part in _buckets(_times(second), origin_us)), strict=True))
    return CrossLeg(
        float(BUCKET_S),
        [
            CrossBucket(
                float(bucket * BUCKET_S), float((bucket + 1) * BUCKET_S), one.get(bucket, 0), two.get(bucket, 0)
            )
            for bucket in sorted({*one, *two})[:LIST_MAX]
        ],
    )
