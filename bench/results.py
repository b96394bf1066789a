"""bench/results/bench.json: what was found on this machine, and the table of it that stands in the README."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from bench.figures import Findings, Line, commit, machine, table

PATH = Path(__file__).resolve().parent / "results" / "bench.json"
README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- bench: begin, written by python -m bench --readme -->", "<!-- bench: end -->"


class Measured(msgspec.Struct, frozen=True):
    """What one benchmark found, when, on which commit; the load averages are those of the machine around it."""

    findings: Findings
    date: str
    commit: str
    quick: bool
    runs: int
    seconds: float
    load_before: float
    load_after: float


class Results(msgspec.Struct):
    """All benchmarks that were run on one machine, by name; one that failed says why."""

    machine: dict[str, Any]
    benches: dict[str, Measured]
    failed: dict[str, str] = {}


def load(path: Path) -> Results:
    """Read what was found before; nothing when there is nothing, or it was found on another machine."""
    here = machine()
    if path.exists():
        found = msgspec.json.decode(path.read_bytes(), type=Results)
        if found.machine == here:
            return found
    return Results(here, {})


def read(path: Path) -> Results:
    """Read what was found, wherever. Raises FileNotFoundError."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(results: Results, path: Path) -> None:
    """Write everything, as one file."""
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    fresh.replace(path)


def measured(findings: Findings, *, quick: bool, runs: int, seconds: float, load_before: float) -> Measured:
    """Note what was found, and the circumstances."""
    return Measured(
        findings,
        datetime.now(UTC).isoformat(timespec="seconds"),
        commit(),
        quick,
        runs,
        round(seconds, 1),
        round(load_before, 2),
        round(os.getloadavg()[0], 2),
    )


def printed(name: str, found: Measured) -> str:
    """Write one benchmark for a terminal."""
    head = f"{name}: {found.findings.title} ({found.seconds:.0f} s, load {found.load_before} to {found.load_after})"
    return f"{head}\n{table(found.findings.columns, found.findings.rows)}\n"


def markdown(results: Results) -> str:
    """Write the lines of all benchmarks as a table, with what they were measured on."""
    lines = ["| what | figure | aim |", "|------|--------|-----|"]
    for name, found in results.benches.items():
        lines += [_row(name, line, quick=found.quick) for line in found.findings.lines]
    return "\n".join([*lines, "", _circumstances(results)])


def _row(name: str, line: Line, *, quick: bool) -> str:
    cells = (f"{line.what} (`{name}`{', quick' if quick else ''})", line.figure, line.aim)
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _circumstances(results: Results) -> str:
    facts = results.machine
    every = list(results.benches.values())
    commits = sorted({found.commit for found in every})
    dates = sorted(found.date[:10] for found in every)
    when = dates[0] if dates[:1] == dates[-1:] else f"{dates[0]} to {dates[-1]}"
    loads = [found.load_before for found in every]
    return (
        f"{facts['processors']} processors ({facts['processor']}), {facts['memory_mb'] / 1024:.0f} GB, Linux "
        f"{facts['kernel']}, Python {facts['python']}; commit {', '.join(commits)}, {when}; load average before each "
        f"between {min(loads):.1f} and {max(loads):.1f}. Sender and server share the machine. Medians; in brackets "
        "from where to where."
    )


def rewritten(page: str, block: str) -> str:
    """Put a table in its place in the README. Raises ValueError when the page has no such place, or two."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"looked for one {BEGIN!r} and one {END!r} behind it")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{block}\n{END}{rest.partition(END)[2]}"
