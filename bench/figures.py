"""What a measurement finds: rows of cells, a table for people, and the few lines that belong into the README."""

import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec


class NothingToMeasure(Exception):
    """What a benchmark needs is not on this machine."""


class Spread(msgspec.Struct, frozen=True):
    """A figure measured several times."""

    median: float
    min: float
    max: float
    runs: int


Cell = str | int | float | Spread | None
Row = dict[str, Cell]

_LIMITS = ("core/rmem_max", "core/rmem_default", "core/wmem_max", "core/netdev_max_backlog", "ipv4/udp_mem")


class Column(msgspec.Struct, frozen=True):
    """One column of a table: the key of its values, its heading, and how a value is written (a format spec)."""

    key: str
    head: str
    form: str = ""

    def write(self, value: Cell) -> str:
        """Write one value, the median of several; a dash where there is none."""
        if isinstance(value, Spread):
            value = value.median
        if isinstance(value, float) and self.form == ",":
            value = round(value)
        return "-" if value is None else value if isinstance(value, str) else format(value, self.form)


class Line(msgspec.Struct, frozen=True):
    """One line of the README: what was measured, what came out, and what the project aims at."""

    what: str
    figure: str
    aim: str = ""


class Findings(msgspec.Struct, frozen=True):
    """All that one benchmark found."""

    title: str
    columns: list[Column]
    rows: list[Row]
    settings: Mapping[str, str | int | float | None] = {}
    lines: list[Line] = []


class Scale(msgspec.Struct, frozen=True):
    """How much is measured: a try of two minutes in all or the whole, and where.

    `directory` takes the data roots (None: the system's for temporary files), `captures` holds real captures.
    """

    quick: bool
    runs: int = 3
    directory: Path | None = None
    captures: Path | None = None


def spread(values: Iterable[float]) -> Spread:
    """Sum up what several runs found. Raises ValueError when there is none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no run, no figure")
    return Spread(percentile(ordered, 0.5), ordered[0], ordered[-1], len(ordered))


def spread_rows(runs: Sequence[Row]) -> Row:
    """Make one row of several: a Spread where numbers differ, the value where they do not."""
    found: Row = {}
    for key, first in runs[0].items():
        values = [run.get(key) for run in runs]
        numbers = [value for value in values if isinstance(value, int | float)]
        found[key] = spread(numbers) if len(numbers) == len(values) and len(set(numbers)) > 1 else first
    return found


def written(cell: Cell, form: str = ",.0f") -> str:
    """Write a figure for the README: the median, and from where to where when it was measured several times."""
    if not isinstance(cell, Spread):
        return Column("", "", form).write(cell)
    low, high = format(cell.min, form), format(cell.max, form)
    return format(cell.median, form) if low == high else f"{format(cell.median, form)} ({low} to {high})"


def percentile(values: Iterable[float], share: float) -> float:
    """Give the value below which `share` (0 to 1) of the values lie; the median is 0.5. 0 when there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Cell]]) -> str:
    """Write rows for a terminal, one column of text and the others to the right."""
    texts = [[column.write(row.get(column.key)) for column in columns] for row in rows]
    lines = [[column.head for column in columns], *texts]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def machine() -> dict[str, Any]:
    """Describe the machine: processor, memory, versions and kernel limits."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found: dict[str, Any] = {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_mb": memory >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    for name in _LIMITS:
        path = Path("/proc/sys/net") / name
        found[name] = path.read_text("ascii").strip().replace("\t", " ") if path.exists() else None
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit() -> str:
    """Name the commit that is measured, with a mark when files differ from it; empty outside a checkout."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--tags"],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()
