"""Statistics over all calls of a window: each part counted once and remembered, calls across parts put together."""

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from sipflow.query.answer import Fault
from sipflow.query.asking import Asking
from sipflow.query.counting import OTHERS, Count, GroupKey, PartCount, count_part, fold
from sipflow.query.enumerator import FRESH_SECONDS, Enumerator, Room
from sipflow.query.parts import bounds
from sipflow.query.remembered import Remembered
from sipflow.query.share import Share
from sipflow.query.tally import Ratios, Tally, tally_of
from sipflow.query.window import Window
from sipflow.storage.catalog import Part
from sipflow.storage.layout import HOUR_US
from sipflow.wire.dialog import CallDigest

# A call that begins in the window may end so long after it.
_TAIL_US: Final = 3 * HOUR_US
GROUPS_SHOWN: Final = 100
_SUMS_REMEMBERED: Final = 32
_ANSWERS_REMEMBERED: Final = 64


class Hour(msgspec.Struct, frozen=True):
    """The attempts that began in the hour from `time_us` on."""

    time_us: int
    ratios: Ratios


class Group(msgspec.Struct, frozen=True):
    """The attempts of one source, destination or user agent; its name is empty where the call said none.

    `alias` is what people call an address; who shows the group knows that.
    """

    name: str
    ratios: Ratios
    alias: str = ""


class Statistics(msgspec.Struct, frozen=True):
    """The attempts that began in a window, counted from the index: INVITEs that open a call, one per Call-ID.

    Groups are the GROUPS_SHOWN with the most attempts; none where one group was asked for, of which all else then is.
    What was received in the last seconds and is not in a bucket yet is not counted.

    `counting` parts are not counted yet and are missing here, which makes the answer partial: they are being counted,
    ask again. Only large parts that nobody asked for before take so long.
    """

    total: Ratios
    hours: list[Hour]
    sources: list[Group]
    destinations: list[Group]
    agents: list[Group]
    partial: bool
    faults: list[Fault]
    counting: int = 0


class Tallied(NamedTuple):
    """What one place of several counts, what it could not read, and how many of its parts are not counted yet."""

    total: Count
    faults: list[Fault]
    counting: int


class Census:
    """Counts, and remembers what it counted. Safe to ask from several threads."""

    def __init__(self, enumerator: Enumerator[PartCount]) -> None:
        """Remember nothing yet."""
        self._enumerator = enumerator
        self._sums: Remembered[tuple[object, ...], _Sum] = Remembered(_SUMS_REMEMBERED)
        self._answers: Remembered[tuple[object, ...], Statistics] = Remembered(_ANSWERS_REMEMBERED)

    def take(self, asking: Asking, window: Window, only: GroupKey | None = None) -> Statistics:
        """Count the calls that began in a window, all or those of one group."""
        low, high = bounds(window)
        parts = [part for part in asking.parts() if _concerns(part, low, high)]
        key = (low, high, only, *((part.path, part.revision) for part in parts))
        known = self._answers.find(key, FRESH_SECONDS)
        if known is None:
            known = self._taken(_Round(asking, low, high, only=only), parts)
            if not known.partial:
                self._answers.keep(key, known)
        return known

    def count(
        self, asking: Asking, window: Window, share: Share | None = None, only: GroupKey | None = None
    ) -> Tallied:
        """Count them, those of a share if given, and leave aside the calls of which another place may know more."""
        turn = _Round(asking, *bounds(window), share, only)
        count = self._every(turn, [part for part in asking.parts() if _concerns(part, turn.low, turn.high)], last=False)
        return Tallied(count, asking.faults, turn.missing)

    def _taken(self, turn: "_Round", parts: Sequence[Part]) -> Statistics:
        every = self._every(turn, parts, last=True)
        return _statistics(every, turn.asking.faults, turn.missing)

    def _every(self, turn: "_Round", parts: Sequence[Part], *, last: bool) -> Count:
        total = self._sealed(turn, [part for part in parts if part.sealed])
        counts = [self._count(turn, part) for part in parts if not part.sealed]
        return _together([total, *counts], turn.low, turn.high, turn.only, last=last)

    def _sealed(self, turn: "_Round", parts: Sequence[Part]) -> Count:
        key = (turn.low, turn.high, turn.share, turn.only, *((part.path, part.revision) for part in parts))
        known = self._sums.find(key)
        if known is not None:
            for part, identity in known.sources:
                turn.asking.recheck(part, identity)
            return known.total
        before = len(turn.asking.faults)
        # The newest first: that is where people look.
        counts = [self._count(turn, part) for part in parts]
        total = _together(counts, turn.low, turn.high, turn.only, last=False)
        if len(turn.asking.faults) == before and not turn.missing:
            self._sums.keep(key, _Sum(total, tuple(turn.sources)))
        return total

    def _count(self, turn: "_Round", part: Part) -> Count:
        span = None if is_inside(part, turn.low, turn.high) else (turn.low, turn.high)
        share = turn.share
        found = self._enumerator.count(
            turn.asking, part, (span, share), lambda opened: count_part(opened, span, share), turn.room
        )
        if found is None:
            turn.missing += 1
            return Count()
        turn.asking.faults += found.faults
        if found.identity is not None:
            turn.sources.append((part, found.identity))
            if not found.faults:
                turn.asking.recheck(part, found.identity)
        return found.total.summed(turn.only)


