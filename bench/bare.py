"""The bare loop under the same load: receives and throws away, so that a cost has something to stand beside."""

import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from sipflow.config import Settings

_SOURCE = Path(__file__).with_name("bare.c")


class Taken(NamedTuple):
    """What the loop received; `drops` are the kernel's."""

    datagrams: int
    octets: int
    drops: int
    cpu_s: float


class Bare:
    """The loop as a process of its own, with the recorder's default socket buffer. Needs a C compiler."""

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="sipflow-bench-bare-")
        program = Path(self._scratch.name) / "bare"
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", str(_SOURCE), "-o", str(program)], check=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            self.udp: int = sock.getsockname()[1]
        buffer = Settings().recv_buffer_mb << 20
        self._process = subprocess.Popen([str(program), str(self.udp), str(buffer)], stdout=subprocess.PIPE, text=True)
        if self._process.stdout is None or self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the bare loop did not start")

    def __enter__(self) -> "Bare":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._scratch.cleanup()

    def stop(self) -> Taken:
        """End the loop; gives what it took."""
        self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate(timeout=20)
        return Taken(**json.loads(out))


def under(load: Callable[[int], object]) -> Taken:
    """Run the loop while `load` sends to its port."""
    with Bare() as bare:
        load(bare.udp)
        return bare.stop()
