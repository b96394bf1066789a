"""The calls of one part counted, by hour, by where they come from and go to, by user agent: all of it in SQL."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from sipflow.clock import SECOND_US
from sipflow.query.parts import OpenPart
from sipflow.query.share import Share
from sipflow.query.tally import Span, Tally
from sipflow.storage.index import BYE_ANSWER, DIGEST_COLUMNS, read_digest
from sipflow.storage.layout import HOUR_US
from sipflow.wire.dialog import CallDigest

# Each phone may be a group of its own: those with the fewest attempts of a part are put together under OTHERS.
GROUPS_MAX: Final = 500
OTHERS: Final = "(others)"
# Once OpenPart.counted_here was called.
COUNTED_HERE: Final = " AND counted_here(call_id)"
_CHALLENGES = "(401, 402, 407)"
# Whoever sends a BYE waits so long for its answer (RFC 3261, timer F).
_TIMER_F_US: Final = 32 * SECOND_US
# A call that this part knows from beginning to end; a challenge may be met in the next part, and a BYE be answered
# there that is not much older than the latest call of this one.
_WHOLE = (
    "method = 'INVITE' AND invite_us IS NOT NULL AND begins = 1 AND (bye_us IS NOT NULL AND "
    f"({{answered}} IS NOT NULL OR bye_us < (SELECT max(first_us) FROM call_meta) - {_TIMER_F_US}) "
    f"OR bye_us IS NULL AND answer_us IS NULL AND status >= 300 AND status NOT IN {_CHALLENGES})"
)
_OF_A_CALL = "(invite_us IS NOT NULL OR bye_us IS NOT NULL OR {answered} IS NOT NULL)"
# The first sign of the called side, as RFC 6076 has it in section 4.3.
_SIGN = "CASE WHEN ring_us < coalesce(answer_us, ring_us + 1) THEN ring_us ELSE answer_us END"
_REFUSED = f"answer_us IS NULL AND status >= 400 AND status NOT IN {_CHALLENGES}"
_SUMS = (
    "count(*), count(answer_us), sum(answer_us IS NOT NULL AND bye_us IS NOT NULL AND {answered} IS NOT NULL), "
    f"count({_SIGN}), coalesce(sum(max(0, {_SIGN} - invite_us)), 0), "
    f"sum({_REFUSED}), coalesce(sum(CASE WHEN {_REFUSED} THEN max(0, status_us - invite_us) END), 0), "
    "count(ring_us), coalesce(sum(max(0, ring_us - invite_us)), 0), "
    "count(bye_us - answer_us), coalesce(sum(max(0, bye_us - answer_us)), 0), "
    "count({answered} - bye_us), coalesce(sum(max(0, {answered} - bye_us)), 0), count(bye_us)"
)
_MOS = {1: "0, 0.0", 2: "count(mos), coalesce(sum(mos), 0.0)"}
# An address and port without the port; the brackets of IPv6 stay.
_HOST = "rtrim(rtrim({}, '0123456789'), ':')"
_HOUR = f"first_us / {HOUR_US} * {HOUR_US}"
_CROSSED = f"{_HOUR}, {_HOST.format('dst')}, user_agent"
_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((int | None, *[int] * 14, int, float)))
_CROSSED_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((int, str, str, *_ROW.__args__)))  # type: ignore[attr-defined]
_SOURCE_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((int, str, *_ROW.__args__)))  # type: ignore[attr-defined]
_OPEN_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((*[object] * len(CallDigest.__struct_fields__),)))
# By name, and by the hour [us since the epoch] in which the attempts began.
Cells: TypeAlias = dict[int | str, dict[int | str, Tally]]


class GroupKey(msgspec.Struct, frozen=True):
    """Names one group of attempts: those of a source or destination, by its host, or of a user agent."""

    by: Literal["source", "destination", "agent"]
    name: str

    @property
    def field(self) -> str:
        """Name the field of Count that it is in."""
        return f"{self.by}s"


@dataclass(slots=True)
class Count:
    """What a part, or several, count; `unfinished` are calls that another part may know more of, by Call-ID."""

    hours: dict[int | str, Tally] = field(default_factory=dict)
    sources: dict[int | str, Tally] = field(default_factory=dict)
    destinations: dict[int | str, Tally] = field(default_factory=dict)
    agents: dict[int | str, Tally] = field(default_factory=dict)
    unfinished: dict[str, CallDigest] = field(default_factory=dict)

    def group(self, name: str) -> dict[int | str, Tally]:
        """Give the groups by the name of their field."""
        found: dict[int | str, Tally] = getattr(self, name)
        return found


@dataclass(slots=True)
class PartCount:
    """What a part counts, each group by hours; most parts hold one hour."""

    hours: dict[int | str, Tally] = field(default_factory=dict)
    sources: Cells = field(default_factory=dict)
    destinations: Cells = field(default_factory=dict)
    agents: Cells = field(default_factory=dict)
    unfinished: dict[str, CallDigest] = field(default_factory=dict)

    def cells(self, name: str) -> Cells:
        """Give the groups by the name of their field."""
        found: Cells = getattr(self, name)
        return found

    def summed(self, only: GroupKey | None) -> Count:
        """Give all groups, or the hours of only one; what is given is not to be changed."""
        if only is not None:
            return Count(dict(self.cells(only.field).get(only.name, {})), unfinished=self.unfinished)
        sources, destinations, agents = (
            {name: _sum(hours) for name, hours in cells.items()}
            for cells in (self.sources, self.destinations, self.agents)
        )
        return Count(self.hours, sources, destinations, agents, self.unfinished)


def count_part(opened: OpenPart, bounds: tuple[int, int] | None, share: Share | None = None) -> PartCount:
    """Count the calls that this part knows whole, those that began within `bounds` [us] and are of a share if given."""
    found = PartCount()
    whole, of_a_call, sums = (text.format(answered=BYE_ANSWER[opened.version]) for text in (_WHOLE, _OF_A_CALL, _SUMS))
    where, values = (whole, ()) if bounds is None else (f"{whole} AND first_us BETWEEN ? AND ?", bounds)
    shared = ""
    if share is not None:
        opened.counted_here(share.counts)
        shared = COUNTED_HERE
    where += shared
    tail = f"status, {sums}, {_MOS[opened.version]} FROM call_meta WHERE {where}"
    # Hours, destinations and agents are few together; sources, which may be every phone, are asked for apart.
    crossed = f"SELECT {_CROSSED}, {tail} GROUP BY 1, 2, 3, status"
    for hour, destination, agent, *row in opened.select(_CROSSED_ROW, crossed, values):
        tally = _tally(row)
        found.hours.setdefault(hour, Tally()).merge(tally)
        for cells, name in ((found.destinations, destination), (found.agents, agent)):
            _add(cells, name, hour, tally)
    sources = f"SELECT {_HOUR}, {_HOST.format('src')}, {tail} GROUP BY 1, 2, status"
    _add_sources(found, opened.select(_SOURCE_ROW, sources, values))
    for cells in (found.destinations, found.agents):
        _fold_cells(cells)
    digests = f"SELECT {DIGEST_COLUMNS[opened.version]} FROM call_meta"
    for open_row in opened.select(_OPEN_ROW, f"{digests} WHERE {of_a_call} AND ({whole}) IS NOT TRUE{shared}", ()):
        digest = read_digest(open_row)
        found.unfinished[digest.call_id] = digest
    return found


def _add(cells: Cells, name: int | str, hour: int | str, tally: Tally) -> None:
    cells.setdefault(name, {}).setdefault(hour, Tally()).merge(tally)


def _sum(hours: dict[int | str, Tally]) -> Tally:
    if len(hours) == 1:
        return next(iter(hours.values()))
    total = Tally()
    for tally in hours.values():
        total.merge(tally)
    return total


def _tally(row: Sequence[Any]) -> Tally:
    (status, count, answered, completed, signs, signs_us, refused, refused_us, rings, rings_us, talks, talks_us,
     disconnected, disconnected_us, byes, mos, mos_sum) = row  # fmt: skip
    tally = Tally(answered=answered, completed=completed, mos_count=mos, mos_sum=mos_sum)
    tally.statuses[status] = count
    tally.response, tally.refusal = Span(signs, signs_us), Span(refused, refused_us)
    tally.ringing, tally.talk = Span(rings, rings_us), Span(talks, talks_us)
    tally.disconnect, tally.undisconnected = Span(disconnected, disconnected_us), byes - disconnected
    return tally


def _add_sources(found: PartCount, rows: Sequence[Sequence[Any]]) -> None:
    sizes: Counter[str] = Counter()
    for _, source, _, count, *_ in rows:
        sizes[source] += count
    shown = {source for source, _ in sizes.most_common(GROUPS_MAX - 1)} if len(sizes) > GROUPS_MAX else sizes.keys()
    for hour, source, *row in rows:
        _add(found.sources, source if source in shown else OTHERS, hour, _tally(row))


def _fold_cells(cells: Cells) -> None:
    """Put together the smallest groups of a part where there are more than GROUPS_MAX."""
    if len(cells) <= GROUPS_MAX:
        return
    fewest = sorted(cells.keys() - {OTHERS}, key=lambda name: _sum(cells[name]).attempts)
    for name in fewest[: len(cells) - GROUPS_MAX]:
        for hour, tally in cells.pop(name).items():
            _add(cells, OTHERS, hour, tally)


def fold(count: Count) -> None:
    """Put together the smallest groups where there are more than GROUPS_MAX."""
    for groups in (count.sources, count.destinations, count.agents):
        if len(groups) <= GROUPS_MAX:
            continue
        fewest = sorted(groups.keys() - {OTHERS}, key=lambda key: groups[key].attempts)
        rest = groups.setdefault(OTHERS, Tally())
        for key in fewest[: len(groups) - GROUPS_MAX]:
            rest.merge(groups.pop(key))
