"""What the browser tests look with: windows, pages that are watched, calls to send."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

from playwright.sync_api import Browser, BrowserContext, Page

from capture_writer import pcap
from captures import SHARED
from hostile import hostile_calls
from running import RunningServer
from sipflow.clock import SECOND_US, now_us
from sipflow.importer import import_files
from sipflow.load.call import Call
from sipflow.load.play import Sending, play
from sipflow.load.scenario import Scenario

CHROMIUM: Final = os.environ.get("SIPFLOW_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
SCREENSHOTS: Final = os.environ.get("SIPFLOW_SCREENSHOTS")
HOUR_US = 3600 * SECOND_US
# The captures that are interesting to look at; there are more, and some are large.
SHOWN = (
    "aaa.pcap", "b2bua-asterisk-ng.pcapng", "codec-g711.pcap", "dtmf-2833-call.pcap", "proxy-two-legs.pcap",
    "reinvite-codec-change.pcap", "reject-488-ng.pcapng", "rfc4475-torture.pcap", "rtp-loss-g729.pcap",
)  # fmt: skip
GENERATED = 120
Scheme: TypeAlias = Literal["light", "dark"]
Shot: TypeAlias = Callable[[Page, str], None]


def generated(start_us: int, count: int = GENERATED) -> list[Call]:
    """Plan short calls of every kind, some seconds apart."""
    kinds = list(Scenario)
    return [
        Call(7, number, kinds[number % len(kinds)], start_us + number * 2 * SECOND_US, 4 * SECOND_US)
        for number in range(count)
    ]


@contextmanager
def served(directory: Path, frames: Iterable[tuple[int, bytes]]) -> Iterator[RunningServer]:
    """Serve what a capture file of these frames holds: capture time [us] and Ethernet frame."""
    capture = directory / "calls.pcap"
    capture.write_bytes(pcap(sorted(frames)))
    import_files([capture], directory / "root")
    with RunningServer(directory / "root") as server:
        yield server


def fill(root: Path) -> None:
    """Import captures, where they are, and the hostile calls."""
    hostile = root.parent / "hostile.pcap"
    root.parent.mkdir(parents=True, exist_ok=True)
    hostile.write_bytes(pcap(hostile_calls(now_us() - 3 * HOUR_US)))
    import_files([hostile, *(SHARED / name for name in SHOWN if (SHARED / name).exists())], root)


def send(server: RunningServer, calls: list[Call]) -> None:
    """Send calls at once, and wait until they can be seen."""
    host, port = server.udp
    before = server.metric("sipflow_packets_received_total")
    report = play(sorted(calls, key=lambda call: call.start_us), f"{host}:{port}", Sending(speed=None))
    wanted = before + report.sip + report.rtp
    server.until(lambda: server.metric("sipflow_packets_received_total") >= wanted, "received", 60)


def context_of(
    browser: Browser, width: int = 1280, height: int = 900, scheme: Scheme = "light", *, script: bool = True
) -> BrowserContext:
    """Open a window of its own, in a zone that is neither UTC nor whole hours from it."""
    return browser.new_context(
        viewport={"width": width, "height": height}, timezone_id="Asia/Kolkata", locale="en-GB", color_scheme=scheme,
        java_script_enabled=script,
    )  # fmt: skip


def watched(context: BrowserContext, complaints: list[str]) -> Page:
    """Open a page whose errors, warnings of the policy and failed requests are collected."""
    page = context.new_page()
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


def overflow(page: Page) -> int:
    """Tell by how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
