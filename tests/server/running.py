"""A real sipflow-server on loopback, for tests."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import httpx


class RunningServer:
    """Starts `python -m sipflow.server` on free ports and waits until it is healthy."""

    def __init__(
        self,
        root: Path,
        *arguments: str,
        wait: bool = True,
        host: str = "127.0.0.1",
        ports: tuple[int, int] | None = None,
        before: tuple[str, ...] = (),
    ) -> None:
        self.root = root
        udp, self.http = ports or (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM))
        self.udp = (host, udp)
        self.url = f"http://{host}:{self.http}"
        self.log = root.parent / f"{root.name}.log"
        self._log = self.log.open("ab")
        command = [*before, sys.executable, "-m", "sipflow.server", "--udp", f"{host}:{udp}", "--http",
                   f"{host}:{self.http}", "--dir", str(root), "--pool-mb", "64",
                   *(() if "--hep" in arguments else ("--hep", "none")), *arguments]  # fmt: skip
        self.process = subprocess.Popen(command, stderr=self._log, stdout=self._log, env=dict(os.environ))
        if wait:
            self.until(lambda: self.get("/health").status_code == 200, "healthy")

    def ended(self, seconds: float = 20.0) -> int:
        """Wait for the process to end by itself; gives its status."""
        code = self.process.wait(seconds)
        self._log.close()
        return code

    def get(self, path: str, **parameters: str) -> httpx.Response:
        return httpx.get(self.url + path, params=parameters or None, timeout=10)

    def until(self, condition: "object", what: str, seconds: float = 20.0) -> None:
        """Wait for a condition; a transport error counts as not yet."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if condition():  # type: ignore[operator]
                    return
            except httpx.TransportError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"not {what} within {seconds} s; the server says:\n{self.log.read_text()}")

    def send(self, *datagrams: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for datagram in datagrams:
                sock.sendto(datagram, self.udp)

    def metric(self, name: str) -> int:
        answer = self.get("/metrics")
        for line in answer.text.splitlines():
            if line.startswith((name + "{", name + " ")):
                return int(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}: {answer.status_code} {answer.text[:300]}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(60)
        self._log.close()
        return code

    def __enter__(self) -> "RunningServer":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.stop()


def free_port(kind: socket.SocketKind) -> int:
    """Choose a port that nobody has, below those that the kernel gives to whoever connects.

    One of these could be gone, to a question of any test on the machine, before a server under load has bound it.
    """
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(10_000, 32_768)
        with socket.socket(socket.AF_INET, kind) as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