class _Sum(NamedTuple):
    """What sealed parts count together, and the parts by their files: one may be found to be damaged later."""

    total: Count
    sources: tuple[tuple[Part, Hashable], ...]


@dataclass(slots=True)
class _Round:
    """One question: its window [us], share and group, what may be counted for it now, and what is not counted yet."""

    asking: Asking
    low: int
    high: int
    share: Share | None = None
    only: GroupKey | None = None
    room: Room = field(default_factory=Room)
    missing: int = 0
    sources: list[tuple[Part, Hashable]] = field(default_factory=list)


def count_digests(
    digests: Iterable[CallDigest], window: Window, faults: list[Fault], only: GroupKey | None = None
) -> Statistics:
    """Count calls that are known as a whole, those that began in a window and are of a group if given."""
    count = Count(unfinished={digest.call_id: digest for digest in digests})
    return _statistics(_together([count], *bounds(window), only, last=True), faults)


def statistics_of(
    tallied: Sequence[Tallied], window: Window, faults: list[Fault], only: GroupKey | None = None
) -> Statistics:
    """Put together what several places count, all or one group as they were asked; `faults` are those of all."""
    total = _together([one.total for one in tallied], *bounds(window), only, last=True)
    return _statistics(total, faults, sum(one.counting for one in tallied))


def settled(count: Count, most: int, window: Window, only: GroupKey | None = None) -> Count:
    """Keep `most` calls aside of which another place may know more, the latest; count the others as they are."""
    if len(count.unfinished) <= most:
        return count
    latest = sorted(count.unfinished.values(), key=lambda digest: digest.first_us)[-most:]
    aside = {digest.call_id: digest for digest in latest}
    rest = {call_id: digest for call_id, digest in count.unfinished.items() if call_id not in aside}
    counted = _together([dataclasses.replace(count, unfinished=rest)], *bounds(window), only, last=True)
    counted.unfinished = aside
    return counted


def is_inside(part: Part, low: int, high: int) -> bool:
    """Tell whether all of a sealed part lies in a window."""
    return part.sealed and part.t0_us is not None and part.t1_us is not None and low <= part.t0_us <= part.t1_us <= high


def _concerns(part: Part, low: int, high: int) -> bool:
    if part.t0_us is None or part.t1_us is None:
        return part.end_us >= low and part.start_us <= high
    return part.t1_us >= low and part.t0_us <= high + _TAIL_US


def _together(counts: Iterable[Count], low: int, high: int, only: GroupKey | None, *, last: bool) -> Count:
    """Put counts together, all groups or only one, and the parts of calls that lie in several of them.

    Calls that are not over stay `unfinished` for whoever knows more; the `last` to ask counts them as they are.
    """
    found = Count()
    for count in counts:
        for name in ("hours", "sources", "destinations", "agents"):
            groups = found.group(name)
            for key, tally in count.group(name).items():
                groups.setdefault(key, Tally()).merge(tally)
        for call_id, digest in count.unfinished.items():
            known = found.unfinished.get(call_id)
            if known is None:
                found.unfinished[call_id] = msgspec.structs.replace(digest)
            else:
                known.merge(digest)
    for call_id, digest in list(found.unfinished.items()):
        if last or digest.whole:
            del found.unfinished[call_id]
            if digest.begins and digest.method == "INVITE" and low <= digest.first_us <= high:
                _add(found, digest, only)
    fold(found)
    return found


def _add(count: Count, digest: CallDigest, only: GroupKey | None) -> None:
    tally = tally_of(digest)
    keys: dict[str, int | str] = {
        "hours": digest.first_us // HOUR_US * HOUR_US,
        "sources": _host(digest.src),
        "destinations": _host(digest.dst),
        "agents": digest.user_agent,
    }
    if only is not None:
        keys = {"hours": keys["hours"]} if keys[only.field] == only.name else {}
    for name, key in keys.items():
        count.group(name).setdefault(key, Tally()).merge(tally)


def _host(place: str) -> str:
    return place.rstrip("0123456789").rstrip(":")


def _statistics(count: Count, faults: list[Fault], counting: int = 0) -> Statistics:
    total = Tally()
    for tally in count.hours.values():
        total.merge(tally)
    once = list(dict.fromkeys(faults))
    return Statistics(
        total=total.ratios(),
        hours=[Hour(int(time_us), tally.ratios()) for time_us, tally in sorted(count.hours.items())],
        sources=_groups(count.sources),
        destinations=_groups(count.destinations),
        agents=_groups(count.agents),
        partial=bool(once) or counting > 0,
        faults=once,
        counting=counting,
    )


def _groups(groups: dict[int | str, Tally]) -> list[Group]:
    order = sorted(groups, key=lambda key: (key == OTHERS, -groups[key].attempts, str(key)))
    return [Group(str(key), groups[key].ratios()) for key in order[:GROUPS_SHOWN]]
