"""A load on its way: sipflow-load in a process of its own, told what to send and how fast."""

import subprocess
import sys
from typing import NamedTuple

import msgspec

from sipflow.load.report import Report


class Load(NamedTuple):
    """What is sent: calls side by side, packets per second, and more options of sipflow-load."""

    calls: int
    rate: int
    options: tuple[str, ...] = ()

    def send(self, port: int, seconds: float) -> Report:
        """Send to a port of this machine. Raises CalledProcessError."""
        return self._run(seconds, "--to", f"127.0.0.1:{port}", "--rate", str(self.rate))

    def send_unread(self, seconds: float) -> Report:
        """Send as fast as it goes to a socket that nobody reads: so long by the calls' clock."""
        return self._run(seconds, "--ceiling")

    def _run(self, seconds: float, *where: str) -> Report:
        command = [
            sys.executable, "-c", "from sipflow.load.cli import main; main()", "--json", "-", *where,
            "--calls", str(self.calls), "--duration", str(seconds), "--scenario", "answered", *self.options,
        ]  # fmt: skip
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return msgspec.json.decode(done.stdout, type=_Outcome).sent


class _Outcome(msgspec.Struct):
    """What of sipflow-load's answer is of interest."""

    sent: Report
