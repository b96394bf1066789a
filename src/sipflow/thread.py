"""Threads that the kernel knows by name."""

import contextlib
import threading
from pathlib import Path

_NAME_MAX = 15  # octets of a task's name in Linux


class NamedThread(threading.Thread):
    """A thread whose name `top -H` and /proc/PID/task/TID/comm show as well; Python sets it only from 3.14 on."""

    def run(self) -> None:
        """Tell the kernel the name, then work."""
        with contextlib.suppress(OSError):
            Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_bytes(self.name.encode()[:_NAME_MAX])
        super().run()
