"""A real browser on a real server: Debian's Chromium, driven by Playwright, on captures and generated calls.

SIPFLOW_CHROMIUM names another browser, SIPFLOW_SCREENSHOTS a directory that pictures are left in.
"""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from browsing import CHROMIUM, SCREENSHOTS, Shot, context_of, fill, generated, send, watched
from running import RunningServer, free_port
from sipflow.clock import SECOND_US, now_us
from sipflow.load.samples import SAMPLES_SPAN_US, sample_calls


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the browser; without one the tests are skipped, but never where CI asks for them.

    Until it is stopped Playwright keeps an event loop running in this thread, so it ends with the file.
    """
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI"):
            pytest.fail(f"no browser at {CHROMIUM}: apt-get install chromium")
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve real data: captures, hostile calls, generated calls of this hour and six samples that have just ended."""
    root = tmp_path_factory.mktemp("console") / "root"
    fill(root)
    config = root.parent / "sipflow.toml"
    config.write_text(
        '[sipflow]\ntoken = "0123456789abcdef-secret"\nretention = "30d"\n'
        '[sipflow.aliases]\n"198.51.100.7" = "edge-1"\n"198.51.100.8" = "core"\n'
    )
    with RunningServer(root, "--config", str(config)) as server:
        send(server, generated(now_us() - 20 * 60 * SECOND_US))
        send(server, sample_calls(now_us() - SAMPLES_SPAN_US - SECOND_US))
        yield server


@pytest.fixture(scope="session")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve nothing: no packet has ever come."""
    hep = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    with RunningServer(tmp_path_factory.mktemp("silent") / "root", "--hep", hep) as server:
        yield server


@pytest.fixture
def complaints() -> list[str]:
    """Collect what a page complains of; a test that expects some takes it out."""
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """Open a page of 1280 x 900; afterwards its console must have no errors and nothing must have executed."""
    context = context_of(browser)
    page = watched(context, complaints)
    yield page
    executed = page.evaluate("window.pwned")
    context.close()
    assert complaints == []
    assert executed is None


@pytest.fixture(scope="session")
def shot() -> Shot:
    """Take a picture of a whole page, where a directory for them is named."""

    def take(page: Page, name: str) -> None:
        if SCREENSHOTS:
            directory = Path(SCREENSHOTS)
            directory.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=directory / f"{re.sub(r'[^a-z0-9-]+', '-', name.lower())}.png", full_page=True)

    return take
