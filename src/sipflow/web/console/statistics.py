"""The page of statistics: what became of the calls of a time range, in numbers, over time, and by group."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.clock import SECOND_US, now_us, to_datetime
from sipflow.errors import BadQuery
from sipflow.query.census import Group, Hour, Statistics
from sipflow.query.source import CallSource
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
_GROUPS: Final = (("sources", "Source (trunk or phone)"), ("destinations", "Destination"), ("agents", "User agent"))


class StatisticsPage:
    """The routes of /statistics and its JSON twin."""

    def __init__(self, history: CallSource, aliases: Mapping[str, str]) -> None:
        self._history = history
        self._aliases = aliases
        self._urls = Urls()
        self.routes = [Route("/statistics", self.page), Route("/api/v1/statistics", self.answer)]

    def answer(self, request: Request) -> Response:
        """Answer the statistics of a window as JSON."""
        only(request, ("since", "until"))
        return reply(self._named(self._history.statistics(window(request, "since", "until"))))

    def page(self, request: Request) -> Response:
        """Answer the page."""
        only(request, ("since", "until", "range"))
        span, chosen = shown_window(request)
        found = self._named(self._history.statistics(span))
        registered = self._history.registrations(span, None, 1)
        series = outcomes(found.hours)
        return render(
            request, "statistics.html", twin=self._urls.statistics_json(span),
            found=found, span=span, chosen=chosen, ranges=list(RANGES), series=series,
            registered=registered,
            charts=charts(found, series), groups=[(name, title, getattr(found, name)) for name, title in _GROUPS],
        )  # fmt: skip

    def _named(self, found: Statistics) -> Statistics:
        """Add what people call the sources and destinations."""
        return msgspec.structs.replace(
            found, sources=self._hosts(found.sources), destinations=self._hosts(found.destinations)
        )

    def _hosts(self, groups: list[Group]) -> list[Group]:
        return [msgspec.structs.replace(group, alias=self._aliases.get(group.name.strip("[]"), "")) for group in groups]


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


def charts(found: Statistics, series: list[Series]) -> list[Chart]:
    """Draw attempts by outcome, and the ratios over time."""
    steps = -(-len(found.hours) // COLUMNS_MAX) or 1
    labels = [f"{to_datetime(hour.time_us):%d %b %H:%M}" for hour in found.hours[::steps]]
    every = [f"{to_datetime(hour.time_us):%d %b %H:%M}" for hour in found.hours]
    ratios = [
        Series("ASR", "lane1", [hour.ratios.asr for hour in found.hours]),
        Series("NER", "lane3", [hour.ratios.ner for hour in found.hours]),
    ]
    delays = [Series("PDD", "lane2", [hour.ratios.pdd_s for hour in found.hours])]
    return [
        columns("Attempts by outcome, per hour", labels, series),
        lines("ASR and NER, percent, per hour", every, ratios, top=100.0),
        lines("Post-dial delay, seconds, per hour", every, delays),
    ]
