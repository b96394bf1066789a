"""A call as the causes of silence look at it: what was announced beside what was heard."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sipflow.clock import SECOND_US
from sipflow.media.announcement import Announcements
from sipflow.media.codec import Codec, codec_of, is_known
from sipflow.media.span import Span
from sipflow.media.statistics import StreamStatistics
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import StreamKey

# Says why a codec cannot be decoded here; None when it can.
Undecodable = Callable[[Codec], str | None]
# The new numbering of a re-INVITE may be in use before its answer is seen.
EARLY_US: Final = SECOND_US
# Fewer packets than these are no talk: they opened a path through a NAT, or were the first of one that broke.
_FEW: Final = 10
_FEW_OF: Final = 10 * _FEW
# A call has a handful of streams; of more, which are forged, the largest are judged.
STREAMS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Heard:
    """One stream with RTP: what was measured of it, the spans it lived through, its level [dBFS] if known."""

    key: StreamKey
    measured: StreamStatistics
    spans: tuple[Span, ...]
    level_dbfs: float | None

    @property
    def span(self) -> Span:
        """Give the span at its end."""
        return self.spans[-1]

    @property
    def way(self) -> str:
        """Write where it comes from and goes to."""
        return f"{self.key.src} to {self.key.dst}"

    @property
    def codec(self) -> Codec:
        """Name the codec of most audio packets."""
        return self.codec_of(self.measured.payload_type or 0)

    def codec_of(self, payload_type: int) -> Codec:
        """Name the codec of a payload type in the first of the spans whose receiver announced it, else in the last."""
        for span in self.spans:
            if payload_type in span.announced:
                return codec_of(payload_type, span.payloads)
        return codec_of(payload_type, self.span.payloads)

    def knows(self, payload_type: int) -> bool:
        """Tell whether anything says what a payload type is."""
        return any(is_known(payload_type, span.payloads) for span in self.spans)

    def answers(self, other: "Heard") -> bool:
        """Tell whether this stream is the other direction of `other`."""
        mine, its = self.key, other.key
        if _named(mine.src) and _named(its.src) and (mine.src == its.dst or mine.dst == its.src):
            return True
        if mine.leg != its.leg:
            return mine.leg == its.leg ^ 1
        return mine.src.ip == its.dst.ip != mine.dst.ip == its.src.ip


@dataclass(frozen=True)
class Case:
    """All that is known of a call's media: `heard` are its RTP streams, `other_packets` what came and was no RTP."""

    announcements: Announcements
    heard: tuple[Heard, ...]
    other_packets: int
    undecodable: Undecodable | None

    @cached_property
    def audio(self) -> tuple[Heard, ...]:
        """Give the streams of audio media."""
        return tuple(each for each in self.heard if each.span.kind == "audio")

    def opposite(self, heard: Heard) -> tuple[Heard, ...]:
        """Give the streams of the other direction, without those that have next to nothing beside this one."""
        many = heard.measured.packet_count >= _FEW_OF
        return tuple(
            each
            for each in self.audio
            if each is not heard and each.answers(heard) and not (many and each.measured.packet_count < _FEW)
        )

    @cached_property
    def both_ways(self) -> bool:
        """Tell whether audio was heard, and every stream of it has another direction."""
        return bool(self.audio) and all(self.opposite(heard) or self.spare(heard) for heard in self.audio)

    def spare(self, heard: Heard) -> bool:
        """Tell a few packets beside a stream that goes the same way."""
        few = heard.measured.packet_count < _FEW
        return few and any(
            each is not heard and heard.answers(other) for each in self.audio for other in self.opposite(each)
        )


def make_case(
    announcements: Announcements,
    streams: Sequence[StreamStatistics],
    energies: Mapping[StreamKey, float] | None,
    call_id: str,
    undecodable: Undecodable | None,
) -> Case:
    """Put what was announced beside what was measured."""
    heard: list[Heard] = []
    rtp = [measured for measured in streams if measured.payload_type is not None]
    rtp = sorted(rtp, key=lambda measured: -measured.packet_count)[:STREAMS_MAX]
    for measured in sorted(rtp, key=lambda measured: measured.first_us):
        key = StreamKey(call_id, measured.leg, measured.src, measured.dst, measured.ssrc, measured.client_id)
        spans = announcements.spans(key)
        level = energies.get(key) if energies is not None else None
        heard.append(Heard(key, measured, _lived_through(spans, measured), level))
    other = sum(each.packet_count for each in streams if each.payload_type is None)
    return Case(announcements, tuple(heard), other, undecodable)


def _lived_through(spans: tuple[Span, ...], measured: StreamStatistics) -> tuple[Span, ...]:
    ends = [span.from_us for span in spans[1:]] + [measured.last_us + 1]
    found = tuple(
        span
        for span, end_us in zip(spans, ends, strict=True)
        if end_us > measured.first_us and span.from_us <= measured.last_us + EARLY_US
    )
    return found or spans[-1:]


def _named(endpoint: Endpoint) -> bool:
    return endpoint.port != 0


def listed(heard: Sequence[Heard]) -> tuple[StreamKey, ...]:
    """Give the keys of streams, as evidence has them."""
    return tuple(each.key for each in heard)
