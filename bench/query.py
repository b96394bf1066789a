"""How fast questions are answered over many days of calls: a call's flow, a call by its id, pages of calls.

python -m bench.query [--hours 720] [--calls 40000] [--real 7] [--media 60] [--asks 1000] [--directory DIR] [--again 1]

The root is that of bench/archive.py: indexes and catalog of full size. Cold means that catalog, indexes and data were
dropped from the page cache and nothing was open. HTTP is asked of a real server on that root: one question at a time,
and eight at a time. Right after the start it checks the catalog and counts the last day beside the questions; the
other rows of HTTP are asked once it rests. It does not pack: buckets that share their files with others cannot
be packed.
"""

import argparse
import http.client
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from bench.archive import Archive, build, evict
from bench.figures import Column, Findings, Line, Row, Scale, percentile, table, written
from bench.running import Running, cpu_by_thread, memory_of

from sipflow.clock import SECOND_US
from sipflow.errors import CallUnknown
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.query.window import Window

T = TypeVar("T")

_SIDE_BY_SIDE = 8
_REST_WITHIN_SECONDS = 600
_AT_REST = 0.03  # of a processor; the audit of a catalog takes more, its sign of life less

COLUMNS = [
    Column("question", "question"),
    Column("asks", "asks", ","),
    Column("p50_ms", "p50 ms", ".2f"),
    Column("p99_ms", "p99 ms", ".2f"),
    Column("worst_ms", "worst ms", ".2f"),
]


class Size(NamedTuple):
    """How much there is to look through, and how often it is asked."""

    hours: int
    calls: int  # an hour
    real: int  # hours that were really written
    media: int  # index rows of media a call
    asks: int


FULL = Size(720, 40_000, 7, 60, 1000)
QUICK = Size(72, 4_000, 3, 20, 200)


def measure(scale: Scale) -> Findings:
    """Build the root, ask."""
    size = QUICK if scale.quick else FULL
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=scale.directory) as directory:
        archive = build(Path(directory), size.hours, size.calls, size.real, size.media)
        rows = ask(archive, size)
    by_question = {str(row["question"]): row for row in rows}

    def p99(*questions: str) -> str:
        return " / ".join(written(by_question[one]["p99_ms"], ".1f") for one in questions)

    title = f"{archive.stored_calls:,} calls in {archive.parts} buckets"
    lines = [
        Line(f"{title}: `/flow` of a finished call over HTTP; right after the start; with nothing in memory [ms, 99th "
             "percentile]", p99("HTTP /flow", "HTTP /flow, right after the start", "flow, cold"), "5"),
        Line(f"{title}: a call by its id, an unknown id [ms, 99th percentile]",
             p99("call by id", "call by id, unknown")),
        Line(f"{title}: a page of 50 calls, newest; from the midst [ms, 99th percentile]",
             p99("page of 50, newest", "page of 50, from the midst"), "50"),
    ]  # fmt: skip
    settings = {
        **size._asdict(),
        "built_s": archive.seconds,
        "catalog_octets": archive.catalog_octets,
        "index_octets": archive.index_octets,
    }
    return Findings(title, COLUMNS, rows, settings, lines)


def ask(archive: Archive, size: Size) -> list[Row]:
    """Ask everything, in this process and over HTTP."""
    chance = random.Random(1)
    ids = [chance.choice(archive.calls) for _ in range(size.asks)]
    # The first ask of a call that nobody asked for before.
    fresh = chance.sample(archive.calls, 100)
    return [
        *ask_cold(archive.root, fresh[:20], size),
        *ask_history(archive.root, ids, archive.calls[: size.calls]),
        *ask_http(archive.root, ids),
    ]


def timed(question: str, work: Callable[[T], object], about: Iterable[T]) -> Row:
    """Ask one by one; gives the spread of the times."""
    return _times(question, [_seconds(work, one) for one in about])


def _seconds(work: Callable[[T], object], one: T) -> float:
    start = time.perf_counter()
    work(one)
    return time.perf_counter() - start


def _times(question: str, took: Sequence[float]) -> Row:
    found = [one * 1e3 for one in took]
    return {
        "question": question,
        "asks": len(found),
        "p50_ms": percentile(found, 0.5),
        "p99_ms": percentile(found, 0.99),
        "worst_ms": max(found),
    }


def ask_cold(root: Path, ids: list[str], size: Size) -> list[Row]:
    """Ask each time with nothing open and nothing of the root in memory."""
    found: dict[str, list[float]] = {}
    for one in ids:
        for question, work in (
            ("flow, cold", lambda history, one=one: _flow(history, one)),
            ("page of 50, newest, cold", lambda history, _one=one: _page(history, Criteria())),
        ):
            evict(root)
            with closing(History.open(root)) as history:
                found.setdefault(question, []).append(_seconds(work, history))
    del size
    return [_times(question, took) for question, took in found.items()]


