"""The archiving process as the recorder has it: started, started again, stopped."""

import contextlib
import logging
import subprocess
import sys
import time

import msgspec

from sipflow.child import end, hang_up
from sipflow.clock import SECOND_US, now_us
from sipflow.orders import ArchiverOrders

LOG = logging.getLogger("sipflow.recorder")

_AGAIN_SECONDS = 10.0
_STOP_SECONDS = 2.0


class ArchiverProcess:
    """Keeps one archiver running. One thread at a time.

    It is a program of its own so that neither an upload nor its encryption ever holds the interpreter's lock of the
    recorder, and so that all of its threads have the lowest priority.
    """

    def __init__(self, orders: ArchiverOrders | None) -> None:
        """Take the orders; None for nothing to archive. Nothing runs yet."""
        self._orders = orders
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self.died = 0
        self.died_us: int | None = None

    @property
    def pid(self) -> int | None:
        """Tell the process id; None while none runs."""
        return None if self._process is None else self._process.pid

    def watch(self) -> None:
        """Start the archiver if it should run and does not; to be called about twice a second."""
        if self._orders is None or (self._process is not None and self._process.poll() is None):
            return
        if self._process is not None:
            LOG.error(
                "the archiver ended with status %s; it is started again in %.0f s",
                self._process.returncode, _AGAIN_SECONDS,
            )  # fmt: skip
            self.died, self.died_us = self.died + 1, now_us()
            self._not_before = time.monotonic() + _AGAIN_SECONDS
            self._discard()
        if time.monotonic() < self._not_before:
            return
        try:
            self._process = _start(self._orders)
        except OSError as error:
            LOG.error("the archiver cannot be started: %s", error)
            self._not_before = time.monotonic() + _AGAIN_SECONDS

    def notes(self) -> list[str]:
        """Tell in sentences what an operator should know."""
        if self.died_us is None or now_us() - self.died_us > 3600 * SECOND_US:
            return []
        return [f"the archiver died and was started again: {self.died} times, the last within the hour"]

    def stop(self) -> None:
        """End it; what is half sent is found again by the next one."""
        if self._process is None:
            return
        end(self._process, _STOP_SECONDS)
        self._discard()

    def _discard(self) -> None:
        if self._process is not None:
            hang_up(self._process)
        self._process = None


def _start(orders: ArchiverOrders) -> subprocess.Popen[bytes]:
    # A new program, never a fork: a forked child would make every page of the pool copy-on-write.
    process = subprocess.Popen([sys.executable, "-m", "sipflow.archiver"], stdin=subprocess.PIPE)
    # The pipe stays open: its end tells the archiver that we are gone. The keys travel by it, and show in no list.
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        process.stdin.flush()
    return process
