"""A call in one file, opened from the disk: it needs no server, it obeys mouse and keys, and nothing in it acts."""

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from axe import violations
from browsing import Shot, context_of, overflow, served, watched
from capture_writer import frame, rtp, sdp, sip
from hostile import ATTEMPTS, hostile_calls
from running import RunningServer
from sipflow.clock import SECOND_US
from sipflow.wire.visible import visible

BEGIN_US = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
PHONE, PROXY = ("10.71.72.73", 5060), ("10.81.82.83", 5060)
CALL_ID = "kept-secret@sbc.voice.test"
TALK_S = 30
SECRETS = (
    "alice.doe", "bob.roe", "+4930123456", "10.71.72.73", "10.81.82.83", "kept-secret", "voice.test", "desk-of-alice",
    "Board room", "from-secret",
)  # fmt: skip
# The policy of the file lets nothing be evaluated, so that Playwright cannot ask again and again.
LOADED = """() => {
    const sound = document.querySelector("audio");
    return new Promise((done, failed) => {
        sound.addEventListener("error", () => failed(sound.error.message));
        sound.addEventListener("loadedmetadata", () => done());
        if (sound.readyState >= 1) done();
    });
}"""
PLAYED = """async () => {
    const sound = document.querySelector("audio");
    const from = sound.currentTime;
    await sound.play();
    await new Promise((done) => sound.addEventListener("timeupdate", () => sound.currentTime > from + 0.2 && done()));
}"""
Saved = Callable[..., Path]


