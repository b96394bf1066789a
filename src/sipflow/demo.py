"""`make run`: a server on loopback, six calls played into it over the real wire, and one of them on screen."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import httpx

from sipflow.clock import SECOND_US, now_us
from sipflow.load.play import Sending, play
from sipflow.load.samples import SAMPLES_SPAN_US, sample_calls

UDP = "127.0.0.1:3000"
HTTP = "http://127.0.0.1:3001"
DATA = Path("data")
_START_SECONDS = 15.0


def main() -> None:
    """Start the server, play the calls, show the first one's ladder, and stay up until interrupted."""
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sipflow.server",
            "--udp",
            UDP,
            "--http",
            HTTP.removeprefix("http://"),
            "--hep",
            "none",
            "--dir",
            str(DATA),
        ]
    )
    try:
        _wait_until_healthy(server)
        _play_and_show()
        server.wait()
    except KeyboardInterrupt:
        # The server was interrupted with us and is stopping by itself.
        pass
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
        server.wait()
    sys.exit(server.returncode)


def _wait_until_healthy(server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            sys.exit(server.returncode)  # it has said why
        try:
            if httpx.get(f"{HTTP}/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit(f"the server did not answer at {HTTP}/health within {_START_SECONDS:.0f} s")


def _play_and_show() -> None:
    calls = sample_calls(now_us() - SAMPLES_SPAN_US - SECOND_US)
    report = play(calls, UDP, Sending(speed=None))
    first = quote(calls[0].call_id, safe="")
    say = sys.stdout.write
    say(f"\n{report.sip + report.rtp} packets of {len(calls)} sample calls were sent to {UDP}. The newest calls:\n\n")
    sys.stdout.flush()
    _sipflow("calls", "--limit", str(len(calls)), "--url", HTTP)
    say("\nOne of them:\n\n")
    sys.stdout.flush()
    _sipflow("flow", calls[0].call_id, "--url", HTTP)
    say(
        f"\nOpen {HTTP} in a browser, {HTTP}/calls/{first} to see and hear this one,\n"
        f"or run: sipflow wav {shlex.quote(calls[0].call_id)} --url {HTTP} -o call.wav\n"
        f'A RustPBX node sends its calls here with: [sipflow] type = "remote", '
        f'nodes = [{{ udp = "{UDP}", http = "{HTTP}" }}]\n'
        "Ctrl-C stops the server.\n"
    )
    sys.stdout.flush()


def _sipflow(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "sipflow", *arguments], check=True)


if __name__ == "__main__":
    main()
