"""A call as a diagnosis takes it: its messages, what was measured of its streams, what was found of its media."""

from collections.abc import Sequence

import msgspec

from sipflow.media.assessment import measure_media
from sipflow.media.finding import Finding
from sipflow.media.statistics import StreamStatistics
from sipflow.wire.packet import Chunk, Message


class Call(msgspec.Struct, frozen=True):
    """One call: `messages` in order of time, `media` the verdict on its sound."""

    call_id: str
    messages: tuple[Message, ...]
    streams: tuple[StreamStatistics, ...] = ()
    media: tuple[Finding, ...] = ()


def call_of(call_id: str, messages: Sequence[Message], chunks: Sequence[Chunk] = ()) -> Call:
    """Put a call together from what is stored of it: measures its streams and judges its media.

    Raises StorageError when a chunk cannot be read any more.
    """
    ordered = tuple(sorted(messages, key=lambda message: (message.time_us, message.arrival_us)))
    measured = measure_media(chunks, ordered)
    return Call(call_id, ordered, tuple(one.statistics for one in measured.quality), measured.verdict.findings)