def _flow(history: History, one: str) -> None:
    found = history.flow(one)
    if found.faults or not found.messages:
        raise RuntimeError(f"{one}: written, and not found; {found.faults}")


def _page(history: History, criteria: Criteria) -> None:
    found = history.calls(criteria)
    if found.faults or not found.calls:
        raise RuntimeError(f"a page of {len(found.calls)} calls; {found.faults}")


def ask_history(root: Path, ids: list[str], oldest: list[str]) -> list[Row]:
    """Ask in this process."""

    def unknown(number: int) -> None:
        try:
            history.call(f"unknown-{number}")
        except CallUnknown:
            return
        raise RuntimeError("a call was found that nobody made")

    with closing(History.open(root)) as history:
        some = history.call(ids[0])
        middle = Criteria(after=history.calls(Criteria(window=Window(end_us=some.last_us), limit=1)).next)
        day = Window(some.first_us - 12 * 3600 * SECOND_US, some.last_us)
        pages = range(max(20, len(ids) // 10))
        return [
            timed("flow", lambda one: _flow(history, one), ids),
            timed("flow, of the oldest hour", lambda one: _flow(history, one), oldest[: len(ids)]),
            timed("media", history.media, ids[: len(pages)]),
            timed("call by id", history.call, ids),
            timed("call by id, unknown", unknown, range(len(ids))),
            timed("page of 50, newest", lambda _: _page(history, Criteria()), pages),
            timed("page of 50, from the midst", lambda _: _page(history, middle), pages),
            timed("page of 50, of half a day", lambda _: _page(history, Criteria(window=day)), pages),
            timed("page of 50, one user", lambda _: _page(history, Criteria(user=some.from_user)), range(20)),
        ]


def ask_http(root: Path, ids: list[str]) -> list[Row]:
    """Ask a real server."""
    server = Running(root, "--pool-mb", "64", "--no-pack")
    paths = [f"/flow?callid={quote(one)}" for one in ids]
    try:
        with closing(Client(server.http)) as client:
            rows = [timed("HTTP /flow, right after the start", client.get, paths)]
        _wait_until_at_rest(server.reader)
        with closing(Client(server.http)) as client:
            rows += [
                timed("HTTP /flow", client.get, paths),
                timed("HTTP /api/v1/calls, newest 50", client.get, ["/api/v1/calls"] * 50),
            ]
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
            shares = [paths[n::_SIDE_BY_SIDE] for n in range(_SIDE_BY_SIDE)]
            took = [one for share in threads.map(lambda share: _ask_alone(server.http, share), shares) for one in share]
        rows.append(_times(f"HTTP /flow, {_SIDE_BY_SIDE} at a time", took))
        rows[-1]["reader_mb"] = memory_of(server.reader).private
    finally:
        server.stop()
    return rows


def _wait_until_at_rest(reader: int) -> None:
    """Wait until a reader does nothing of its own any more. Raises TimeoutError."""
    end = time.monotonic() + _REST_WITHIN_SECONDS
    worked = sum(cpu_by_thread(reader).values())
    while time.monotonic() < end:
        time.sleep(1)
        before, worked = worked, sum(cpu_by_thread(reader).values())
        if worked - before < _AT_REST:
            return
    raise TimeoutError(f"after {_REST_WITHIN_SECONDS} s the reader still works by itself")


def _ask_alone(port: int, paths: list[str]) -> list[float]:
    with closing(Client(port)) as client:
        return [_seconds(client.get, path) for path in paths]


class Client:
    """One connection to a server, kept open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Ask. Raises RuntimeError for any other answer than 200, or 206 to a range."""
        self._connection.request("GET", path, headers=headers or {})
        with self._connection.getresponse() as answer:
            body = answer.read()
            if answer.status not in (200, 206):
                raise RuntimeError(f"{path}: status {answer.status}")
        return body

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def main() -> None:
    """Measure sizes of one's own."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in FULL._asdict().items():
        options.add_argument(f"--{name}", type=int, default=value)
    options.add_argument("--directory", type=Path, help="where the root is made, instead of /tmp")
    options.add_argument("--again", type=int, default=1, help="ask everything so many times")
    asked = options.parse_args()
    size = Size(*(getattr(asked, name) for name in Size._fields))
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=asked.directory) as directory:
        archive = build(Path(directory), *size[:4])
        for _ in range(asked.again):
            print(table(COLUMNS, ask(archive, size)), flush=True)


if __name__ == "__main__":
    main()
