"""A sipflow-server that is killed, starved and started again on the same root and the same ports."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

import httpx

from running import free_port
from sipflow._fast import Pool
from sipflow.clock import monotonic_us, now_us
from sipflow.storage.store import pool_path
from soak.faults import Faults

POOL_MB = 64


class Life(NamedTuple):
    """One incarnation of the server, by the true clock, and what its pool counted when it ended.

    `taken` are the packets put into the pool, `dropped` the sound ones that found no room, `kernel_drops` datagrams.
    """

    began_us: int
    ended_us: int
    taken: int
    dropped: int
    kernel_drops: int


class Victim:
    """Starts `python -m sipflow.server` as often as needed; each end adds a Life to `lives`."""

    def __init__(self, root: Path, *arguments: str, faults: Faults | None = None, pool_mb: int = POOL_MB) -> None:
        """Choose the ports; nothing runs yet."""
        self.root = root
        self.udp, self.http = ("127.0.0.1", free_port(socket.SOCK_DGRAM)), free_port(socket.SOCK_STREAM)
        self.url = f"http://127.0.0.1:{self.http}"
        self.log = root.parent / f"{root.name}.log"
        self.faults = faults
        self.lives: list[Life] = []
        places = ["--udp", f"127.0.0.1:{self.udp[1]}", "--http", f"127.0.0.1:{self.http}", "--dir", str(root)]
        places += ["--hep", "none"]
        self._command = [sys.executable, "-m", "sipflow.server", *places, "--pool-mb", str(pool_mb), *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=self.url, timeout=10)
        self._processes: list[int] = []
        self._began_us = self._began_monotonic_us = 0
        self._logged = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Give the recorder's process."""
        assert self._process is not None, "not started"
        return self._process

    def start(self, *, healthy: bool = True) -> Self:
        """Start the server, and wait until it is healthy or, if not wanted, for nothing."""
        self._began_us, self._began_monotonic_us = now_us(), monotonic_us()
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        environment = dict(os.environ)
        if self.faults is not None:
            environment |= self.faults.environment(self.root)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
        self._processes.append(self._process.pid)
        if healthy:
            self.until(self.healthy, "healthy")
        return self

    def said(self) -> str:
        """Read what this incarnation logged."""
        return self.log.read_bytes()[self._logged :].decode()

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        """Wait for a condition; a transport error counts as not yet."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, f"ended with {self.process.returncode}, not {what}:\n{self.said()}"
            time.sleep(0.02)
        raise AssertionError(f"not {what} within {seconds} s; the server says:\n{self.said()}")

    def get(self, path: str, **parameters: str) -> httpx.Response:
        """Ask the server."""
        return self._client.get(path, params=parameters or None)

    def udp_send(self, datagram: bytes) -> None:
        """Send a datagram to the server."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(datagram, self.udp)

    def healthy(self) -> bool:
        """Tell whether /health is green."""
        return self.get("/health").status_code == 200

    def sick_of(self, *words: str) -> bool:
        """Tell whether /health is red and its reasons hold one of the words."""
        answer = self.get("/health")
        return answer.status_code == 503 and any(word in answer.text for word in words)

    def metric(self, name: str, label: str = "") -> int:
        """Read a metric; with a label such as reason="..." that of its samples, else the first."""
        answer = self.get("/metrics")
        for line in answer.text.splitlines():
            if line.startswith((name + "{", name + " ")) and label in line:
                return int(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}: HTTP {answer.status_code} {answer.text[:500]}")

    def taken(self) -> int:
        """Count the packets put into the pool by this incarnation."""
        return self.metric("sipflow_packets_received_total")

    def stored(self) -> int:
        """Count the packets committed by this incarnation, those of earlier ones included that it replayed."""
        return self.metric("sipflow_items_recorded_total")

    def reader(self) -> int | None:
        """Find the process of the reader; None while there is none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def kill(self) -> Life:
        """Kill the server with SIGKILL, and read what its pool counted."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        return self.ended()

    def ended(self, seconds: float = 30.0, dropped: int = 0) -> Life:
        """Wait for the server to end, and read what its pool counted; `dropped` is for one that leaves no pool."""
        self.process.wait(seconds)
        taken, dropped_too, kernel_drops = self._counts()
        life = Life(self._began_us, now_us(), taken, dropped + dropped_too, kernel_drops)
        self.lives.append(life)
        return life

    def stop(self, seconds: float = 90.0) -> int:
        """Stop the server with SIGTERM; gives its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self) -> None:
        """End whatever runs, and leave no pool behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._client.close()
        if self.root.is_dir() and (pool := pool_path(self.root)) is not None and not pool.is_relative_to(self.root):
            _remove(pool.parent)
        for process in self._processes:
            # A server killed while it makes its pool leaves one that names no root: only its process tells whose it is.
            for home in Path("/dev/shm").glob(f"sipflow-{process}-*"):
                if not (home / "root").exists():
                    _remove(home)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _counts(self) -> tuple[int, int, int]:
        path = pool_path(self.root)
        if path is None:
            # Stopped in order, and nothing was left: its last words say what the pool counted.
            said = re.search(r"stopped: (\d+) packets taken, .* (\d+) datagrams dropped by the kernel", self.said())
            return (int(said[1]), 0, int(said[2])) if said else (0, 0, 0)
        try:
            pool = Pool.attach(str(path))
        except OSError:
            return 0, 0, 0  # killed while it was made
        if max(pool.heartbeats(), default=0) < self._began_monotonic_us:
            return 0, 0, 0  # killed before it received anything: what stands there counts an earlier life
        ledger, refused = pool.ledger()
        dropped = sum(n for reason, n in refused.items() if reason.startswith(("pool_full", "sip_first", "disk_low")))
        return ledger["sip"] + ledger["rtp"], dropped, ledger["kernel_drops"]


def _remove(home: Path) -> None:
    for file in home.iterdir():
        file.unlink()
    home.rmdir()
