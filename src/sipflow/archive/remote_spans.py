"""Which requests fetch some spans of an object: neighbours together, what is far apart on its own."""

from collections.abc import Iterable
from typing import Final

from sipflow.storage.source import Span

# A request costs as much time as so many octets do: what is nearer is read along (bench/archived.py). Several requests
# are under way at once, so that more would be read than time is won.
JOINED_OCTETS: Final = 128 << 10
# A longer one is cut, so that its pieces come side by side, and each is soon there or soon missed.
PIECE_OCTETS: Final = 4 << 20


def join(spans: Iterable[Span], end: int) -> list[Span]:
    """Put spans together that are near each other; none reaches beyond `end`, none is longer than PIECE_OCTETS."""
    joined: list[Span] = []
    for span in sorted(spans):
        start, stop = span.offset, min(span.end, end)
        if start >= stop:
            continue
        if joined and start - joined[-1].end <= JOINED_OCTETS:
            before = joined.pop()
            start, stop = before.offset, max(before.end, stop)
        joined.append(Span(start, stop - start))
    return [piece for span in joined for piece in _cut(span)]


def _cut(span: Span) -> list[Span]:
    starts = range(span.offset, span.end, PIECE_OCTETS)
    return [Span(start, min(PIECE_OCTETS, span.end - start)) for start in starts]
