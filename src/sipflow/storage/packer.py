"""Packing beside a running recorder: one sealed part after the other, oldest first, while the machine has time."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import msgspec

from sipflow.amount import size_text
from sipflow.errors import PartBusy, RootBusy, SipflowError, StorageError
from sipflow.storage.catalog import Catalog, Part, Revision
from sipflow.storage.disk import LAST_OCTETS, disk_of
from sipflow.storage.idleness import IDLE_LEAST, Idleness
from sipflow.storage.layout import CATALOG
from sipflow.storage.packed_part import take_over, unfit
from sipflow.storage.packing import put_in_place
from sipflow.storage.packing_process import PackAnswer, PackOrders
from sipflow.storage.packing_state import Packing
from sipflow.storage.part_lock import part_lock, swap_lock
from sipflow.storage.swap import discard
from sipflow.storage.sweep import sweep_lock
from sipflow.thread import NamedThread

LOG = logging.getLogger("sipflow.packing")

_LOOK_SECONDS: Final = 5.0
# How often the child is looked after; it is also how long a stop takes at most, apart from the kill itself.
_TURN_SECONDS: Final = 0.25
# A child that was stopped because the machine was busy goes on only after so long without that.
_CALM_SECONDS: Final = 2.0
_NICE: Final = 15


class Packer:
    """Packs the sealed parts of a root until it is stopped. The work is done by a process of its own."""

    def __init__(self, root: Path, min_free: Callable[[int], int], needed: Callable[[], str] = lambda: "") -> None:
        """Prepare; `min_free` tells how much of a disk of so many octets is kept free.

        `needed` says in a sentence why the recorder needs the machine for itself, empty when it does not.
        """
        self._root = root
        self._min_free = min_free
        self._needed = needed
        self._idleness = Idleness()
        self._looked = time.monotonic()
        self._busy_until = 0.0
        self._stop = threading.Event()
        # Parts that are left alone as long as their files stay the same, each with the reason.
        self._refused: dict[int, tuple[Revision, str]] = {}
        self._taken_over = False
        self._thread = NamedThread(target=self._run, name="packer", daemon=True)
        self.state = Packing()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at once: a pair in the making is thrown away."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def faults(self) -> list[str]:
        """Tell that the thread died, in a sentence; what one part comes to is no fault of the recorder."""
        dead = not self._thread.is_alive() and not self._stop.is_set()
        return ["thread packer died"] if dead else []

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._stop.wait(0.0 if self._once() else _LOOK_SECONDS):
            pass

    def _once(self) -> bool:
        """Pack the next part, if there is one and time for it; tells whether it did."""
        if not (self._root / CATALOG).exists():
            return False
        # What somebody else is about waits for its turn, and holds up no other: an upload takes hours on a slow line.
        passed: set[int] = set()
        busy = ""
        try:
            while (part := self._next(passed)) is not None:
                try:
                    self._pack(part)
                except PartBusy as error:
                    passed.add(part.id)
                    busy = str(error)
                else:
                    return True
        except RootBusy as error:
            busy = str(error)
        except SipflowError as error:
            self._fail(str(error))
            return False
        if busy:
            self._tell(paused=busy, now="")
        return False

    def _next(self, passed: set[int]) -> Part | None:
        """Look what stands; gives the oldest part that can be packed now, those `passed` by left out."""
        self._tell(paused="")
        with closing(Catalog(self._root)) as catalog:
            # Counted first: what stands is told also while another process holds the root.
            waiting = self._count(catalog)
            if not self._taken_over:
                with sweep_lock(self._root):
                    for path in take_over(catalog):
                        LOG.info("finished what was begun with %s", path or ".")
                self._taken_over = True
                waiting = self._count(catalog)
        for part in sorted(waiting, key=lambda one: (one.end_us, one.id)):
            if part.id in passed:
                continue
            paused = self._busy() or self._no_room(part)
            if paused:
                self._tell(paused=paused)
                return None
            try:
                why = unfit(self._root, part)
            except StorageError as error:
                why = str(error)
            if not why:
                return part
            self._refuse(part, why)
        return None

    def _count(self, catalog: Catalog) -> list[Part]:
        """Tell how many parts are packed, wait and are left alone; gives those that wait."""
        parts = [part for part in catalog.standing() if part.sealed]
        waiting = [part for part in parts if self._waits(part)]
        self._tell(
            packed=sum(part.packed_us is not None for part in parts),
            waiting=len(waiting),
            left=sum(1 for part in parts if part.id in self._refused and part.packed_us is None),
        )
        return waiting

    def _waits(self, part: Part) -> bool:
        if any(one is not None for one in (part.packed_us, part.archived_us, part.evicted_us, part.erased_us)):
            return False
        refused = self._refused.get(part.id)
        return refused is None or refused[0] != part.revision

    def _no_room(self, part: Part) -> str:
        disk = disk_of(self._root)
        # For the time of the copy there are two of it, and the log of the new index.
        needed = 2 * (part.octets or 0) + self._min_free(disk.total) + LAST_OCTETS
        return "" if disk.free >= needed else f"the disk has no room for a copy of {size_text(part.octets or 0)}"

    def _busy(self) -> str:
        """Say why this is no time to work; empty when it is."""
        now = time.monotonic()
        if now - self._looked >= _TURN_SECONDS:
            self._looked = now
            if self._idleness.look() < IDLE_LEAST:
                self._busy_until = now + _CALM_SECONDS
        if why := self._needed():
            self._busy_until = now + _CALM_SECONDS
            return why
        return "the processors are busy" if now < self._busy_until else ""

    def _pack(self, part: Part) -> None:
        directory = self._root / part.path
        started = time.monotonic()
        self._tell(now=part.path)
        with part_lock(directory) as lock:
            with swap_lock(directory):
                pass  # while somebody copies it, the work would be for nothing
            try:
                answer = self._built(part, lock)
                if answer is None:
                    return
                if answer.built is None:
                    self._refuse(part, answer.why)
                    if not answer.refused:
                        self._fail(answer.why)
                    return
                put_in_place(self._root, part, answer.built)
            finally:
                discard(directory)
                self._tell(now="", paused="")
        packed = answer.built.packed
        LOG.info(
            "packed %s: %d octets, %d before, in %.1f s",
            part.path or ".", packed.after, packed.before, time.monotonic() - started,
        )  # fmt: skip

    def _built(self, part: Part, lock: int) -> PackAnswer | None:
        """Have the new pair built by a process that waits whenever the machine is needed; None when we are to stop."""
        # A new program, never a fork of this one (see the reader). It holds the lock of the part as long as we do.
        process = subprocess.Popen(
            [sys.executable, "-m", "sipflow.storage.packing_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[lock],
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(msgspec.json.encode(PackOrders(str(self._root), part, os.getpid())) + b"\n")
                process.stdin.close()
            running = True
            while process.poll() is None:
                if self._stop.wait(_TURN_SECONDS):
                    return None
                paused = self._busy()
                if running is bool(paused):
                    running = not paused
                    process.send_signal(signal.SIGCONT if running else signal.SIGSTOP)
                    self._tell(paused=paused)
            said = process.stdout.read()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
        try:
            return msgspec.json.decode(said, type=PackAnswer)
        except msgspec.DecodeError:
            return PackAnswer(why=f"pack {self._root / part.path}: its process ended with status {process.returncode}")

    def _refuse(self, part: Part, why: str) -> None:
        self._refused[part.id] = (part.revision, why)
        LOG.info("%s stays as it is: %s", part.path or ".", why)

    def _fail(self, why: str) -> None:
        LOG.error("packing: %s", why)
        self._tell(failures=self.state.failures + 1, last_error=why, now="")

    def _tell(self, **changes: int | str) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
