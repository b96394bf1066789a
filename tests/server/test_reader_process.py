"""The reader as a process: one that died or hangs is started again, one that works is let alone."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sipflow.config import Address
from sipflow.orders import ReaderOrders
from sipflow.ports import bind_http
from sipflow.reader_process import ReaderProcess
from sipflow.web.status import ReaderRestarts

SILENCE_SECONDS = 3.0  # the reader beats every second
DEADLINE_SECONDS = 60.0


@pytest.fixture
def http() -> Iterator[socket.socket]:
    with bind_http(Address("127.0.0.1", 0)) as sock:
        yield sock


def make(root: Path, http: socket.socket) -> ReaderProcess:
    address = Address(*http.getsockname()[:2])
    orders = ReaderOrders(str(root), http.fileno(), str(address), None, [], "info")
    return ReaderProcess(orders, SILENCE_SECONDS)


def watch_until(reader: ReaderProcess, condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < until
        reader.watch()
        time.sleep(0.05)


def answers(http: socket.socket) -> bool:
    try:
        # No recorder stands behind it: it says so, and that is an answer.
        return httpx.get(f"http://127.0.0.1:{http.getsockname()[1]}/health", timeout=0.5).status_code == 503
    except httpx.TransportError:
        return False


def test_a_reader_that_hangs_is_killed_and_another_one_answers(tmp_path: Path, http: socket.socket) -> None:
    reader = make(tmp_path, http)
    try:
        watch_until(reader, lambda: answers(http))
        first = reader.pid
        assert first is not None
        # One that works is let alone for longer than the silence that is borne.
        since = time.monotonic()
        watch_until(reader, lambda: time.monotonic() - since > SILENCE_SECONDS + 1)
        assert (reader.pid, reader.restarts) == (first, ReaderRestarts())
        os.kill(first, signal.SIGSTOP)
        stopped = time.monotonic()
        watch_until(reader, lambda: reader.restarts.hung > 0)
        assert time.monotonic() - stopped >= SILENCE_SECONDS - 1.5  # the last beat may be so old
        assert not Path(f"/proc/{first}").exists()
        watch_until(reader, lambda: answers(http))
        assert reader.pid != first
        assert (reader.restarts.died, reader.restarts.hung) == (0, 1)
    finally:
        reader.stop()


def test_a_watch_that_was_held_up_itself_takes_nobody_for_hanging(tmp_path: Path, http: socket.socket) -> None:
    reader = make(tmp_path, http)
    try:
        watch_until(reader, lambda: answers(http))
        first = reader.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        reader.watch()
        time.sleep(SILENCE_SECONDS + 1)  # as if the whole machine had been frozen
        reader.watch()
        os.kill(first, signal.SIGCONT)
        watch_until(reader, lambda: answers(http))
        assert (reader.pid, reader.restarts) == (first, ReaderRestarts())
    finally:
        reader.stop()


def test_a_reader_that_died_is_counted_apart(tmp_path: Path, http: socket.socket) -> None:
    reader = make(tmp_path, http)
    try:
        watch_until(reader, lambda: answers(http))
        first = reader.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        watch_until(reader, lambda: reader.restarts.died > 0)
        watch_until(reader, lambda: answers(http))
        assert (reader.restarts.died, reader.restarts.hung) == (1, 0)
    finally:
        reader.stop()
