"""Small charts: where bars and lines stand. Pure; a template writes them as SVG, beside a table of the same numbers."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

WIDTH: Final = 640
HEIGHT: Final = 150
LEFT: Final = 44
BOTTOM: Final = 20
TOP: Final = 8
# More points than pixels say nothing more: neighbours share one, the worst of them is shown.
POINTS_MAX: Final = 560
_SHORT: Final = 4.0
# So much of the box a label of the last column needs on its right.
_HALF_LABEL: Final = 36


class Bar(NamedTuple):
    """One piece of a column; `title` says its number in words."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    title: str


class Mark(NamedTuple):
    """A label of an axis, or a line across at its height."""

    x: float
    y: float
    text: str


class Chart(NamedTuple):
    """A drawing in a box of WIDTH x HEIGHT; `lines` are polylines with their tone."""

    title: str
    bars: list[Bar]
    lines: list[tuple[str, str]]
    rows: list[Mark]
    columns: list[Mark]


class Series(NamedTuple):
    """What is drawn: its name, its tone and a value per column, None where there is none."""

    name: str
    tone: str
    values: Sequence[float | None]


def columns(title: str, labels: Sequence[str], series: Sequence[Series]) -> Chart:
    """Draw stacked columns, one per label."""
    totals = [sum(values) for values in zip(*([v or 0 for v in one.values] for one in series), strict=True)]
    top = _ceiling(max(totals, default=0))
    step = (WIDTH - LEFT) / max(len(labels), 1)
    bars: list[Bar] = []
    for place, label in enumerate(labels):
        below = 0.0
        for one in series:
            value = one.values[place] or 0
            if value:
                height = _height(value, top)
                y = HEIGHT - BOTTOM - _height(below, top) - height
                words = f"{label}: {one.name} {value:,.0f}"
                bars.append(
                    Bar(_r(LEFT + place * step + step * 0.1), _r(y), _r(step * 0.8), _r(height), one.tone, words)
                )
                below += value
    return Chart(title, bars, [], _rows(top), _ticks(labels))


def lines(title: str, labels: Sequence[str], series: Sequence[Series], top: float | None = None) -> Chart:
    """Draw a line per series over equal steps; a gap where there is no value."""
    known = [value for one in series for value in one.values if value is not None]
    top = top or _ceiling(max(known, default=0))
    drawn: list[tuple[str, str]] = []
    for one in series:
        drawn += [(one.tone, points) for points in _polylines(_thinned(one.values), top)]
    return Chart(title, [], drawn, _rows(top), _ticks(labels))


def _thinned(values: Sequence[float | None]) -> list[float | None]:
    if len(values) <= POINTS_MAX:
        return list(values)
    step = len(values) / POINTS_MAX
    parts = [values[int(n * step) : max(int((n + 1) * step), int(n * step) + 1)] for n in range(POINTS_MAX)]
    return [max((value for value in part if value is not None), default=None) for part in parts]


def _polylines(values: Sequence[float | None], top: float) -> list[str]:
    step = (WIDTH - LEFT) / max(len(values), 1)
    found: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            found.append([])
        else:
            y = HEIGHT - BOTTOM - _height(min(value, top), top)
            found[-1].append((LEFT + (place + 0.5) * step, y))
    # A single point would be no line: it becomes a short one.
    return [" ".join(f"{_r(x)},{_r(y)}" for x, y in _line(part)) for part in found if part]


def _line(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) > 1:
        return points
    x, y = points[0]
    return [(x - _SHORT, y), (x + _SHORT, y)]


def _height(value: float, top: float) -> float:
    return (HEIGHT - BOTTOM - TOP) * value / top


def _rows(top: float) -> list[Mark]:
    return [Mark(LEFT - 6, _r(HEIGHT - BOTTOM - _height(value, top)), f"{value:g}") for value in (0, top / 2, top)]


def _ticks(labels: Sequence[str]) -> list[Mark]:
    every = max(1, math.ceil(len(labels) / 5))
    step = (WIDTH - LEFT) / max(len(labels), 1)
    return [
        Mark(_r(min(LEFT + (n + 0.5) * step, WIDTH - _HALF_LABEL)), HEIGHT - 5, labels[n])
        for n in range(0, len(labels), every)
    ]


def _ceiling(value: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _r(value: float) -> float:
    return round(value, 1)
