"""Copy buttons: what is in the clipboard afterwards, and what the button says of it."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from browsing import served
from capture_writer import frame, sdp, sip
from running import RunningServer
from sipflow.clock import SECOND_US

BEGIN_US = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
# As awkward as a Call-ID may be: percent signs, quotes, markup.
CALL_ID = "100%25-\"'<b>&amp;+/ü@h"
MANY = 60
NONE = "none of it"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve a call of an awkward name, and one whose messages are fetched when they are chosen."""
    invite = sip("INVITE sip:bob@example.com SIP/2.0", CALL_ID, "1 INVITE", sdp("192.0.2.1", 4000))
    frames = [(0, frame(ALICE, BOB, invite))]
    for number in range(1, MANY + 1):
        ask = sip("INFO sip:bob@example.com SIP/2.0", "many", f"{number} INFO", to_tag="b")
        frames.append((number * SECOND_US, frame(ALICE, BOB, ask)))
    with served(tmp_path_factory.mktemp("copy"), ((BEGIN_US + offset, octets) for offset, octets in frames)) as server:
        yield server


@pytest.fixture
def allowed(page: Page) -> Page:
    """Let a page read and write the clipboard, in which there is something else."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return page


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_the_call_id_is_copied_as_it_is(allowed: Page, server: RunningServer) -> None:
    allowed.goto(f"{server.url}/calls/{quote(CALL_ID, safe='')}")
    allowed.evaluate("text => navigator.clipboard.writeText(text)", NONE)
    button = allowed.locator(".call-head [data-copy]")
    button.click()
    expect(button).to_have_text("Copied")
    assert clipboard(allowed) == CALL_ID
    expect(button).to_have_text("Copy")


@pytest.mark.parametrize("path", [f"{quote(CALL_ID, safe='')}", f"{quote(CALL_ID, safe='')}/message?n=1"])
def test_a_message_is_copied_whole(allowed: Page, server: RunningServer, path: str) -> None:
    allowed.goto(f"{server.url}/calls/{path}")
    allowed.evaluate("text => navigator.clipboard.writeText(text)", NONE)
    allowed.locator("#m1 [data-copy-from]").click()
    expect(allowed.locator("#m1 [data-copy-from]")).to_have_text("Copied")
    lines = clipboard(allowed).splitlines()
    assert lines[0] == "INVITE sip:bob@example.com SIP/2.0"
    assert f"Call-ID: {CALL_ID}" in lines
    assert lines[-3:] == ["m=audio 4000 RTP/AVP 8 101", "a=rtpmap:101 telephone-event/8000", "a=sendrecv"]


def test_a_message_that_was_fetched_is_copied(allowed: Page, server: RunningServer) -> None:
    allowed.goto(f"{server.url}/calls/many#m7")
    allowed.locator("#m7 [data-copy-from]").click()
    expect(allowed.locator("#m7 [data-copy-from]")).to_have_text("Copied")
    assert "CSeq: 7 INFO" in clipboard(allowed).splitlines()


def test_the_button_has_its_name_back_however_often_it_is_pressed(allowed: Page, server: RunningServer) -> None:
    allowed.goto(f"{server.url}/calls/many")
    button = allowed.locator(".call-head [data-copy]")
    for _ in range(3):
        button.click()
        expect(button).to_have_text("Copied")
    allowed.wait_for_timeout(1700)
    expect(button).to_have_text("Copy", timeout=1000)


def test_what_the_browser_forbids_is_told(page: Page, server: RunningServer) -> None:
    page.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', {get: () => undefined})")
    page.goto(f"{server.url}/calls/many")
    button = page.locator(".call-head [data-copy]")
    button.click()
    expect(button).to_have_text("Not allowed")
