"""The calls of one part counted, by hour, by where they come from and go to, by user agent: all of it in SQL."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from sipflow.query.parts import OpenPart
from sipflow.query.share import Share
from sipflow.query.tally import Span, Tally
from sipflow.storage.index import read_digest
from sipflow.storage.layout import HOUR_US
from sipflow.wire.dialog import CallDigest

# Each phone may be a group of its own: those with the fewest attempts of a part are put together under OTHERS.
GROUPS_MAX: Final = 500
OTHERS: Final = "(others)"
# Once OpenPart.counted_here was called.
COUNTED_HERE: Final = " AND counted_here(call_id)"
_CHALLENGES = "(401, 402, 407)"
# A call that this part knows from beginning to end; a challenge may be met in the next part.
_WHOLE = (
    "method = 'INVITE' AND invite_us IS NOT NULL AND begins = 1 AND (bye_us IS NOT NULL "
    f"OR answer_us IS NULL AND status >= 300 AND status NOT IN {_CHALLENGES})"
)
_OF_A_CALL = "(invite_us IS NOT NULL OR bye_us IS NOT NULL)"
# The first sign of the called side, as RFC 6076 has it in section 4.3.
_SIGN = "CASE WHEN ring_us < coalesce(answer_us, ring_us + 1) THEN ring_us ELSE answer_us END"
_REFUSED = f"answer_us IS NULL AND status >= 400 AND status NOT IN {_CHALLENGES}"
_SUMS = (
    "count(*), count(answer_us), sum(answer_us IS NOT NULL AND bye_us IS NOT NULL), "
    f"count({_SIGN}), coalesce(sum(max(0, {_SIGN} - invite_us)), 0), "
    f"sum({_REFUSED}), coalesce(sum(CASE WHEN {_REFUSED} THEN max(0, status_us - invite_us) END), 0), "
    "count(ring_us), coalesce(sum(max(0, ring_us - invite_us)), 0), "
    "coalesce(sum(max(0, bye_us - answer_us)), 0)"
)
_MOS = {1: "0, 0.0", 2: "count(mos), coalesce(sum(mos), 0.0)"}
# An address and port without the port; the brackets of IPv6 stay.
_HOST = "rtrim(rtrim({}, '0123456789'), ':')"
_CROSSED = f"first_us / {HOUR_US} * {HOUR_US}, {_HOST.format('dst')}, user_agent"
_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((int | None, *[int] * 10, int, float)))
_CROSSED_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((int, str, str, *_ROW.__args__)))  # type: ignore[attr-defined]
_SOURCE_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((str, *_ROW.__args__)))  # type: ignore[attr-defined]
_DIGEST = ", ".join(CallDigest.__struct_fields__)
_OPEN_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((*[object] * len(CallDigest.__struct_fields__),)))


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


def count_part(opened: OpenPart, bounds: tuple[int, int] | None, share: Share | None = None) -> Count:
    """Count the calls that this part knows whole, those that began within `bounds` [us] and are of a share if given."""
    found = Count()
    where, values = (_WHOLE, ()) if bounds is None else (f"{_WHOLE} AND first_us BETWEEN ? AND ?", bounds)
    shared = ""
    if share is not None:
        opened.counted_here(share.counts)
        shared = COUNTED_HERE
    where += shared
    tail = f"status, {_SUMS}, {_MOS[opened.version]} FROM call_meta WHERE {where}"
    # Hours, destinations and agents are few together; sources, which may be every phone, are asked for apart.
    crossed = f"SELECT {_CROSSED}, {tail} GROUP BY 1, 2, 3, status"
    for hour, destination, agent, *row in opened.select(_CROSSED_ROW, crossed, values):
        tally = _tally(row)
        for groups, key in ((found.hours, hour), (found.destinations, destination), (found.agents, agent)):
            groups.setdefault(key, Tally()).merge(tally)
    sources = f"SELECT {_HOST.format('src')}, {tail} GROUP BY 1, status"
    _add_sources(found, opened.select(_SOURCE_ROW, sources, values))
    fold(found)
    for open_row in opened.select(
        _OPEN_ROW, f"SELECT {_DIGEST} FROM call_meta WHERE {_OF_A_CALL} AND ({_WHOLE}) IS NOT TRUE{shared}", ()
    ):
        digest = read_digest(open_row)
        found.unfinished[digest.call_id] = digest
    return found


def _tally(row: Sequence[Any]) -> Tally:
    (status, count, answered, completed, signs, signs_us, refused, refused_us, rings, rings_us, talk_us,
     mos, mos_sum) = row  # fmt: skip
    tally = Tally(answered=answered, completed=completed, mos_count=mos, mos_sum=mos_sum)
    tally.statuses[status] = count
    tally.response, tally.refusal = Span(signs, signs_us), Span(refused, refused_us)
    tally.ringing, tally.talk = Span(rings, rings_us), Span(completed, talk_us)
    return tally


def _add_sources(found: Count, rows: Sequence[Sequence[Any]]) -> None:
    sizes: Counter[str] = Counter()
    for source, _, count, *_ in rows:
        sizes[source] += count
    shown = {source for source, _ in sizes.most_common(GROUPS_MAX - 1)} if len(sizes) > GROUPS_MAX else sizes.keys()
    for source, *row in rows:
        found.sources.setdefault(source if source in shown else OTHERS, Tally()).merge(_tally(row))


def fold(count: Count) -> None:
    """Put together the smallest groups where there are more than GROUPS_MAX."""
    for groups in (count.sources, count.destinations, count.agents):
        if len(groups) <= GROUPS_MAX:
            continue
        fewest = sorted(groups.keys() - {OTHERS}, key=lambda key: groups[key].attempts)
        rest = groups.setdefault(OTHERS, Tally())
        for key in fewest[: len(groups) - GROUPS_MAX]:
            rest.merge(groups.pop(key))
