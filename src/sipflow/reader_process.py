"""The reader process as the recorder has it: started, watched, started again, stopped."""

import contextlib
import logging
import os
import subprocess
import sys
import time

import msgspec

from sipflow.child import end, hang_up
from sipflow.clock import now_us
from sipflow.orders import ReaderOrders
from sipflow.web.status import ReaderRestarts

LOG = logging.getLogger("sipflow.recorder")

SILENCE_SECONDS = 15.0
# Until its first beat: it imports everything, on a machine that may just be starting.
_START_SECONDS = 60.0
# Time in which whoever watches did not run (a frozen machine, a hanging disk) is no silence of the reader.
_LONGEST_TURN_SECONDS = 1.0
_STOP_SECONDS = 5.0
_BEATS_AT_ONCE = 4096


class ReaderProcess:
    """Keeps one reader running. One thread at a time.

    The reader writes an octet into a pipe every second, from the loop that answers; one that stops doing so hangs, and
    is killed.
    """

    def __init__(self, orders: ReaderOrders, silence_seconds: float = SILENCE_SECONDS) -> None:
        """Take the orders, whose `http_fd` must stay open and whose `beat_fd` is filled in here; nothing runs yet."""
        self._orders = orders
        self._silence_seconds = silence_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._beats = -1
        self._beaten = False
        self._silent_seconds = 0.0
        self._looked = 0.0
        self._hung = False
        self.restarts = ReaderRestarts()

    @property
    def pid(self) -> int | None:
        """Tell the process id; None while none runs."""
        return None if self._process is None else self._process.pid

    def watch(self) -> None:
        """Start the reader if it does not run, kill it if it hangs; to be called about twice a second."""
        if self._process is not None and self._process.poll() is None:
            self._listen(self._process)
            return
        if self._process is not None:
            LOG.error("the reader process ended with status %s; starting it again", self._process.returncode)
            died, hung = self.restarts.died, self.restarts.hung
            self.restarts = ReaderRestarts(died + (not self._hung), hung + self._hung, now_us())
            self._discard(self._process)
        try:
            self._process = self._start()
        except OSError as error:
            LOG.error("the reader process cannot be started: %s", error)

    def renew(self, orders: ReaderOrders, line: bytes) -> None:
        """Start readers by other orders from now on, and tell the one that runs in a line what is new in them."""
        self._orders = orders
        if self._process is not None and self._process.stdin is not None:
            # One that is dead is started again, by the new orders.
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line + b"\n")
                self._process.stdin.flush()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        now = time.monotonic()
        if self._has_beaten():
            self._beaten, self._silent_seconds = True, 0.0
        else:
            self._silent_seconds += min(now - self._looked, _LONGEST_TURN_SECONDS)
        self._looked = now
        patience = self._silence_seconds if self._beaten else max(self._silence_seconds, _START_SECONDS)
        if self._silent_seconds >= patience and not self._hung:
            LOG.error("the reader process hangs: no sign of life for %.0f s; killing it", self._silent_seconds)
            self._hung = True
            # Its end is seen at a later look: a process inside the kernel must not hold up whoever watches.
            process.kill()

    def _has_beaten(self) -> bool:
        try:
            return bool(os.read(self._beats, _BEATS_AT_ONCE))
        except BlockingIOError:
            return False

    def _start(self) -> subprocess.Popen[bytes]:
        beats, beat_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            # A new program, never a fork of this one: a forked child would make every page of the pool copy-on-write.
            process = subprocess.Popen(
                [sys.executable, "-m", "sipflow.reader"],
                stdin=subprocess.PIPE,
                pass_fds=[self._orders.http_fd, beat_fd],
                # One thread runs at a time: more heaps than one would only hold memory that nobody uses.
                env={"MALLOC_ARENA_MAX": "1", **os.environ},
            )
        except OSError:
            os.close(beats)
            raise
        finally:
            os.close(beat_fd)
        self._beats = beats
        self._beaten, self._hung, self._silent_seconds, self._looked = False, False, 0.0, time.monotonic()
        orders = msgspec.structs.replace(self._orders, beat_fd=beat_fd)
        # The pipe stays open: its end tells the reader that we are gone, however we went.
        assert process.stdin is not None
        # One that is dead already is found so at the next look.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(orders) + b"\n")
            process.stdin.flush()
        return process

    def _discard(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        os.close(self._beats)
        hang_up(process)

    def stop(self) -> None:
        """Let the reader end, and kill one that does not."""
        if self._process is None:
            return
        end(self._process, _STOP_SECONDS)
        self._discard(self._process)
