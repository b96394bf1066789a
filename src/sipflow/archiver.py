"""The archiving process: started by the recorder, it takes nothing from it but files and the catalog."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

from sipflow.archive.archiver import Archiver
from sipflow.archive.call_tables import CallTables
from sipflow.archive.lock import archive_lock
from sipflow.archive.opening import node_of, open_place
from sipflow.effective import read_back
from sipflow.errors import SipflowError, StorageError
from sipflow.leap import ClockWatch
from sipflow.orders import ArchiverOrders
from sipflow.server_log import set_up_log
from sipflow.storage.layout import CATALOG
from sipflow.storage.sweep import Sweep

LOG = logging.getLogger("sipflow.archive")

_NICE = 15


def _leave_with_recorder() -> None:
    # The pipe ends when the recorder does, by whatever death. What is half sent is found again by the next one.
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Read the orders from standard input, and archive until the recorder is gone."""
    # It is the recorder's to heed: a hang-up of the terminal goes to all.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Before the library starts threads of its own: they inherit it.
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=ArchiverOrders)
    threading.Thread(target=_leave_with_recorder, name="recorder-watch", daemon=True).start()
    set_up_log(orders.log_level)
    settings = read_back(orders.settings)
    root = Path(orders.root)
    assert settings.upload is not None
    place, node = open_place(settings.upload), node_of(settings.node)
    watch = ClockWatch()
    try:
        newest_us = Sweep(root, settings.retention).newest_us() if (root / CATALOG).exists() else None
        if newest_us is not None:
            watch.doubt(newest_us)
    except StorageError as error:
        LOG.warning("%s", error)

    def wait(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    try:
        with archive_lock(root):
            LOG.info("archiving %s to %s as %s", root, place.where, node)
            makers = (CallTables(node).make,)
            Archiver(root, settings.upload, node, place, makers=makers).run(wait, watch.held)
    except SipflowError as error:
        LOG.error("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
