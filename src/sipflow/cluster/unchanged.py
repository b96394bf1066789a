"""Answers that are the same objects as before while nothing of the call has changed: whoever sees one again knows it.

A history does so for its own (`History.flow`). What another node answers comes anew each time, and is the answer of
before when it says the same; of media that is which chunks there are, as what is stored never changes.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from sipflow.query.answer import Flow, MediaParts
from sipflow.query.remembered import Remembered

T = TypeVar("T")
A = TypeVar("A", Flow, MediaParts)
# As many packets and messages as a history remembers.
_ITEMS: Final = 800_000
_ITEMS_AT_LEAST: Final = 100


class _Seen(NamedTuple, Generic[T, A]):
    """An answer, and what it says or was made of, which must live as long: an id could be given anew otherwise."""

    said: T
    answer: A


class Unchanged(Generic[T, A]):
    """Remembers the latest answers without a fault. Safe to use from several threads."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._seen: Remembered[Hashable, _Seen[T, A]] = Remembered(_ITEMS)

    def of(self, what: Hashable, said: T, make: Callable[[], A], same: Callable[[T, T], bool]) -> A:
        """Give the answer that is made of what was said, that of before when the `same` was said of `what`."""
        known = self._seen.find(what)
        if known is not None and same(known.said, said):
            return known.answer
        answer = make()
        if not answer.faults:
            self._seen.keep(what, _Seen(said, answer), max(_ITEMS_AT_LEAST, _items(answer)))
        return answer


def are_the_very_same(some: Sequence[object], others: Sequence[object]) -> bool:
    """Tell whether two lists have the same objects."""
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _items(answer: Flow | MediaParts) -> int:
    return len(answer.messages) if isinstance(answer, Flow) else sum(chunk.packets for chunk in answer.chunks)
