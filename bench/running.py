"""A real server under measurement: its processes on loopback, its counters from the pool, its costs from /proc."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from sipflow._fast import Pool
from sipflow.storage.store import pool_path
from sipflow.web.status import RecorderNote

_START_SECONDS = 120.0
_STOP_SECONDS = 60.0


class Memory(NamedTuple):
    """Memory of a process [MB]: private to it (the heap; SQLite's pages and caches among it), and shared (the pool)."""

    private: float
    shared: float


class Counts(NamedTuple):
    """What the recorder counted so far; `taken` and `stored` in packets, `kernel_drops` in datagrams."""

    taken: int
    stored: int
    kernel_drops: int
    refused: int
    pool_drops: int


class Running:
    """A server started as users start it, in a data root of its own."""

    def __init__(self, root: Path, *options: str, ports: tuple[int, int] | None = None) -> None:
        """Start the server, on `ports` (UDP, HTTP) if given, and wait until its reader answers.

        Raises RuntimeError when it does not.
        """
        self.root = root
        self.udp, self.http = ports or (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM))
        self.hep = free_port(socket.SOCK_DGRAM)
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "sipflow.server", "--udp", f"127.0.0.1:{self.udp}",
                "--http", f"127.0.0.1:{self.http}", "--hep", f"127.0.0.1:{self.hep}", "--dir", str(root),
                "--log-level", "error", *options,
            ]
        )  # fmt: skip
        self._wait_until_ready()
        path = pool_path(root)
        if path is None:
            raise RuntimeError(f"{root}: the server made no pool")
        self._pool = Pool.attach(str(path))

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=5)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        status = self._process.poll()
        self.stop()
        raise RuntimeError(f"the server does not answer on port {self.http}; status {status}")

    @property
    def recorder(self) -> int:
        """Give the process id of the recorder."""
        return self._process.pid

    @property
    def reader(self) -> int:
        """Give the process id of the reader. Raises RuntimeError when there is none."""
        path = Path(f"/proc/{self.recorder}/task/{self.recorder}/children")
        children = path.read_text("ascii").split()
        if not children:
            raise RuntimeError("the recorder has no reader")
        return int(children[0])

    def counts(self) -> Counts:
        """Read the counters that every user sees in /metrics, without asking the reader."""
        ledger, refused = self._pool.ledger()
        note = msgspec.json.decode(self._pool.read_note(), type=RecorderNote)
        dropped = sum(
            count for reason, count in refused.items() if reason.startswith(("pool_full", "sip_first", "disk_low"))
        )
        return Counts(
            ledger["sip"] + ledger["rtp"],
            note.stored_sip + note.stored_rtp,
            max(ledger["kernel_drops"], self._socket_drops()),
            sum(refused.values()) - dropped,
            dropped,
        )

    def pending(self) -> int:
        """Count the packets in the pool: of open chunks, and of full ones that wait to be stored."""
        return self._pool.pending()

    def _socket_drops(self) -> int:
        # Drops behind the last datagram read show only here.
        for line in Path("/proc/net/udp").read_text("ascii").splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == self.udp:
                return int(fields[-1])
        return 0

    def drain(self, seconds: float) -> float:
        """Wait until the pool is empty and the recorder has said so; gives how long it took. Raises TimeoutError."""
        start = time.monotonic()
        while self._pool.pending() or self.counts().stored < self.counts().taken:
            if time.monotonic() - start > seconds:
                raise TimeoutError(f"after {seconds:g} s the pool still holds {self._pool.pending()} packets")
            time.sleep(0.05)
        return time.monotonic() - start

    def cpu_seconds(self) -> dict[str, float]:
        """Read the processor time of the recorder by thread name."""
        return cpu_by_thread(self.recorder)

    def stop(self) -> None:
        """Stop the server as users do, and wait until everything is written."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def memory_of(pid: int) -> Memory:
    """Read the memory of a process. A pool page counts as shared even while only one process has touched it."""
    found = {}
    # Counters: smaps would walk every page of the pool, for a tenth of a processor at four readings a second.
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        name, _, rest = line.partition(":")
        if name.startswith("Rss"):
            found[name] = int(rest.split()[0]) / 1024
    return Memory(found["RssAnon"], found["RssFile"] + found["RssShmem"])


def cpu_by_thread(pid: int | str) -> dict[str, float]:
    """Read the processor time of a process by thread name; threads of one name (encoder-0, -1) are summed."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            name = (task / "comm").read_text("utf-8").strip().rstrip("-0123456789")
            found[name] = found.get(name, 0.0) + _scheduled(task)
    return found


def _scheduled(task: Path) -> float:
    path = task / "schedstat"
    if path.exists():
        return int(path.read_text("ascii").split()[0]) / 1e9
    fields = (task / "stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
