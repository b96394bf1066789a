"""Calls of many places in the order of their beginning, newest first."""

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Began(NamedTuple):
    """When a call began, as one place knows it, and which; calls are listed by both."""

    first_us: int
    call_id: str


class Place(NamedTuple):
    """A place that lists calls: nothing in it began after `latest_us` (None: unknown).

    `page` gives the next of its calls before one it gave, or its newest for None, newest first; empty ends it.
    """

    latest_us: int | None
    page: Callable[[Began | None], Sequence[Began]]


class _Next:
    """The next call of a place; orders by beginning, newest first."""

    __slots__ = ("at", "began", "page", "place")

    def __init__(self, page: Sequence[Began], at: int, place: Place | None) -> None:
        self.page, self.at, self.place = page, at, place
        self.began = page[at]

    def __lt__(self, other: "_Next") -> bool:
        return self.began > other.began


class Descent:
    """Merges places; each is asked only when what it may hold is next, and for no more than is needed."""

    def __init__(self, places: Sequence[Place]) -> None:
        """Begin at the newest call of all."""
        self._waiting = sorted(places, key=lambda place: (place.latest_us is None, place.latest_us or 0))
        self._heap: list[_Next] = []

    def next(self) -> Began | None:
        """Give the next call, once for every place that lists it; None when there is no more."""
        while self._waiting and self._is_due(self._waiting[-1]):
            self._turn(self._waiting.pop(), None)
        if not self._heap:
            return None
        top = heapq.heappop(self._heap)
        if top.at + 1 < len(top.page):
            heapq.heappush(self._heap, _Next(top.page, top.at + 1, top.place))
        elif top.place is not None:
            self._turn(top.place, top.began)
        return top.began

    def put_back(self, began: Began) -> None:
        """Give a call once more, when its turn comes: it began earlier than the place knew that listed it."""
        heapq.heappush(self._heap, _Next([began], 0, None))

    def _is_due(self, place: Place) -> bool:
        return not self._heap or place.latest_us is None or place.latest_us >= self._heap[0].began.first_us

    def _turn(self, place: Place, after: Began | None) -> None:
        page = place.page(after)
        if page:
            heapq.heappush(self._heap, _Next(page, 0, place))
