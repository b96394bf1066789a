"""What waits to be archived: the queue is the catalog itself, and nothing here touches a disk or a network."""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from sipflow.clock import SECOND_US
from sipflow.storage.part import Part

# Of hourly buckets one is sealed while the one before it travels: who waits for two more is late.
_LATE_PERIODS: Final = 2
_SEEN_EVERY_US: Final = 60 * SECOND_US


class Backlog(NamedTuple):
    """Parts that are not archived yet, the oldest first: those that may go now, and those that may still be packed."""

    due: list[Part]
    waiting: list[Part]
    # When the first of them was sealed, or packed after that; None when there is none.
    since_us: int | None = None
    # The longest period [us] of those that wait for two of their periods after they might have gone; 0: of none.
    late_period_us: int = 0

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


def backlog(
    parts: Iterable[Part],
    now_us: int,
    pack_wait_us: int,
    sealed_us: Callable[[Part], int | None],
    given_up: Collection[str] = (),
) -> Backlog:
    """Sort out what is to be archived; `sealed_us` tells when a part was sealed, None for one whose files are gone.

    A part goes when it is packed, or was sealed so long ago that nobody will. One whose media is being erased waits
    until that is done. Those whose paths are `given_up` wait no longer.
    """
    due: list[Part] = []
    waiting: list[Part] = []
    since: list[int] = []
    late_period_us = 0
    for part in sorted(parts, key=lambda part: (part.start_us, part.id)):
        if not part.sealed or part.archived_us is not None or part.evicted_us is not None:
            continue
        if part.path in given_up:
            continue
        when_us = sealed_us(part)
        if when_us is None:
            continue
        since.append(when_us)
        if now_us - when_us > pack_wait_us + _LATE_PERIODS * part.period_us:
            late_period_us = max(late_period_us, part.period_us)
        half_erased = part.erased_us is not None and bool(part.rtp_octets)
        packable = part.packed_us is None and now_us - when_us < pack_wait_us
        (waiting if half_erased or packable else due).append(part)
    return Backlog(due, waiting, min(since, default=None), late_period_us)


def excess(found: Backlog, limit: int) -> dict[str, int]:
    """Choose what to give up so that no more than `limit` octets wait: the oldest; gives the octets of each by path.

    The newest part is never given up, however large it is: else a limit below its size would archive nothing.
    """
    every = sorted((*found.due, *found.waiting), key=lambda part: (part.start_us, part.id))
    left, chosen = found.octets, {}
    for part in every[:-1]:
        if left <= limit:
            break
        chosen[part.path] = part.octets or 0
        left -= part.octets or 0
    return chosen


class Trend:
    """Whether less waits than a while ago. What it knows of goes back as far as it is asked."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._seen: deque[tuple[int, int]] = deque()

    def shrinks(self, now_us: int, octets: int, while_us: int) -> bool:
        """Tell whether fewer octets wait than `while_us` ago; not when that is not known."""
        if not self._seen or now_us - self._seen[-1][0] >= _SEEN_EVERY_US:
            self._seen.append((now_us, octets))
        while len(self._seen) > 1 and now_us - self._seen[1][0] >= while_us:
            self._seen.popleft()
        before_us, before = self._seen[0]
        return now_us - before_us >= while_us and octets < before
