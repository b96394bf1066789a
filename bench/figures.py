"""What a measurement found: one table for people, one JSON file in bench/results with the machine it was made on."""

import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"

Cell = str | int | float | None

_LIMITS = ("core/rmem_max", "core/rmem_default", "core/wmem_max", "core/netdev_max_backlog", "ipv4/udp_mem")


@dataclass(frozen=True)
class Column:
    """One column of a table: the key of its values, its heading, and how a value is written (a format spec)."""

    key: str
    head: str
    form: str = ""

    def write(self, value: Cell) -> str:
        """Write one value; a dash where there is none."""
        return "-" if value is None else format(value, self.form)


def machine() -> dict[str, Cell]:
    """Describe the machine: processor, memory, versions, kernel limits and how busy it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found: dict[str, Cell] = {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_mb": memory >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_average": round(os.getloadavg()[0], 2),
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


def percentile(values: Iterable[float], share: float) -> float:
    """Give the value below which `share` (0 to 1) of the values lie; the median is 0.5. 0 when there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def publish(
    name: str, title: str, columns: Sequence[Column], rows: Sequence[Mapping[str, Cell]], **settings: Cell
) -> Path:
    """Print the rows as a table and write them, every key of them, to bench/results/NAME.json; gives the file."""
    print(title)
    texts = [[column.write(row.get(column.key)) for column in columns] for row in rows]
    widths = [max(len(column.head), *(len(text[i]) for text in texts)) for i, column in enumerate(columns)]
    for line in [[column.head for column in columns], *texts]:
        first, *rest = (text.rjust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *rest]))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    found = {"machine": machine(), "settings": settings, "rows": [dict(row) for row in rows]}
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"({path})")
    return path
