"""Telephone events in RTP (RFC 4733): digits and other signals, once each, whatever of them was captured."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US
from sipflow.media.codec import Payloads
from sipflow.media.digit import FLASH, Digit, Source, name_of
from sipflow.media.event_report import reports_of
from sipflow.media.stream import Stream

# More than anybody presses in one stream: each is an object, and forged packets could ask for millions.
DIGITS_MAX: Final = 10_000
_SEGMENT: Final = 0xFFFF  # units after which an event goes on with a new timestamp (RFC 4733, section 2.5.1.3)
_SEGMENT_LEAST: Final = 0x8000  # some senders begin the next one at a rounder number; none this early
# Events whose timestamps keep to capture time this well are in order of timestamp, others as they were captured.
_JUMP_S: Final = 5.0

# From when on [us] what was announced holds, in order of time; the first holds before as well.
Spans = Sequence[tuple[int, Payloads | None]]


class _Event(NamedTuple):
    """What the packets of one timestamp say together, or of several that follow each other; `units` long."""

    code: int
    began_us: int
    timestamp: int
    units: int
    before: int  # units of the segments before the one that began at `timestamp`
    clock: int
    volume: int
    end: bool
    assumed: bool


def events(stream: Stream, payloads: Payloads | None = None) -> list[Digit]:
    """List the telephone events of a stream by time, see events_within()."""
    return events_within(stream, ((0, payloads),))


def events_within(stream: Stream, spans: Spans) -> list[Digit]:
    """List the telephone events of a stream by time, each once by timestamp and event code (RFC 4733, section 2.5.1).

    Every packet counts, also duplicates and such as came too late; events inside RFC 2198 payloads too. Where no end
    arrived, the last update gives the length; where the beginning is missing, the first update tells when it was.
    Segments of an event of more than 0xFFFF units are joined. Without any telephone-event in `spans`, payload types
    that behave like it are taken for it, and marked as assumed. At most DIGITS_MAX are listed.
    """
    if not spans:
        return []
    # The packets of a stream are in order of time.
    edges = np.searchsorted(stream.packets["time_us"], [from_us for from_us, _ in spans[1:]])
    parts = np.split(stream.packets, edges)
    found = [reports_of(stream, part, payloads) for part, (_, payloads) in zip(parts, spans, strict=True)]
    return [_digit(stream, event) for event in _joined(_grouped(np.concatenate(found)))]


def _grouped(reports: NDArray[np.void]) -> Iterator[_Event]:
    """Give one event per timestamp and code, in order."""
    if not len(reports):
        return
    reports = reports[np.lexsort((reports["time_us"], reports["event"], reports["timestamp"]))]
    fresh = np.ones(len(reports), bool)
    fresh[1:] = reports["timestamp"][1:] != reports["timestamp"][:-1]
    fresh[1:] |= reports["event"][1:] != reports["event"][:-1]
    starts = np.flatnonzero(fresh)
    first = reports[starts]
    units = np.maximum.reduceat(reports["duration"], starts)
    ended = np.logical_or.reduceat(reports["end"], starts)
    # An update that is longer than the first one can be was sent that much after the beginning.
    missed = np.maximum(first["duration"] - _pace(reports, fresh), 0)
    began_us = first["time_us"] - missed * SECOND_US // first["clock"]
    for index in _in_order(first, began_us)[:DIGITS_MAX].tolist():
        row = first[index]
        yield _Event(
            code=int(row["event"]),
            began_us=int(began_us[index]),
            timestamp=int(row["timestamp"]),
            units=int(units[index]),
            before=0,
            clock=int(row["clock"]),
            volume=int(row["volume"]),
            end=bool(ended[index]),
            assumed=bool(row["assumed"]),
        )


def _pace(reports: NDArray[np.void], fresh: NDArray[np.bool_]) -> int:
    """Tell how much a report usually adds to the one before [units], 0 when no two can be compared."""
    steps = np.diff(reports["duration"])
    steps = steps[~fresh[1:] & (steps > 0)]
    return int(np.median(steps)) if len(steps) else 0


def _in_order(first: NDArray[np.void], began_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order events by time, and by timestamp wherever one clock made them: the network may have swapped them."""
    order = np.argsort(began_us, kind="stable")
    clock = first["clock"][order]
    ticks = np.diff(first["timestamp"][order]).astype(np.int32).astype(np.int64)
    parting = np.abs(np.diff(began_us[order]) / SECOND_US - ticks / clock[1:])
    epoch = np.append(0, np.cumsum((parting > _JUMP_S) | (clock[1:] != clock[:-1])))
    return order[np.lexsort((np.append(0, np.cumsum(ticks)), epoch))]


def _joined(found: Iterator[_Event]) -> Iterator[_Event]:
    """Join the segments of long events."""
    last: _Event | None = None
    for event in found:
        if last is not None and _goes_on(last, event):
            before = last.before + (event.timestamp - last.timestamp & 0xFFFFFFFF)
            last = event._replace(began_us=last.began_us, units=before + event.units, before=before)
            continue
        if last is not None:
            yield last
        last = event
    if last is not None:
        yield last


def _goes_on(last: _Event, event: _Event) -> bool:
    if last.end or event.code != last.code or event.clock != last.clock:
        return False
    step = event.timestamp - last.timestamp & 0xFFFFFFFF
    return step == _SEGMENT or step == last.units - last.before >= _SEGMENT_LEAST


def _digit(stream: Stream, event: _Event) -> Digit:
    symbol = name_of(event.code)
    return Digit(
        symbol=symbol,
        time_us=event.began_us,
        duration_ms=event.units * 1000 / event.clock,
        source=Source.RFC4733,
        leg=stream.key.leg,
        src=stream.key.src,
        ssrc=stream.key.ssrc,
        volume_dbm0=None if symbol == FLASH else -event.volume,
        complete=event.end,
        assumed=event.assumed,
    )
