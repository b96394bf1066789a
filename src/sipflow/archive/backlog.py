"""What waits to be archived: the queue is the catalog itself, and nothing here touches a disk or a network."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sipflow.storage.part import Part


class Backlog(NamedTuple):
    """Parts that are not archived yet, the oldest first: those that may go now, and those that may still be packed."""

    due: list[Part]
    waiting: list[Part]

    @property
    def parts(self) -> int:
        """Count them."""
        return len(self.due) + len(self.waiting)

    @property
    def octets(self) -> int:
        """Add up what they occupy here."""
        return sum(part.octets or 0 for part in (*self.due, *self.waiting))

    @property
    def oldest_us(self) -> int | None:
        """Tell when the oldest of them began; None when there is none."""
        return min((part.start_us for part in (*self.due, *self.waiting)), default=None)


def backlog(parts: Iterable[Part], now_us: int, pack_wait_us: int, sealed_us: Callable[[Part], int | None]) -> Backlog:
    """Sort out what is to be archived; `sealed_us` tells when a part was sealed, None for one whose files are gone.

    A part goes when it is packed, or was sealed so long ago that nobody will. One whose media is being erased waits
    until that is done.
    """
    due: list[Part] = []
    waiting: list[Part] = []
    for part in sorted(parts, key=lambda part: (part.start_us, part.id)):
        if not part.sealed or part.archived_us is not None or part.evicted_us is not None:
            continue
        when_us = sealed_us(part)
        if when_us is None:
            continue
        half_erased = part.erased_us is not None and bool(part.rtp_octets)
        packable = part.packed_us is None and now_us - when_us < pack_wait_us
        (waiting if half_erased or packable else due).append(part)
    return Backlog(due, waiting)
