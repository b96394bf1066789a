"""The index of a bucket held against its data: a row points to just what it says, and everything has its row."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from sipflow.storage.block import KIND_MESSAGES, Block
from sipflow.storage.contents import BlockListed, Contents, MediaListed, SipListed
from sipflow.wire.sip import parse_head

T = TypeVar("T", BlockListed, SipListed, MediaListed)

_NAMED_CALLS = 20


class Lost(NamedTuple):
    """What the index knows of a span of data that cannot be read; times in microseconds."""

    rows: int
    since_us: int | None
    until_us: int | None
    calls: list[str]
    call_count: int


class Mismatch(NamedTuple):
    """A block (or a place where none stands) and how the index differs from it."""

    offset: int
    what: str


class _Rows(Generic[T]):
    """Rows in the order of their blocks, taken from the front."""

    def __init__(self, rows: Iterable[T]) -> None:
        self._rows: Iterator[T] = iter(rows)
        self._next: T | None = next(self._rows, None)

    def before(self, offset: int) -> Iterator[T]:
        """Take the rows of all blocks in front of `offset`."""
        while self._next is not None and _place(self._next) < offset:
            taken, self._next = self._next, next(self._rows, None)
            yield taken


def _place(row: BlockListed | SipListed | MediaListed) -> int:
    return row.offset if isinstance(row, BlockListed) else row.block


class Comparison:
    """Walks an index along with its data, whose blocks and damaged spans are given in the order they stand.

    All methods raise StorageError when the index cannot be read on.
    """

    def __init__(self, contents: Contents) -> None:
        """Begin in front of the first block."""
        listed = contents.blocks()
        self._blocks = None if listed is None else _Rows(listed)
        self._sip = _Rows(contents.sip())
        self._media = _Rows(contents.media())

    def block(self, block: Block, sip: list[SipListed], media: list[MediaListed]) -> list[Mismatch]:
        """Compare a sound block, and what was found in it, with its rows."""
        found = self._astray(block.offset)
        behind = block.offset + 1
        if self._blocks is not None:
            header = block.header
            wanted = BlockListed(
                block.offset, header.length, header.kind, header.records, header.t0_us, header.t1_us, header.chunk
            )
            found += _compare(block.offset, "block", [wanted], self._blocks.before(behind))
        found += _compare(block.offset, "message", sip, self._sip.before(behind))
        found += _compare(block.offset, "chunk of media", media, self._media.before(behind))
        return found

    def damage(self, offset: int, end: int) -> tuple[Lost, list[Mismatch]]:
        """Tell what the index knows of a span that cannot be read, and what is wrong in front of it."""
        found = self._astray(offset)
        times: list[int] = []
        calls: dict[str, None] = {}
        rows = 0
        if self._blocks is not None:
            for block in self._blocks.before(end):
                times += [block.t0_us, block.t1_us]
                rows += 1
        for sip in self._sip.before(end):
            times.append(sip.t0_us)
            calls[sip.call_id or ""] = None
            rows += 1
        for media in self._media.before(end):
            times += [media.t0_us, media.t1_us]
            calls[media.call_id or ""] = None
            rows += 1
        calls.pop("", None)
        named = list(calls)[:_NAMED_CALLS]
        return Lost(rows, min(times, default=None), max(times, default=None), named, len(calls)), found

    def _astray(self, offset: int) -> list[Mismatch]:
        """Take the rows in front of `offset` that no block was asked with."""
        places: Counter[int] = Counter()
        if self._blocks is not None:
            places.update(row.offset for row in self._blocks.before(offset))
        places.update(row.block for row in self._sip.before(offset))
        places.update(row.block for row in self._media.before(offset))
        return [
            Mismatch(place, f"{count} rows of the index point there, where no block stands")
            for place, count in sorted(places.items())
        ]


def _compare(offset: int, noun: str, wanted: list[T], rows: Iterable[T]) -> list[Mismatch]:
    listed = Counter(rows)
    missing, extra = Counter(wanted) - listed, listed - Counter(wanted)
    if missing:
        what = f"{missing.total()} of its {len(wanted)} {noun} rows are not in the index, or differ there"
    elif extra:
        what = f"the index has {extra.total()} {noun} rows of it that it does not hold"
    else:
        return []
    return [Mismatch(offset, what)]


def sip_in(block: Block) -> list[SipListed]:
    """List the messages of a block as the index must. Raises DamagedBlock."""
    if block.header.kind != KIND_MESSAGES:
        return []
    listed = []
    for position, message in block.messages():
        head = parse_head(message.payload)
        method = head.method if head.is_request else head.cseq_method
        listed.append(
            SipListed(
                block.offset, position, message.call_id, message.time_us, str(message.src), str(message.dst), method,
                head.status, head.cseq,
            )
        )  # fmt: skip
    return listed


def media_in(block: Block) -> list[MediaListed]:
    """List the chunk of media of a block as the index must. Raises DamagedBlock."""
    if block.header.kind == KIND_MESSAGES:
        return []
    chunk = block.chunk()
    key = chunk.key
    return [
        MediaListed(
            block.offset, key.call_id, block.header.t0_us, block.header.t1_us, key.leg, str(key.src), str(key.dst),
            key.ssrc, len(chunk.rows),
        )
    ]  # fmt: skip
