"""Retention beside a running recorder: a thread of low priority that looks after the room on the disk."""

import logging
import os
import threading
import time
from pathlib import Path

from sipflow.config import Retention
from sipflow.destination import Upload
from sipflow.errors import RootBusy, StorageError
from sipflow.leap import ClockWatch
from sipflow.storage.layout import CATALOG
from sipflow.storage.sweep import Sweep
from sipflow.thread import NamedThread

LOG = logging.getLogger("sipflow.retention")

# A minute of the highest rates fits into what the guard keeps free by default.
_EVERY_SECONDS = 60.0
# What failed as a whole, as over a root that was gone for a moment, must not stay a fault for so long.
_AGAIN_SECONDS = 5.0
_NICE = 15
# Rests between pieces of work, so that neither the disk nor the interpreter is ours for long.
_REST_SECONDS = 0.002


class Sweeper:
    """Applies retention to a root every minute until it is stopped."""

    def __init__(
        self, root: Path, limits: Retention, watch: ClockWatch | None = None, upload: Upload | None = None
    ) -> None:
        """Prepare; `watch` tells when the clock cannot be trusted."""
        self._root = root
        self._watch = watch or ClockWatch()
        self._stop = threading.Event()
        self._sweep = Sweep(root, limits, pace=self._rest, upload=upload)
        self._faults: list[str] = []
        self._failing = ""
        self._notes: list[str] = []
        self._thread = NamedThread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Look how old the newest packet is, then start the thread. Call it before anything new is recorded."""
        try:
            newest_us = self._sweep.newest_us() if (self._root / CATALOG).exists() else None
            if newest_us is not None:
                self._watch.doubt(newest_us)
        except StorageError as error:
            LOG.error("retention: %s", error)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the step at hand; what is half done is finished by the next start."""
        self._stop.set()
        self._thread.join()

    def faults(self) -> list[str]:
        """Tell what retention could not do, in sentences; empty when all is well."""
        if not self._thread.is_alive() and not self._stop.is_set():
            return ["thread retention died"]
        return list(self._faults)

    def notes(self) -> list[str]:
        """Tell what an operator should know though nothing is wrong: limits not reached, a clock not trusted."""
        return list(self._notes)

    def once(self) -> None:
        """Apply retention now. Never raises: what is wrong is told by `faults`."""
        if not (self._root / CATALOG).exists():
            return
        try:
            decided, self._faults = self._sweep.run(self._watch.held, self._stop.is_set)
            self._notes = decided.shortfalls
            self._failing = ""
        except RootBusy:
            return  # the command does what we would
        except StorageError as error:
            self._faults = [str(error)]
            if str(error) != self._failing:
                LOG.error("retention: %s", error)
            self._failing = str(error)

    def _run(self) -> None:
        # Linux gives every thread a priority of its own; that of its reads and writes follows it.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._stop.is_set():
            self.once()
            self._stop.wait(_AGAIN_SECONDS if self._failing else _EVERY_SECONDS)

    def _rest(self) -> None:
        time.sleep(_REST_SECONDS)
