"""Which requests fetch some spans of an object: neighbours together, what is far apart on its own, if not too many."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from sipflow.storage.source import Span

# A request costs as much time as so many octets do: what is nearer is read along (bench/archived.py). Several requests
# are under way at once, so that more would be read than time is won.
JOINED_OCTETS: Final = 128 << 10
# A longer one is cut, so that its pieces come side by side, and each is soon there or soon missed.
PIECE_OCTETS: Final = 4 << 20
# A call of three minutes opens in ten requests: one for the manifest, one or two for the index, and as many as this for
# its messages and again for its media.
REQUESTS_MOST: Final = 4
# What is read for that between the blocks of a call, all together: a second of a fast line, a cent where octets are
# paid for. A call that would need more lies between hundreds of others, and costs requests instead.
EXTRA_OCTETS: Final = 64 << 20


def join(spans: Iterable[Span], end: int) -> list[Span]:
    """Put spans together that are near each other; none reaches beyond `end`, none is longer than PIECE_OCTETS."""
    return [piece for span in _near(spans, end, JOINED_OCTETS) for piece in _cut(span)]


def join_few(spans: Iterable[Span], end: int, room: int) -> list[Span]:
    """Put spans together as `join` does; where that leaves more than REQUESTS_MOST, so many with all between them.

    The widest gaps stay, the others are read along: EXTRA_OCTETS at most, and `room` with what is wanted. What would
    take more stays as `join` has it: some requests fewer are not worth that much.
    """
    apart = _near(spans, end, JOINED_OCTETS)
    if len(apart) > REQUESTS_MOST:
        gaps = sorted(after.offset - before.end for before, after in pairwise(apart))
        widest = gaps[-REQUESTS_MOST]
        extra = sum(gap for gap in gaps if gap <= widest)
        if extra <= EXTRA_OCTETS and extra + sum(span.length for span in apart) <= room:
            return _near(apart, end, widest)
    return [piece for span in apart for piece in _cut(span)]


def _near(spans: Iterable[Span], end: int, gap: int) -> list[Span]:
    """Put spans together that are no farther apart than `gap`."""
    joined: list[Span] = []
    for span in sorted(spans):
        start, stop = span.offset, min(span.end, end)
        if start >= stop:
            continue
        if joined and start - joined[-1].end <= gap:
            before = joined.pop()
            start, stop = before.offset, max(before.end, stop)
        joined.append(Span(start, stop - start))
    return joined


def _cut(span: Span) -> list[Span]:
    starts = range(span.offset, span.end, PIECE_OCTETS)
    return [Span(start, min(PIECE_OCTETS, span.end - start)) for start in starts]
