"""What happened when in a call, as JSON: messages, keys that were pressed, holds, streams and their codecs."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from sipflow.media.announcement import Announcements, Span
from sipflow.media.codec import codec_of, is_signal
from sipflow.media.stream import Stream, streams
from sipflow.query.answer import CallSummary, Fault, Flow, MediaParts, together
from sipflow.query.ladder import draw
from sipflow.query.source import CallSource
from sipflow.web.derived import Derived
from sipflow.web.sound import Sound

# A stream that changes its payload type at every packet is forged, or broken: the first changes tell.
CHANGES_MAX: Final = 500


class MessageMark(msgspec.Struct, frozen=True):
    """One message; `number` counts from 1."""

    number: int
    time_us: int
    label: str
    kind: str


class DigitMark(msgspec.Struct, frozen=True):
    """One key; `duration_ms` None when nobody said."""

    symbol: str
    time_us: int
    duration_ms: float | None
    source: str
    leg: int | None


class HoldMark(msgspec.Struct, frozen=True):
    """One hold, and which side held."""

    from_us: int
    to_us: int
    by: str
    by_caller: bool


class CodecMark(msgspec.Struct, frozen=True):
    """The codec of a stream from a time on."""

    from_us: int
    codec: str


class StreamMark(msgspec.Struct, frozen=True):
    """One RTP stream."""

    leg: int
    src: str
    dst: str
    ssrc: int | None
    first_us: int
    last_us: int
    codecs: list[CodecMark]


class TimelineAnswer(msgspec.Struct, frozen=True):
    """Everything of a call that has a time; times in microseconds since the epoch."""

    call_id: str
    start_us: int
    end_us: int
    answered_us: int | None
    messages: list[MessageMark]
    digits: list[DigitMark]
    holds: list[HoldMark]
    streams: list[StreamMark]
    partial: bool
    faults: list[Fault]


def timeline(history: CallSource, sound: Sound, call_id: str, kept: Derived[TimelineAnswer]) -> TimelineAnswer:
    """Put a call on its time line, or find it in `kept`. Raises CallUnknown."""
    call = history.call(call_id)
    flow = history.flow(call_id)
    media = history.media(call_id)
    return kept.of(call, media, flow, lambda: _timeline(call, flow, media, sound))


def _timeline(call: CallSummary, flow: Flow, media: MediaParts, sound: Sound) -> TimelineAnswer:
    call_id = call.call_id
    announcements = Announcements.of(flow.messages)
    put_together = streams(media.chunks, merge_clients=True)
    pressed, _ = sound.digits(call_id)
    marks = [_stream(stream, announcements) for stream in put_together if len(stream.packets)]
    ladder = draw(flow.messages)
    faults = together(flow.faults, media.faults)
    return TimelineAnswer(
        call_id,
        min([call.first_us, *(mark.first_us for mark in marks)]),
        max([call.last_us, *(mark.last_us for mark in marks)]),
        announcements.negotiation.answered_us,
        [MessageMark(n, arrow.time_us, arrow.label, arrow.kind) for n, arrow in enumerate(ladder.arrows, 1)],
        [DigitMark(digit.symbol, digit.time_us, digit.duration_ms, digit.source.value, digit.leg) for digit in pressed],
        [HoldMark(hold.from_us, hold.to_us, str(hold.by), hold.by_caller) for hold in announcements.holds()],
        marks,
        bool(faults),
        faults,
    )


def _span(spans: Sequence[Span], payload_type: int) -> Span:
    return next((span for span in spans if payload_type in span.announced), spans[-1])


def _stream(stream: Stream, announcements: Announcements) -> StreamMark:
    packets = stream.packets
    time_us, types = packets["time_us"], packets["payload_type"]
    spans = announcements.spans(stream.key)
    known = {number: codec_of(number, _span(spans, number).payloads) for number in np.unique(types).tolist()}
    speech = np.isin(types, [number for number, codec in known.items() if not is_signal(codec)])
    spoken, when_us = types[speech], time_us[speech]
    first = [0] if len(spoken) else []
    changes = [*first, *(np.flatnonzero(np.diff(spoken)) + 1).tolist()][:CHANGES_MAX]
    return StreamMark(
        stream.key.leg,
        str(stream.key.src),
        str(stream.key.dst),
        stream.key.ssrc,
        int(time_us.min()),
        int(time_us.max()),
        [CodecMark(int(when_us[at]), known[int(spoken[at])].name) for at in changes],
    )
