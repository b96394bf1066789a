"""All digits of a call, by whatever way they were sent, each listed once."""

import bisect
from collections.abc import Mapping, Sequence
from typing import Protocol

from sipflow.media.codec import Codec, Payloads
from sipflow.media.digit import Digit, Source
from sipflow.media.dtmf import events_within
from sipflow.media.inband import heard
from sipflow.media.info_digits import info_digits
from sipflow.media.stream import Stream
from sipflow.media.tone import DEFAULT_MS
from sipflow.wire.packet import Message, StreamKey


class Span(Protocol):
    """What was announced, from a time on."""

    @property
    def from_us(self) -> int:
        """Tell since when it holds."""

    @property
    def payloads(self) -> Payloads:
        """Tell what the payload types mean."""


class Announced(Protocol):
    """What SDP said of each stream of a call over time; sipflow.media.announcement.Announcements is one."""

    def spans(self, key: StreamKey, /) -> Sequence[Span]:
        """List what holds for a stream, in order of time."""


def digits(
    streams: Sequence[Stream],
    messages: Sequence[Message],
    announced: Announced | Payloads | None = None,
    *,
    thorough: bool = False,
) -> list[Digit]:
    """List the digits of a call by time: telephone events, SIP INFO, and keys heard in G.711 audio.

    Audio is listened to on legs without telephone events, with `thorough` on all. What comes several ways is listed
    once: of digits of the same symbol on the same leg that overlap in time, the event is kept, else the INFO request.
    A message without a leg may belong to any.
    """
    spans = [_spans(stream, announced) for stream in streams]
    signalled = [events_within(stream, span) for stream, span in zip(streams, spans, strict=True)]
    eventful = {digit.leg for found in signalled for digit in found}
    spoken = [
        heard(stream, _together(span))
        for stream, span in zip(streams, spans, strict=True)
        if thorough or stream.key.leg not in eventful
    ]
    return _once([*signalled, info_digits(messages), *spoken])


def _spans(stream: Stream, announced: Announced | Payloads | None) -> list[tuple[int, Payloads | None]]:
    if announced is None or isinstance(announced, Mapping):
        return [(0, announced)]
    return [(span.from_us, span.payloads) for span in announced.spans(stream.key)] or [(0, None)]


def _together(spans: list[tuple[int, Payloads | None]]) -> dict[int, Codec]:
    whole: dict[int, Codec] = {}
    for _, payloads in spans:
        for number, codec in (payloads or {}).items():
            whole.setdefault(number, Codec(*codec))
    return whole


class _Times:
    """Stretches of time that digits of one symbol on one leg take, joined where they overlap."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.stops: list[int] = []

    def overlap(self, start: int, stop: int) -> bool:
        at = bisect.bisect_left(self.starts, stop)
        return at > 0 and self.stops[at - 1] > start

    def add(self, taken: list[tuple[int, int]]) -> None:
        merged: list[tuple[int, int]] = []
        for start, stop in sorted([*zip(self.starts, self.stops, strict=True), *taken]):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
            else:
                merged.append((start, stop))
        self.starts, self.stops = [start for start, _ in merged], [stop for _, stop in merged]


def _once(groups: list[list[Digit]]) -> list[Digit]:
    """Leave out of each group what an earlier one has; within a group everything stands."""
    taken: dict[str, dict[int | None, _Times]] = {}
    kept: list[Digit] = []
    for group in groups:
        fresh = [digit for digit in group if not _is_taken(taken.get(digit.symbol, {}), digit)]
        places: dict[tuple[str, int | None], list[tuple[int, int]]] = {}
        for digit in fresh:
            places.setdefault((digit.symbol, digit.leg), []).append(_stretch(digit))
        for (symbol, leg), stretches in places.items():
            taken.setdefault(symbol, {}).setdefault(leg, _Times()).add(stretches)
        kept += fresh
    return sorted(kept, key=lambda digit: digit.time_us)


def _is_taken(by_leg: dict[int | None, _Times], digit: Digit) -> bool:
    legs = by_leg if digit.leg is None else {digit.leg, None} & by_leg.keys()
    return any(by_leg[leg].overlap(*_stretch(digit)) for leg in legs)


def _stretch(digit: Digit) -> tuple[int, int]:
    milliseconds = digit.duration_ms
    if milliseconds is None and digit.source == Source.INFO:
        milliseconds = DEFAULT_MS
    return digit.time_us, digit.time_us + max(round((milliseconds or 0.0) * 1000), 1)
