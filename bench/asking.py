"""Questions asked at a steady pace while a server is busy: their times from the moment they were due."""

import itertools
import random
import threading
import time
from collections import deque
from contextlib import closing
from http.client import HTTPException
from types import TracebackType
from urllib.parse import quote

import msgspec
from bench.figures import Row, percentile
from bench.query import Client

_THREADS = 8
_LISTED = 50
_LIST_SECONDS = 1.0
_EARLIER_PAGES = 15


class _Call(msgspec.Struct):
    call_id: str


class _Page(msgspec.Struct):
    calls: list[_Call]


class Asking:
    """Asks for flows of live calls and of earlier ones, once a second for a page of the newest; from `with` to its end.

    Live are the newest of the moment, earlier those that were listed a quarter of a minute before.

    A question that is due while all threads wait for answers counts from when it was due.
    """

    def __init__(self, port: int, per_second: int) -> None:
        self._port = port
        self._every = 1 / per_second if per_second else 0.0
        self._stop = threading.Event()
        self._live: list[_Call] = []
        self._earlier: list[_Call] = []
        self._took: dict[str, list[float]] = {"live": [], "earlier": [], "page": []}
        self._failed = 0
        self._lock = threading.Lock()
        self._turns = itertools.count()
        self._start = 0.0
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(_THREADS)]
        self._threads.append(threading.Thread(target=self._list, daemon=True))

    def __enter__(self) -> "Asking":
        if self._every:
            self._start = time.perf_counter()
            for thread in self._threads:
                thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.pause()

    def pause(self) -> None:
        """Ask no more."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _list(self) -> None:
        pages: deque[list[_Call]] = deque()
        with closing(Client(self._port)) as client:
            while not self._stop.wait(_LIST_SECONDS):
                body = self._timed(client, "page", f"/api/v1/calls?limit={_LISTED}", time.perf_counter())
                if body is not None:
                    self._live = msgspec.json.decode(body, type=_Page).calls
                    pages.append(self._live)
                if len(pages) > _EARLIER_PAGES:
                    self._earlier = pages.popleft()

    def _ask(self) -> None:
        chance = random.Random(threading.get_ident())
        with closing(Client(self._port)) as client:
            while not self._stop.is_set():
                due = self._start + next(self._turns) * self._every
                if self._stop.wait(max(0.0, due - time.perf_counter())):
                    return
                kind, calls = chance.choice((("live", self._live), ("earlier", self._earlier)))
                if calls:
                    call = chance.choice(calls)
                    self._timed(client, kind, f"/flow?callid={quote(call.call_id)}", due)

    def _timed(self, client: Client, kind: str, path: str, due: float) -> bytes | None:
        try:
            body = client.get(path)
        except (RuntimeError, OSError, HTTPException):
            client.close()  # the next question opens it again
            with self._lock:
                self._failed += 1
            return None
        with self._lock:
            self._took[kind].append((time.perf_counter() - due) * 1e3)
        return body

    def found(self) -> Row:
        """Sum the times up [ms]."""
        if not self._every:
            return {}
        found: Row = {"questions": sum(map(len, self._took.values())), "questions_failed": self._failed}
        for kind, took in self._took.items():
            found |= {f"{kind}_asks": len(took), f"{kind}_p50_ms": percentile(took, 0.5) if took else None,
                      f"{kind}_p99_ms": percentile(took, 0.99) if took else None}  # fmt: skip
        return found
