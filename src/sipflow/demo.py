"""`make run`: a server on loopback, six calls played into it over the real wire, and one of them on screen."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from sipflow.clock import now_us
from sipflow.load.play import Sending, play
from sipflow.load.samples import SAMPLES_SPAN_US, sample_calls
from sipflow.query.history import History
from sipflow.query.ladder import ladder

UDP = "127.0.0.1:3000"
HTTP = "http://127.0.0.1:3001"
DATA = Path("data")
_START_SECONDS = 15.0


def main() -> None:
    """Start the server, play the calls, show the first one's ladder, and stay up until interrupted."""
    server = subprocess.Popen(
        [sys.executable, "-m", "sipflow.server", "--udp", UDP, "--http", HTTP.removeprefix("http://"), "--dir", str(DATA)]
    )
    try:
        _wait_until_healthy(server)
        calls = sample_calls(now_us() - SAMPLES_SPAN_US - 1_000_000)
        report = play(calls, UDP, Sending(as_fast_as_possible=True))
        print(f"\n{report.sip + report.rtp} packets of {len(calls)} calls sent to {UDP}; this is one of them:\n")
        _show(calls[0].call_id)
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    sys.exit(server.returncode)


if __name__ == "__main__":
    main()
