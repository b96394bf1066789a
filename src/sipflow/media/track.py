"""One leg of a call on its time line: the packets that sound, found by the time they sound."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sipflow.media.holes import Gap

# Every so many packets of a track the start is at hand, so that a search does not go through a file.
STRIDE: Final = 256


class Source(Protocol):
    """Whatever rows of a track point into."""

    @property
    def data(self) -> bytes | memoryview:
        """Give codes of G.711 or decoded samples."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One leg: its packets (PLACED) by start sample on the shortened time line, and the sources they point into.

    `signposts` are the starts of every 256th packet, `longest` the samples of the longest; `overlaps` tells that some
    packets sound at the same time as others.
    """

    leg: int
    sources: tuple[Source, ...]
    placed: NDArray[np.void]
    longest: int
    overlaps: bool
    signposts: NDArray[np.int64]
    gap_start_us: NDArray[np.int64]
    gap_duration_us: NDArray[np.int64]
    gap_cause: NDArray[np.uint8]
    edges: tuple[Gap, ...]

    def window(self, start: int, stop: int) -> NDArray[np.void]:
        """Give the packets that sound anywhere in samples [start, stop), by start."""
        return self.placed[self._search(start - self.longest, "right") : self._search(stop, "left")]

    def _search(self, sample: int, side: Literal["left", "right"]) -> int:
        post = int(np.searchsorted(self.signposts, sample, side))
        near = max(post - 1, 0) * STRIDE
        return near + int(np.searchsorted(self.placed["start"][near : post * STRIDE], sample, side))

    def runs(self, start: int, stop: int) -> Iterator[tuple[NDArray[np.void], Source]]:
        """Give the packets of a window source by source."""
        found = self.window(start, stop)
        edges = [0, *(np.flatnonzero(np.diff(found["chunk"])) + 1).tolist(), len(found)]
        for first, last in pairwise(edges):
            if last > first:
                yield found[first:last], self.sources[int(found["chunk"][first])]