def talk() -> list[tuple[int, bytes]]:
    """Write a call of eight messages, one of them every five seconds, with sound both ways, and names everywhere."""

    def named(start: str, cseq: str, body: str = "", to_tag: str = "") -> bytes:
        octets = sip(start, CALL_ID, cseq, body, from_tag="from-secret", to_tag=to_tag)
        more = (
            b'P-Asserted-Identity: "Board room" <sip:+4930123456@sbc.voice.test>\r\n'
            b"Contact: <sip:alice.doe@10.71.72.73:5060>\r\nX-Desk: desk-of-alice\r\nCSeq:"
        )
        octets = octets.replace(b"alice@example.com", b"alice.doe@sbc.voice.test").replace(b"192.0.2.1", b"10.71.72.73")
        return octets.replace(b"bob@example.com", b"bob.roe@sbc.voice.test").replace(b"CSeq:", more, 1)

    offer, answer = sdp(PHONE[0], 4000), sdp(PROXY[0], 4002)
    frames = [
        (0, frame(PHONE, PROXY, named("INVITE sip:bob@example.com SIP/2.0", "1 INVITE", offer))),
        (900_000, frame(PROXY, PHONE, named("SIP/2.0 200 OK", "1 INVITE", answer, to_tag="b"))),
        (950_000, frame(PHONE, PROXY, named("ACK sip:bob@example.com SIP/2.0", "1 ACK", to_tag="b"))),
    ]
    for number in range(TALK_S * 50):
        at_us = SECOND_US + number * 20_000
        frames.append((at_us, frame((PHONE[0], 4000), (PROXY[0], 4002), rtp(number, ssrc=1))))
        frames.append((at_us, frame((PROXY[0], 4002), (PHONE[0], 4000), rtp(number, ssrc=2))))
    for number in range(1, 5):
        ask = named("INFO sip:bob@example.com SIP/2.0", f"{number + 1} INFO", to_tag="b")
        frames.append((number * 5 * SECOND_US, frame(PHONE, PROXY, ask)))
    end = named("BYE sip:bob@example.com SIP/2.0", "9 BYE", to_tag="b")
    frames.append(((TALK_S + 2) * SECOND_US, frame(PHONE, PROXY, end)))
    return [(BEGIN_US + offset, octets) for offset, octets in frames]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve the call, and those that attack."""
    frames = [*talk(), *hostile_calls(BEGIN_US + 60 * SECOND_US)]
    with served(tmp_path_factory.mktemp("bundles"), frames) as running:
        yield running


@pytest.fixture
def saved(server: RunningServer, tmp_path: Path) -> Saved:
    """Save a call as a file."""

    def save(call_id: str = CALL_ID, **asked: str) -> Path:
        path = f"/api/v1/calls/{quote(call_id, safe='')}/bundle.html"
        answer = httpx.get(server.url + path, params=asked, timeout=60)
        assert answer.status_code == 200, answer.text
        file = tmp_path / "call.html"
        file.write_bytes(answer.content)
        return file

    return save


@pytest.fixture
def requests(page: Page) -> list[str]:
    """Collect what the page asks for."""
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url[:60])

    page.on("request", note)
    return asked


@pytest.fixture
def opened(page: Page, requests: list[str], saved: Saved) -> Page:
    """Open the call from the disk, its sound ready; whatever happens, it asks for nothing but itself."""
    file = saved()
    page.goto(file.as_uri())
    page.evaluate(LOADED)
    return page


def arrow(page: Page, number: int) -> str:
    return f".ladder a#a{number}"


def position(page: Page) -> float:
    return float(page.evaluate("document.querySelector('audio').currentTime"))


class TestTogether:
    def test_it_needs_nothing_else(self, opened: Page, requests: list[str], shot: Shot) -> None:
        expect(opened.get_by_role("heading", level=1)).to_have_text(CALL_ID)
        assert opened.locator(".ladder a[href]").count() == 8
        assert opened.evaluate("document.querySelector('audio').duration") == pytest.approx(TALK_S, abs=0.5)
        opened.locator(arrow(opened, 6)).click()
        opened.evaluate(PLAYED)
        assert position(opened) > 14.0
        assert [url for url in requests if not url.startswith("data:audio/")] == [opened.url[:60]]
        shot(opened, "bundle")

    def test_a_click_shows_the_message_and_seeks_to_it(self, opened: Page) -> None:
        expect(opened.locator("#m6 pre")).to_be_hidden()
        opened.locator(arrow(opened, 6)).click()
        expect(opened.locator("#m6 pre")).to_be_visible()
        expect(opened.locator("#m6 pre")).to_be_in_viewport()
        expect(opened.locator("#m6 pre")).to_contain_text("CSeq: 4 INFO")
        expect(opened.locator("#m5 pre")).to_be_hidden()
        # The recording begins 1 s after the call, the sixth message is 15 s into it.
        assert position(opened) == pytest.approx(14.0, abs=0.05)
        expect(opened.locator(".ladder [aria-current]")).to_have_id("a6")
        opened.locator(arrow(opened, 1)).click()
        assert position(opened) == 0

    def test_playing_moves_the_cursor(self, opened: Page) -> None:
        opened.locator(arrow(opened, 5)).click()
        expect(opened.locator(".ladder .playing")).to_have_id("a5")
        opened.evaluate("sound => { sound.playbackRate = 8; sound.play(); }", opened.locator("audio").element_handle())
        expect(opened.locator(".ladder .playing")).to_have_id("a7", timeout=10_000)
        # What was chosen stays chosen.
        expect(opened.locator(".ladder .current")).to_have_id("a5")


class TestKeys:
    def test_arrows_are_reached_and_chosen(self, opened: Page) -> None:
        first = opened.get_by_role("link", name="Message 1: INVITE (SDP) from 10.71.72.73:5060 to 10.81.82.83:5060")
        opened.locator(".ladder").focus()
        opened.keyboard.press("Tab")
        expect(first).to_be_focused()
        opened.keyboard.press("Tab")
        opened.keyboard.press("Enter")
        expect(opened.locator("#m2 pre")).to_be_visible()
        expect(opened.locator("#m1 pre")).to_be_hidden()
        for _ in range(4):
            opened.keyboard.press("ArrowDown")
        expect(opened.locator(arrow(opened, 6))).to_be_focused()
        assert position(opened) == pytest.approx(14.0, abs=0.05)
        opened.keyboard.press("ArrowUp")
        expect(opened.locator("#m5 pre")).to_be_visible()
        assert position(opened) == pytest.approx(9.0, abs=0.05)

    def test_who_has_the_focus_is_seen(self, opened: Page) -> None:
        opened.locator(".ladder").focus()
        opened.keyboard.press("Tab")
        strokes = "document.querySelectorAll('.ladder a .hit')"
        seen = opened.evaluate(f"[...{strokes}].map(hit => getComputedStyle(hit).stroke)")
        assert seen == ["rgb(37, 99, 201)"] + ["none"] * 7


@pytest.mark.parametrize("width", [390, 1280])
def test_fits_every_screen_and_every_reader(
    browser: Browser, saved: Saved, complaints: list[str], shot: Shot, width: int
) -> None:
    context = context_of(browser, width)
    page = watched(context, complaints)
    page.goto(saved().as_uri())
    page.locator(arrow(page, 2)).click()
    assert overflow(page) == 0
    assert violations(page) == []
    shot(page, f"bundle-{width}")
    context.close()
    assert complaints == []


def test_without_script_an_arrow_leads_to_its_message(browser: Browser, saved: Saved) -> None:
    context = context_of(browser, script=False)
    page = context.new_page()
    page.goto(saved().as_uri())
    page.locator(arrow(page, 8)).click()
    assert page.url.endswith("#m8")
    page.locator("#m8 summary").click()
    expect(page.locator("#m8 pre")).to_contain_text("9 BYE")
    context.close()


@pytest.mark.parametrize("number", range(len(ATTEMPTS)))
def test_hostile_text_stays_text(page: Page, requests: list[str], saved: Saved, number: int) -> None:
    attempt = ATTEMPTS[number]
    call_id = f"hostile-{number}-{attempt}"
    page.goto(saved(call_id, pseudonyms="1").as_uri())
    nothing_acts(page)
    page.goto(saved(call_id).as_uri())
    nothing_acts(page)
    assert len(requests) == 2
    # All of it is there to be read.
    assert page.title() == " ".join(f"{visible(call_id)} · sipflow".split())
    assert f"Subject: {visible(attempt)}" in page.locator("#m1 pre").inner_text()
    assert f"Reason: {visible(attempt)}" in page.locator("#m2 pre").inner_text()


def nothing_acts(page: Page) -> None:
    """Look at both messages of an attack; the page has no other elements than its own, and nothing has executed."""
    assert page.locator(".ladder a[href]").count() == 2
    for number in (1, 2):
        page.locator(arrow(page, number)).click()
        expect(page.locator(f"#m{number} pre")).to_be_visible()
    assert page.locator("script, style, iframe, img, svg svg, object, embed").count() == 2
    assert page.evaluate("window.pwned") is None


def test_pseudonyms_leave_nothing_of_whom_it_was(page: Page, saved: Saved) -> None:
    plain, disguised = (saved(**asked).read_text() for asked in ({}, {"pseudonyms": "1"}))
    for secret in SECRETS:
        assert secret in plain, secret
    sound = re.search(r"data:audio/ogg;base64,([^\"]+)", disguised)
    assert sound is not None
    # By chance base64 may read like anything.
    told = disguised.replace(sound[1], "").lower().encode() + base64.b64decode(sound[1])
    for secret in SECRETS:
        assert secret.lower().encode() not in told, secret
    page.goto(saved(pseudonyms="1").as_uri())
    assert page.locator(".ladder a[href]").count() == 8
    page.locator(arrow(page, 6)).click()
    expect(page.locator("#m6 pre")).to_contain_text("CSeq: 4 INFO")
    page.evaluate(LOADED)
    assert position(page) == pytest.approx(14.0, abs=0.05)
