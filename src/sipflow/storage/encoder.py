"""Full chunks of the pool into portions of buckets."""

from collections.abc import Iterable
from typing import NamedTuple

from sipflow._fast import Encoder as ChunkEncoder
from sipflow._fast import Pool, Portion
from sipflow.storage.layout import ENDLESS, Period, Subdirs, period_length


class Encoded(NamedTuple):
    """What came of some chunks: portions by period, and the chunks to release once all are committed.

    What of the chunks contradicted itself is counted, in chunks and in packets, and is in no portion; nor are packets
    of a replay that were committed before the crash (`known_packets`).
    """

    portions: list[tuple[Period, Portion]]
    chunks: list[int]
    damaged_chunks: int
    damaged_packets: int
    known_packets: int

    @property
    def held(self) -> int:
        """Tell the memory taken until all is committed [octets]."""
        return sum(portion.held for _, portion in self.portions)


class Encoder:
    """Turns chunks into portions; one thread at a time, each thread its own.

    `known` names the chunks that are already committed, each with the period it is committed in: a replay after a
    crash skips what was committed but not yet released.
    """

    def __init__(self, pool: Pool, subdirs: Subdirs, known: Iterable[tuple[Period, int]] = ()) -> None:
        """Make an encoder over `pool`."""
        self._length_us = period_length(subdirs)
        self._encoder = ChunkEncoder(pool, self._length_us, [(period.start_us, chunk) for period, chunk in known])

    def encode(self, chunks: list[int]) -> Encoded:
        """Encode chunks as `Pool.take` hands them out."""
        portions, *lost = self._encoder.encode(chunks)
        placed = [(self._period(portion.period_us), portion) for portion in portions]
        return Encoded(placed, chunks, *lost)

    def _period(self, start_us: int) -> Period:
        return Period((start_us, start_us + self._length_us)) if self._length_us else ENDLESS
