"""How fast the pages of the console are with a million calls stored: at the server, and ladders in a browser.

python -m bench.pages [--hours 25] [--calls 40000] [--asks 40] [--root DIR] [--no-browser]

Each page and its JSON twin is asked of a real server over HTTP, one after the other, pages of calls each time for
another call. The first ask is told apart: the server has just been started. Ladders are drawn by Chromium: from
the last octet of the page to the first frame that shows all of it; at the first ask it knows nothing of the console
yet. What a ladder takes is what it takes more than a page without a call, which is mostly the start of a tab.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from bench.figures import Column, Findings, Line, Row, Scale, percentile, table, written
from bench.query import Client
from bench.running import Running, cpu_by_thread
from bench.showpieces import HOUR_LONG, MANY, Showpieces, stand

from sipflow.clock import SECOND_US, now_us

COLUMNS = [
    Column("page", "page"),
    Column("first_ms", "first ms", ",.0f"),
    Column("p50_ms", "p50 ms", ",.1f"),
    Column("p95_ms", "p95 ms", ",.1f"),
    Column("cpu_ms", "CPU ms", ",.1f"),
    Column("octets", "octets", ","),
]
_CHROMIUM = os.environ.get("SIPFLOW_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
_DRAWS = 15
_RANGE_OCTETS = 256 << 10
_RECORDED_OCTETS = 100 << 20  # of an hour in stereo, at least
# After everything has loaded a frame is asked for, and once that is painted the time is taken.
_WATCH = """addEventListener("load", () => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => performance.mark("drawn");
  channel.port2.postMessage(0);
}));"""
_DRAWN = """() => performance.getEntriesByName("drawn").length
  && performance.getEntriesByName("drawn")[0].startTime - performance.getEntriesByType("navigation")[0].responseEnd"""


class Size(NamedTuple):
    """How many calls, and how often each page is asked for."""

    hours: int
    calls: int  # an hour
    asks: int


FULL, QUICK = Size(25, 40_000, 40), Size(3, 4_000, 10)


class _Counting(msgspec.Struct):
    counting: int = 0


class _Named(msgspec.Struct):
    name: str


class _Grouped(msgspec.Struct):
    agents: list[_Named]


class Asked(NamedTuple):
    """A page and what is asked for, turn by turn; `ranged` asks each time for another range of it."""

    page: str
    path: Callable[[int], str]
    ranged: bool = False


def measure(scale: Scale) -> Findings:
    """Build the root, ask."""
    size = QUICK if scale.quick else FULL
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=scale.directory) as directory:
        made = stand(Path(directory) / "root", size.hours, size.calls)
        rows = ask(Path(directory) / "root", made, size.asks, browser=Path(_CHROMIUM).exists())
    title = f"{made.stored_calls:,} calls stored"
    pages = [row for row in rows if str(row["page"]).startswith("/")]
    slowest = max(pages, key=lambda row: float(str(row["p95_ms"])))
    lines = [
        Line(f"{title}: the slowest page of the console ({slowest['page']}) at the server [ms, 95th percentile]",
             written(slowest["p95_ms"], ".0f"), "100"),
        *(
            Line(f"{row['page']} [ms, median]", written(row["p50_ms"], ".0f"), "200")
            for row in rows if "1,000 messages in" in str(row["page"])
        ),
    ]  # fmt: skip
    settings = {**size._asdict(), "built_s": made.seconds, "index_octets": made.index_octets}
    return Findings(title, COLUMNS, rows, settings, lines)


def ask(root: Path, made: Showpieces, asks: int, *, browser: bool) -> list[Row]:
    """Ask a server of its own for everything."""
    server = Running(root, "--pool-mb", "64", "--no-pack")
    try:
        with closing(Client(server.http)) as client:
            rows = [_counted(client)]
            for one in _pages(made, _group(client)):
                rows.append(_timed(client, one, asks, server.reader))
                print(table(COLUMNS[:5], rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
        if browser:
            drawn = {"a page without a call": "/settings", "a short call": f"/calls/{quote(made.calls[0], safe='')}"}
            drawn |= {
                f"the ladder of {count:,} messages": f"/calls/{quote(call_id, safe='')}"
                for count, call_id in MANY.items()
            }
            rows += [_drawn(server.http, what, path) for what, path in drawn.items()]
    finally:
        server.stop()
    return rows


def _counted(client: Client) -> Row:
    """Wait until the server has counted the calls of the last day, as it does when it starts."""
    begin = time.perf_counter()
    since = (now_us() // SECOND_US) - 26 * 3600
    while msgspec.json.decode(client.get(f"/api/v1/statistics?since={since}"), type=_Counting).counting:
        time.sleep(0.2)
    took = (time.perf_counter() - begin) * 1e3
    return {"page": "calls counted, after the start", "first_ms": took, "p50_ms": None, "p95_ms": None, "octets": None}


def _group(client: Client) -> str:
    """Name the user agent with the most attempts, as a parameter is written."""
    agents = msgspec.json.decode(client.get("/api/v1/statistics"), type=_Grouped).agents
    return quote(f"agent:{agents[0].name}", safe="")


def _pages(made: Showpieces, group: str) -> Iterator[Asked]:
    chance = random.Random(1)
    calls = [quote(one, safe="") for one in chance.sample(made.calls, min(1000, len(made.calls)))]
    hour = quote(HOUR_LONG, safe="")
    day = (now_us() // SECOND_US) - 24 * 3600

    def call(turn: int) -> str:
        return calls[turn % len(calls)]

    for page, path in {
        "/": "/",
        "/api/v1/now": "/api/v1/now",
        "/calls": "/calls",
        "/api/v1/calls": "/api/v1/calls",
        "/calls, failed": "/calls?q=status:failed",
        "/calls, of a user": "/calls?q=from:*7*",
        "/statistics": "/statistics",
        "/api/v1/statistics": f"/api/v1/statistics?since={day}",
        "/statistics, of a week": "/statistics?range=7d",
        "/statistics, of a group": f"/statistics?of={group}",
        "/api/v1/statistics, of a group": f"/api/v1/statistics?since={day}&of={group}",
        "/registrations": "/registrations",
        "/api/v1/registrations": f"/api/v1/registrations?since={day}",
        "/nodes": "/nodes",
        "/api/v1/nodes": "/api/v1/nodes",
        "/settings": "/settings",
        "/api/v1/settings": "/api/v1/settings",
        **{f"/calls/ID, {count:,} messages": f"/calls/{quote(one, safe='')}" for count, one in MANY.items()},
        "/calls/ID, an hour": f"/calls/{hour}",
        "/calls/ID/quality, an hour": f"/calls/{hour}/quality",
        "/api/v1/calls/ID/peaks, an hour": f"/api/v1/calls/{hour}/peaks?width=1600",
        "/api/v1/calls/ID/timeline, an hour": f"/api/v1/calls/{hour}/timeline",
    }.items():
        yield Asked(page, lambda _, path=path: path)  # type: ignore[misc]
    for view in ("", "/message?n=1", "/compare?a=1&b=2", "/quality"):
        yield Asked(f"/calls/ID{view}", lambda turn, view=view: f"/calls/{call(turn)}{view}")  # type: ignore[misc]
    for view in ("", "/flow", "/quality", "/diagnosis", "/timeline", "/compare?a=1&b=2"):
        yield Asked(f"/api/v1/calls/ID{view}", lambda turn, view=view: f"/api/v1/calls/{call(turn)}{view}")  # type: ignore[misc]
    # As a player seeks.
    yield Asked("/api/v1/calls/ID/media.wav, ranges of an hour", lambda _: f"/api/v1/calls/{hour}/media.wav", True)


def _timed(client: Client, one: Asked, asks: int, reader: int) -> Row:
    """Ask; CPU is what the answering process spent on an ask after the first, whatever else the machine does."""
    took, octets, spent = [], 0, 0.0
    for turn in range(asks + 1):
        headers = {}
        if one.ranged:
            start = (turn * 7919 * _RANGE_OCTETS) % _RECORDED_OCTETS
            headers = {"Range": f"bytes={start}-{start + _RANGE_OCTETS - 1}"}
        begin = time.perf_counter()
        octets = len(client.get(one.path(turn), headers))
        took.append((time.perf_counter() - begin) * 1e3)
        if turn == 0:
            spent = sum(cpu_by_thread(reader).values())
    later = took[1:]
    return {
        "page": one.page,
        "first_ms": took[0],
        "p50_ms": percentile(later, 0.5),
        "p95_ms": percentile(later, 0.95),
        "cpu_ms": (sum(cpu_by_thread(reader).values()) - spent) * 1e3 / asks,
        "octets": octets,
    }


def _drawn(port: int, what: str, path: str) -> Row:
    """Draw a page, each time in a tab of its own; the first finds an empty cache."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a machine without it measures the server

    took = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        for _ in range(_DRAWS + 1):
            page = context.new_page()
            page.add_init_script(_WATCH)
            page.goto(f"http://127.0.0.1:{port}{path}")
            found: Any = page.wait_for_function(_DRAWN).json_value()
            took.append(float(found))
            page.close()
        browser.close()
    later = took[1:]
    return {
        "page": f"{what} in Chromium",
        "first_ms": took[0],
        "p50_ms": percentile(later, 0.5),
        "p95_ms": percentile(later, 0.95),
        "octets": None,
    }


def main() -> None:
    """Measure sizes of one's own; a root that stands already is used as it is."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in FULL._asdict().items():
        options.add_argument(f"--{name}", type=int, default=value)
    options.add_argument("--root", type=Path, help="made when it does not exist; left where it is")
    options.add_argument("--no-browser", action="store_true", help="measure the server alone")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-") as directory:
        root = asked.root or Path(directory) / "root"
        made = stand(root, asked.hours, asked.calls)
        browser = not asked.no_browser and Path(_CHROMIUM).exists()
        print(table(COLUMNS, ask(root, made, asked.asks, browser=browser)))


if __name__ == "__main__":
    main()
