"""Keys pressed in a call as its recording has them: a tone for each event, or silence where digits are hidden."""

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from sipflow.media.digit import Digit, Source
from sipflow.media.digits import Announced, digits
from sipflow.media.dtmf import events_within
from sipflow.media.hidden import Silence, silenced
from sipflow.media.recording import Overlay
from sipflow.media.stream import Stream, streams
from sipflow.media.tone import samples
from sipflow.wire.packet import Chunk, Message, StreamKey


def tones(chunks: Sequence[Chunk], announced: Announced) -> list[Overlay]:
    """Give the sound of every RFC 4733 event, at its time and volume, on its leg. Raises StorageError."""
    found: list[Digit] = []
    for stream in _one_by_one(chunks):
        found += events_within(stream, [(span.from_us, span.payloads) for span in announced.spans(stream.key)])
    return [Overlay(digit.leg or 0, digit.time_us, partial(samples, digit)) for digit in _each_once(found)]


def silences(chunks: Sequence[Chunk], messages: Sequence[Message], announced: Announced) -> list[Silence]:
    """Tell where a recording must be silent so that no digit is heard. Raises StorageError."""
    return silenced(digits(list(_one_by_one(chunks)), messages, announced, thorough=True))


def _one_by_one(chunks: Sequence[Chunk]) -> Iterator[Stream]:
    """Give one stream after the other: a long call's do not fit into memory together."""
    members: dict[StreamKey, list[Chunk]] = {}
    for chunk in chunks:
        members.setdefault(msgspec.structs.replace(chunk.key, client_id=0), []).append(chunk)
    for some in members.values():
        yield from streams(some, merge_clients=True)


def _each_once(found: Sequence[Digit]) -> list[Digit]:
    # The same event under another SSRC or path would sound twice as loud.
    seen: set[tuple[int | None, str, int]] = set()
    kept = []
    for digit in sorted(found, key=lambda one: one.time_us):
        place = (digit.leg, digit.symbol, digit.time_us // 50_000)
        if digit.source == Source.RFC4733 and place not in seen:
            kept.append(digit)
        seen.add(place)
    return kept
