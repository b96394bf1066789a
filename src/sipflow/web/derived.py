"""What was worked out of a call's flow and media, kept for as long as a history gives the same ones again."""

from collections.abc import Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

from sipflow.query.answer import Flow, MediaParts
from sipflow.query.remembered import Remembered

T = TypeVar("T")
# Some tens of octets for each packet: a few calls of an hour, or many of a minute.
_PACKETS: Final = 800_000
_PACKETS_AT_LEAST: Final = 2000


class _Found(NamedTuple, Generic[T]):
    """A value and what it was made of, which must live as long: another object could be given its id otherwise."""

    media: MediaParts
    flow: Flow
    value: T


class Derived(Generic[T]):
    """Keeps values by what they are and the very answers they were made of. Safe to use from several threads.

    A history gives the same objects again only when nothing of the call has changed (`History.flow`), so that nothing
    here is ever stale; one that gives new ones each time makes every value anew.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._kept: Remembered[tuple[Hashable, int, int], _Found[T]] = Remembered(_PACKETS)

    def of(self, what: Hashable, media: MediaParts, flow: Flow, make: Callable[[], T]) -> T:
        """Give the value that is kept as `what` of these answers, made if there is none. Raises what `make` raises."""
        key = what, id(media), id(flow)
        found = self._kept.find(key)
        if found is None:
            found = _Found(media, flow, make())
            packets = sum(chunk.packets for chunk in media.chunks) + len(flow.messages)
            self._kept.keep(key, found, max(packets, _PACKETS_AT_LEAST))
        return found.value
