"""What is to be erased or deleted now: a plan, made of what is there and what may stay. Nothing here touches a disk."""

import enum
from collections.abc import Callable, Collection, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from sipflow.amount import age_text, size_text
from sipflow.config import Retention
from sipflow.destination import Upload
from sipflow.storage.catalog import Part
from sipflow.storage.disk import Disk


class Action(enum.StrEnum):
    """What is done to a part."""

    ERASE_RTP = "erase RTP"
    DELETE = "delete"
    # The local files of what an archive has, verified.
    EVICT = "evict"
    # The objects in the archive, and whatever is left here.
    EXPIRE = "expire"


class Holding(NamedTuple):
    """A part as it stands, with its octets by kind; `held` says why nothing may be done to it, empty when it may."""

    part: Part
    sip_octets: int
    rtp_octets: int
    held: str = ""

    @property
    def since_us(self) -> int:
        """Tell when the part began to age: at its last packet, or when it was imported, whatever is captured in it."""
        part = self.part
        if part.imported_us is not None:
            return part.imported_us
        return part.t1_us if part.t1_us is not None else part.end_us

    @property
    def octets(self) -> int:
        """Give the octets of both kinds."""
        return self.sip_octets + self.rtp_octets


class Step(NamedTuple):
    """One thing to do, how many octets it frees, and why in a sentence."""

    part: Part
    action: Action
    octets: int
    why: str


class Plan(NamedTuple):
    """Steps in the order they are to be done, and sentences on what they do not reach."""

    steps: list[Step]
    shortfalls: list[str]

    @property
    def octets(self) -> int:
        """Give the octets all steps free."""
        return sum(step.octets for step in self.steps)


def plan(
    holdings: Sequence[Holding],
    limits: Retention,
    disk: Disk,
    now_us: int,
    held_by_age: str = "",
    upload: Upload | None = None,
    given_up: Collection[str] = (),
) -> Plan:
    """Decide what to erase and delete, oldest first: what was begun, then by age, by size, and by room on the disk.

    `disk` is its room now. `held_by_age` says why nothing may be deleted for its age, as when the clock cannot be
    trusted; empty when it may. Where there is an `upload`, nothing goes before it is archived, but the parts whose
    paths are `given_up`. What is archived loses its local files where it would lose its media or all: the archive goes
    on answering for it, until it expires there.
    """
    planner = _Planner(
        [one if upload is None or one.part.path in given_up else _kept_for_archive(one) for one in holdings]
    )
    planner.finish()
    ages = (limits.sip_age, limits.rtp_age, *(() if upload is None else (upload.keep_local, upload.keep_archive)))
    if held_by_age:
        planner.shortfalls += [held_by_age] if any(age is not None for age in ages) else []
    else:
        if upload is not None:
            planner.by_archive(upload, now_us)
        planner.by_age(limits, now_us)
    planner.by_size(limits)
    planner.by_room(limits.min_free.on(disk.total), disk.free)
    return Plan(planner.steps(), planner.shortfalls)


