"""Imports: capture files into a data root, beside a running server or without one."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US, now_us
from sipflow.errors import StorageError
from sipflow.ingest.capture_file import CaptureFile
from sipflow.ingest.import_report import ImportReport
from sipflow.storage.layout import Subdirs
from sipflow.storage.mend import renew_at_once
from sipflow.storage.store import MIB, Store
from sipflow.wire.datagram import same_family

_POOL_MB = 64
_PACKETS_A_TURN = 64
# What is left in the pool of an import goes with it: a slow disk is waited for.
_PATIENCE_SECONDS = 600.0
# Room that one turn cannot exhaust, whatever its packets are.
_SPARE_CHUNKS = (2 * _PACKETS_A_TURN, 20)

Progress = Callable[[Path, int, int], None]


def import_files(
    files: list[Path], root: Path, subdirs: Subdirs = Subdirs.HOURLY, progress: Progress | None = None
) -> list[ImportReport]:
    """Import capture files into new bucket parts under `root`, filed by packet time; gives a report for each.

    The parts are this import's own and are sealed at its end, so a server may go on recording into the same root.
    Raises BadCapture before anything is written when one of the files is no capture file, StorageError.
    """
    captures = [CaptureFile(file, _told(progress, file)) for file in files]
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    renew_at_once(root)
    with tempfile.TemporaryDirectory(prefix="sipflow-import-") as scratch:
        try:
            pool = Pool.open(str(Path(scratch) / "pool"), _POOL_MB * MIB, now_us())
        except OSError as error:
            raise StorageError("open", scratch, error.strerror or str(error)) from None
        store = Store(root, pool, subdirs, encoders=1, owner=os.getpid())
        store.start()
        try:
            for capture in captures:
                _feed(capture, pool, store)
        finally:
            store.stop(_PATIENCE_SECONDS)
        if pool.pending():
            raise StorageError("import", root, "; ".join(store.faults()) or "the disk did not take everything")
    return [capture.report for capture in captures]


def _told(progress: Progress | None, file: Path) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(file, done, total)


def _feed(capture: CaptureFile, pool: Pool, store: Store) -> None:
    intake = Intake(pool, 0, SECOND_US, 0, media=True, trust_time=True)
    for count, packet in enumerate(capture.packets()):
        if count % _PACKETS_A_TURN == 0:
            _wait_for_room(intake, pool, store)
        src, dst = same_family(packet.src, packet.dst)
        intake.put(
            packet.kind, src.family, src.packed, src.port, dst.packed, dst.port, packet.time_us, packet.client_id,
            packet.call_id.encode(), packet.leg, packet.payload, now_us(),
        )  # fmt: skip
    intake.drain()


def _wait_for_room(intake: Intake, pool: Pool, store: Store) -> None:
    # A file waits; only the network is dropped.
    intake.sweep()
    while any(free < spare for free, spare in zip(pool.free_chunks(), _SPARE_CHUNKS, strict=True)):
        intake.drain()
        faults = store.faults()
        if faults:
            raise StorageError("import", "the data root", faults[0])
        time.sleep(0.005)
