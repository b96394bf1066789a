"""How fast questions are answered over a root of many calls: flow, pages of calls, and a call by its id.

PYTHONPATH=src python -m bench.query [--calls 20000] [--hours 24] [--packets 2] [--asks 300]

The calls are those of the load generator under fresh Call-IDs, written through a real pool, encoders and committer into
hourly buckets, which are then sealed. HTTP is asked of a real server on that root, one question at a time.
"""

import argparse
import http.client
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from bench.calls import Pattern, patterns, put
from bench.figures import Cell, Column, percentile, publish
from bench.running import Running

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US, now_us
from sipflow.errors import CallUnknown
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.query.window import Window
from sipflow.storage.layout import HOUR_US, Subdirs, find_buckets
from sipflow.storage.store import MIB, Store
from sipflow.wire.packet import Packet

T = TypeVar("T")

_POOL_MB = 256
_PATTERNS = 200

COLUMNS = (
    Column("question", "question"),
    Column("asks", "asks", ","),
    Column("p50_ms", "p50 ms", ".2f"),
    Column("p99_ms", "p99 ms", ".2f"),
    Column("worst_ms", "worst ms", ".2f"),
)


def call_id(number: int, pattern: Pattern) -> str:
    """Name the call of that number."""
    return f"{number:08x}-{pattern.call_id}"


def build(root: Path, calls: int, hours: int, some: list[Pattern]) -> dict[str, Cell]:
    """Write so many calls, spread over whole hours of the past; gives what the root holds and how long it took."""
    newest = now_us() // HOUR_US * HOUR_US
    step = hours * HOUR_US // calls
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-pool-") as scratch:
        pool = Pool.open(str(Path(scratch) / "pool"), _POOL_MB * MIB, now_us())
        # As an import: parts of its own, filed by packet time, sealed at the end.
        store = Store(root, pool, Subdirs.HOURLY, encoders=1, owner=os.getpid())
        store.start()
        intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
        try:
            put(written(calls, newest - hours * HOUR_US, step, some), intake, pool, now_us=now_us())
            intake.drain()
        finally:
            store.stop()
    octets = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
    return {
        "built_s": round(time.monotonic() - start, 1),
        "buckets": len(list(find_buckets(root))),
        "messages": store.committed.sip_messages,
        "octets_on_disk": octets,
    }


def written(calls: int, start_us: int, step_us: int, some: list[Pattern]) -> Iterator[Packet]:
    """Write the calls one after the other."""
    for number in range(calls):
        pattern = some[number % len(some)]
        yield from pattern.again(call_id(number, pattern), start_us + number * step_us)


def timed(question: str, ask: Callable[[T], object], about: Iterable[T]) -> dict[str, Cell]:
    """Ask one by one; gives the spread of the times."""
    took = []
    for one in about:
        start = time.perf_counter()
        ask(one)
        took.append((time.perf_counter() - start) * 1e3)
    return {
        "question": question,
        "asks": len(took),
        "p50_ms": percentile(took, 0.5),
        "p99_ms": percentile(took, 0.99),
        "worst_ms": max(took),
    }


def ask_history(root: Path, ids: list[str], user: str) -> list[dict[str, Cell]]:
    """Ask in this process."""

    def flow(one: str) -> None:
        if not history.flow(one).messages:
            raise RuntimeError(f"{one}: written, and not found")

    def unknown(number: int) -> None:
        try:
            history.call(f"unknown-{number}")
        except CallUnknown:
            return
        raise RuntimeError("a call was found that nobody made")

    def page(criteria: Criteria) -> None:
        if not history.calls(criteria).calls:
            raise RuntimeError("a page without calls")

    history = History.open(root)
    middle = Criteria(after=_cursor(history, history.call(ids[0]).last_us))
    rows = [
        timed("flow, first asks", flow, ids[:50]),
        timed("flow", flow, ids),
        timed("media", history.media, ids),
        timed("call by id", history.call, ids),
        timed("call by id, unknown", unknown, range(len(ids))),
        timed("page of 50, newest", page, [Criteria()] * 20),
        timed("page of 50, from the midst", page, [middle] * 20),
        timed("page of 50, one user", page, [Criteria(user=user)] * 20),
    ]
    history.close()
    return rows


def _cursor(history: History, end_us: int) -> str | None:
    """Find a cursor in the midst of the calls: the next page of those that began before `end_us`."""
    return history.calls(Criteria(window=Window(end_us=end_us), limit=1)).next


def ask_http(root: Path, ids: list[str]) -> list[dict[str, Cell]]:
    """Ask a real server, over one connection."""
    server = Running(root, "--pool-mb", "64")
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=60)

    def flow(one: str) -> None:
        get(f"/flow?callid={quote(one)}")

    def get(path: str) -> None:
        connection.request("GET", path)
        with connection.getresponse() as answer:
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path}: status {answer.status}")

    try:
        return [
            timed("HTTP /flow, first asks", flow, ids[:50]),
            timed("HTTP /flow", flow, ids),
            timed("HTTP /api/v1/calls, newest 50", get, ["/api/v1/calls"] * 20),
        ]
    finally:
        connection.close()
        server.stop()


def main() -> None:
    """Build the root, ask, print one table and leave it as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=20_000, help="stored calls; 1000000 takes a quarter of an hour")
    options.add_argument("--hours", type=int, default=24, help="buckets they are spread over")
    options.add_argument("--packets", type=int, default=2, help="RTP packets of each stream")
    options.add_argument("--asks", type=int, default=300)
    options.add_argument("--dir", type=Path, help="where the data root is made")
    asked = options.parse_args()
    some = patterns(_PATTERNS, asked.packets)
    chance = random.Random(1)
    numbers = [chance.randrange(asked.calls) for _ in range(asked.asks)]
    ids = [call_id(number, some[number % len(some)]) for number in numbers]
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=asked.dir) as directory:
        root = Path(directory)
        built = build(root, asked.calls, asked.hours, some)
        history = History.open(root)
        user = history.call(ids[0]).from_user
        history.close()
        rows = ask_history(root, ids, user) + ask_http(root, ids)
    title = f"query: {asked.calls} calls in {built['buckets']} buckets, built in {built['built_s']} s"
    publish("query", title, COLUMNS, rows, calls=asked.calls, hours=asked.hours, packets=asked.packets, **built)


if __name__ == "__main__":
    main()