class _Planner:
    """What remains after the steps decided so far."""

    def __init__(self, holdings: Sequence[Holding]) -> None:
        self._left = {one.part.id: one for one in holdings}
        self._free_to_go = sorted(
            (one for one in holdings if not one.held), key=lambda one: (one.since_us, one.part.start_us, one.part.id)
        )
        self._done: dict[int, Step] = {}
        self.shortfalls: list[str] = []

    def steps(self) -> list[Step]:
        """Give the steps, what was begun first; a part that is deleted is not erased before."""
        return list(self._done.values())

    def finish(self) -> None:
        """Go on with what was begun, whatever the limits are now: what is half gone cannot stay."""
        for one in list(self._left.values()):
            if one.part.state == "deleting":
                self._do(one, _last(one), "was begun and not finished")
            elif one.part.evicted_us is not None and one.octets:
                self._do(one, Action.EVICT, "was begun and not finished")
            elif one.part.erased_us is not None and one.rtp_octets and one.part.sealed:
                self._do(one, Action.ERASE_RTP, "was begun and not finished")

    def by_archive(self, upload: Upload, now_us: int) -> None:
        """Let go of what was archived long enough ago: of its objects, else of its local files."""
        for action, age, why in (
            (Action.EXPIRE, upload.keep_archive, "archives are kept for"),
            (Action.EVICT, upload.keep_local, "archived: local files are kept for"),
        ):
            for one in self._standing(Action.DELETE):
                archived = one.part.archived_us is not None and (action is Action.EXPIRE or one.octets)
                if archived and age is not None and now_us - one.since_us > age:
                    self._do(one, action, f"{why} {age_text(age)}")

    def by_age(self, limits: Retention, now_us: int) -> None:
        """Let go of what is older than it may be; a part is as old as its last packet."""
        for action, kind, age in (
            (Action.DELETE, "SIP", limits.sip_age),
            (Action.ERASE_RTP, "RTP", limits.rtp_age),
        ):
            for one in self._standing(action):
                gone = one.part.archived_us is not None and not one.octets
                if age is not None and now_us - one.since_us > age and not gone:
                    self._do(one, _instead(one, action), f"{kind} is kept for {age_text(age)}")

    def by_size(self, limits: Retention) -> None:
        """Let go of the oldest of a kind until no more of it is left than may be."""
        for action, kind, limit, octets in (
            (Action.ERASE_RTP, "RTP", limits.rtp_bytes, attrgetter("rtp_octets")),
            (Action.DELETE, "SIP", limits.sip_bytes, attrgetter("sip_octets")),
        ):
            if limit is None:
                continue
            total = sum(map(octets, self._left.values()))
            total -= self._until(action, total - limit, octets, f"{size_text(limit)} of {kind} are kept")
            if total > limit:
                self._fall_short(f"{size_text(total)} of {kind} are kept where {size_text(limit)} may be")

    def by_room(self, wanted: int, free: int) -> None:
        """Let go of the oldest until there is room: of all media first, then of whole parts."""
        free += sum(step.octets for step in self._done.values())
        why = f"{size_text(wanted)} of the disk are kept free"
        for action in (Action.ERASE_RTP, Action.DELETE):
            free += self._until(action, wanted - free, partial(_freed, action=action), why)
        if free < wanted:
            self._fall_short(f"{size_text(free)} of the disk are free where {size_text(wanted)} should be")

    def _until(self, action: Action, needed: int, octets: Callable[[Holding], int], why: str) -> int:
        """Take steps until so many octets went, as `octets` counts them; gives how many did."""
        gone = 0
        for one in self._standing(action):
            if gone >= needed:
                break
            if octets(one):
                gone += octets(one)
                self._do(one, _instead(one, action), why)
        return gone

    def _standing(self, action: Action) -> list[Holding]:
        left = [self._left[one.part.id] for one in self._free_to_go if one.part.id in self._left]
        return [one for one in left if action is Action.DELETE or one.rtp_octets]

    def _do(self, one: Holding, action: Action, why: str) -> None:
        before = self._done.pop(one.part.id, None)
        freed = _freed(one, action) + (before.octets if before is not None else 0)
        self._done[one.part.id] = Step(one.part, action, freed, why)
        if action is not Action.ERASE_RTP:
            del self._left[one.part.id]
        else:
            self._left[one.part.id] = one._replace(rtp_octets=0)

    def _fall_short(self, what: str) -> None:
        held = sorted({one.held for one in self._left.values() if one.held})
        self.shortfalls.append(f"{what}; what is left may not go: {', '.join(held) or 'nothing'}")


def _freed(one: Holding, action: Action) -> int:
    return one.rtp_octets if _instead(one, action) is Action.ERASE_RTP else one.octets


def _instead(one: Holding, action: Action) -> Action:
    """Give what is done in place of an erasure or deletion to a part that an archive has."""
    return action if one.part.archived_us is None or action is Action.EXPIRE else Action.EVICT


def _last(one: Holding) -> Action:
    """Give how a part goes for good."""
    return Action.DELETE if one.part.archive_key is None else Action.EXPIRE


def _kept_for_archive(one: Holding) -> Holding:
    waits = one.part.sealed and one.part.archived_us is None and one.octets
    return one._replace(held=one.held or "buckets that are not archived yet") if waits else one
