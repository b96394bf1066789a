"""The page of statistics: what became of the calls of a time range, in numbers, over time, and by group."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.clock import SECOND_US, now_us, to_datetime
from sipflow.errors import BadQuery
from sipflow.query.census import Group, Hour, Statistics
from sipflow.query.counting import OTHERS, GroupKey
from sipflow.query.source import CallSource
from sipflow.query.tally import Tally
from sipflow.query.window import Window
from sipflow.web.asked import only, window
from sipflow.web.console.chart import Chart, Series, columns, lines
from sipflow.web.console.render import render
from sipflow.web.console.urls import Urls
from sipflow.web.reply import reply

_HOUR_US: Final = 3600 * SECOND_US
RANGES: Final = {"1h": 1, "6h": 6, "24h": 24, "7d": 7 * 24, "30d": 30 * 24}
USUAL: Final = "24h"
# More columns than these are put together: a month of hours is drawn by days.
COLUMNS_MAX: Final = 96
# Of a longer time only the hours with calls are drawn.
FILLED_MAX: Final = 100 * 24
_NOTHING: Final = Tally().ratios()
# Of each kind so many groups are shown; the others stand in the JSON.
ROWS_MAX: Final = 25
_KINDS: Final = {"source": "Source (trunk or phone)", "destination": "Destination", "agent": "User agent"}


class Kind(NamedTuple):
    """A kind of groups: what begins their keys, what it is called, and those with the most attempts."""

    by: str
    title: str
    groups: list[Group]

    def key(self, group: Group) -> str:
        """Write the key by which a group is asked for, empty for what is put together of several."""
        return "" if group.name == OTHERS else f"{self.by}:{group.name}"


class StatisticsPage:
    """The routes of /statistics and its JSON twin."""

    def __init__(self, history: CallSource, aliases: Mapping[str, str]) -> None:
        self._history = history
        self._aliases = aliases
        self._urls = Urls()
        self.routes = [Route("/statistics", self.page), Route("/api/v1/statistics", self.answer)]

    def answer(self, request: Request) -> Response:
        """Answer the statistics of a window as JSON, all or those of a group."""
        only(request, ("since", "until", "of"))
        span = window(request, "since", "until")
        return reply(self._named(self._history.statistics(span, asked_group(request))))

    def page(self, request: Request) -> Response:
        """Answer the page."""
        only(request, ("since", "until", "range", "of"))
        span, chosen = shown_window(request)
        every = self._named(self._history.statistics(span))
        group = asked_group(request)
        found = every if group is None else self._history.statistics(span, group)
        of = "" if group is None else f"{group.by}:{group.name}"
        asked = {"range": chosen, **{name: request.query_params.get(name) for name in ("since", "until")}}
        hours = filled(found.hours, every.hours)
        series = outcomes(hours)
        return render(
            request, "statistics.html", twin=self._urls.statistics_json(span, of),
            found=found, every=every, group=group, of=of, asked=asked, span=span, chosen=chosen, ranges=list(RANGES),
            title="" if group is None else _KINDS[group.by], narrowed=_narrowed(group),
            alias=self._alias(group.name) if group is not None and group.by != "agent" else "",
            series=series, registered=self._history.registrations(span, None, 1), charts=charts(hours, series),
            kinds=[Kind(by, title, getattr(every, f"{by}s")) for by, title in _KINDS.items()], rows_max=ROWS_MAX,
        )  # fmt: skip

    def _named(self, found: Statistics) -> Statistics:
        """Add what people call the sources and destinations."""
        return msgspec.structs.replace(
            found, sources=self._hosts(found.sources), destinations=self._hosts(found.destinations)
        )

    def _hosts(self, groups: list[Group]) -> list[Group]:
        return [msgspec.structs.replace(group, alias=self._alias(group.name)) for group in groups]

    def _alias(self, host: str) -> str:
        return self._aliases.get(host.strip("[]"), "")


def asked_group(request: Request) -> GroupKey | None:
    """Give the group that is asked for, None for all calls. Raises BadQuery."""
    text = request.query_params.get("of")
    if not text:
        return None
    by, colon, name = text.partition(":")
    if by not in _KINDS or not colon or name == OTHERS:
        raise BadQuery(f"of: found {text!r}; allowed: source:HOST, destination:HOST, agent:USER-AGENT")
    return msgspec.convert({"by": by, "name": name}, GroupKey)


def _narrowed(group: GroupKey | None) -> dict[str, str]:
    """Give the parameters of a search that leaves few calls but those of a group."""
    if group is None:
        return {}
    return {"ua": group.name} if group.by == "agent" else {"ip": group.name.strip("[]")}


def shown_window(request: Request) -> tuple[Window, str]:
    """Give the window that a page is asked for, and the name of its range, empty for one of bounds of its own.

    Raises BadQuery.
    """
    asked = request.query_params
    if asked.get("since") or asked.get("until"):
        return window(request, "since", "until"), ""
    chosen = asked.get("range") or USUAL
    return latest(chosen), chosen


def latest(text: str) -> Window:
    """Give the last hours of a range, from the beginning of an hour, so that whole buckets are counted once.

    Raises BadQuery.
    """
    if text not in RANGES:
        raise BadQuery(f"range: found {text!r}; allowed: {', '.join(RANGES)}")
    return Window((now_us() // _HOUR_US - RANGES[text]) * _HOUR_US, None)


def filled(hours: list[Hour], every: list[Hour]) -> list[Hour]:
    """Put hours without attempts in between, from the first to the last of `every`, unless they are very many."""
    if not every or (every[-1].time_us - every[0].time_us) // _HOUR_US >= FILLED_MAX:
        return hours
    known = {hour.time_us: hour for hour in hours}
    times = range(every[0].time_us, every[-1].time_us + 1, _HOUR_US)
    return [known.get(time_us) or Hour(time_us, _NOTHING) for time_us in times]


def outcomes(hours: list[Hour]) -> list[Series]:
    """Sort the attempts of each hour by what became of them; few enough columns to be drawn."""
    steps = -(-len(hours) // COLUMNS_MAX) or 1
    parts = [hours[at : at + steps] for at in range(0, len(hours), steps)]

    def of(*firsts: int) -> list[float | None]:
        return [float(sum(_count(hour, firsts) for hour in part)) for part in parts]

    return [
        Series("answered", "good", of(2)),
        Series("redirected or refused by the user (3xx, 4xx, 6xx)", "warn", of(3, 4, 6)),
        Series("failed in a server (5xx)", "bad", of(5)),
        Series("no final answer", "quiet", of(0)),
    ]


def _count(hour: Hour, firsts: tuple[int, ...]) -> int:
    statuses = hour.ratios.statuses
    return sum(count for status, count in statuses.items() if (0 if status == "none" else int(status[0])) in firsts)


def charts(hours: list[Hour], series: list[Series]) -> list[Chart]:
    """Draw attempts by outcome, the ratios and the durations over time."""
    steps = -(-len(hours) // COLUMNS_MAX) or 1
    every = [f"{to_datetime(hour.time_us):%d %b %H:%M}" for hour in hours]
    each = [hour.ratios for hour in hours]
    ratios = [Series("ASR", "lane1", [one.asr for one in each]), Series("NER", "lane3", [one.ner for one in each])]
    return [
        columns("Attempts by outcome, per hour", every[::steps], series),
        lines("ASR and NER, percent, per hour", every, ratios, top=100.0),
        lines("Average call duration, seconds, per hour", every, [Series("ACD", "lane1", [one.acd_s for one in each])]),
        lines("Post-dial delay, seconds, per hour", every, [Series("PDD", "lane2", [one.pdd_s for one in each])]),
        lines("Session disconnect delay, seconds, per hour", every,
              [Series("SDD", "lane2", [one.sdd_s for one in each])]),
    ]  # fmt: skip
