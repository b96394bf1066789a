"""Whether a packet costs the same however many calls there are, and however long the hour has lasted.

The same rate is sent from 100 to 20,000 calls at a time, then to a root whose open bucket already holds the index of an
hour. The cost is the processor time of the whole recorder a packet; a ratio of 1 is flat.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.archive import multiply_media
from bench.figures import Cell, Column, Findings, Line, Row, Scale, Spread, spread_rows, written
from bench.ingest import THREADS, Scenario, served
from bench.sending import Load

from sipflow.storage.layout import DATABASE

_CALLS = (100, 1_000, 10_000, 20_000)
_CALLS_QUICK = (100, 10_000)
_HOUR_CALLS = 1_000
# The end of a run closes every chunk that is open, full or not, and the more calls there are the more of them it
# closes: of a long run that is a small part.
_SPREAD_SECONDS = 90.0

COLUMNS = [
    Column("case", "case"),
    Column("rate", "sent/s", ",.0f"),
    Column("sent", "sent", ","),
    Column("stored", "stored", ","),
    *(Column(f"{name}_us", name, ".2f") for name in THREADS),
    Column("cpu_us", "cpu us", ".2f"),
    Column("to_first", "to first", ".2f"),
]


def measure(scale: Scale) -> Findings:
    """Measure both."""
    seconds, spread_seconds = (4.0, 4.0) if scale.quick else (20.0, _SPREAD_SECONDS)
    calls = _CALLS_QUICK if scale.quick else _CALLS
    rate = 100_000 if scale.quick else 400_000
    index_rows = 1_000_000 if scale.quick else 10_000_000
    runs = [_by_calls(calls, rate, spread_seconds, scale.directory) for _ in range(scale.runs)]
    by_calls = [spread_rows(of_one) for of_one in zip(*runs, strict=True)]
    by_hour = [
        spread_rows(of_one)
        for of_one in zip(
            *[_by_hour(rate, seconds, index_rows, scale.directory) for _ in range(scale.runs)], strict=True
        )
    ]
    lines = [
        Line(f"cost of a packet from {calls[0]} to {calls[-1]:,} calls at a time: highest to that at {calls[0]}",
             written(max((row["to_first"] for row in by_calls), key=_number), ".2f"), "1.2"),
        Line(f"cost of a packet with {index_rows:,} rows in the open bucket, to that with none",
             written(by_hour[-1]["to_first"], ".2f"), "1.2"),
    ]  # fmt: skip
    settings = {"rate": rate, "seconds": seconds, "spread_seconds": spread_seconds, "index_rows": index_rows}
    return Findings(
        f"{rate:,} packets/s, {spread_seconds:g} and {seconds:g} s each",
        COLUMNS,
        by_calls + by_hour,
        dict(settings),
        lines,
    )


def _by_calls(several: Sequence[int], rate: int, seconds: float, directory: Path | None) -> list[Row]:
    rows = []
    for calls in several:
        with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
            row = served(Path(scratch) / "data", Scenario("flatness", "", Load(calls, rate)), seconds)
        rows.append({"case": f"{calls:,} calls", **row})
    return _to_first(rows)


def _by_hour(rate: int, seconds: float, index_rows: int, directory: Path | None) -> list[Row]:
    """Send twice to one root with one bucket, whose index is filled up in between."""
    scenario = Scenario("flatness", "", Load(_HOUR_CALLS, rate))
    options = ("--subdirs", "none")
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
        root = Path(scratch) / "data"
        empty = served(root, scenario, seconds, options)
        multiply_media(root / DATABASE, index_rows)
        full = served(root, scenario, seconds, options)
    return _to_first([{"case": "an empty bucket", **empty}, {"case": f"{index_rows:,} rows in it", **full}])


def _to_first(rows: list[Row]) -> list[Row]:
    first = _number(rows[0]["cpu_us"])
    return [{**row, "to_first": _number(row["cpu_us"]) / first if first else None} for row in rows]


def _number(cell: Cell) -> float:
    return cell.median if isinstance(cell, Spread) else float(cell) if isinstance(cell, int | float) else 0.0
