"""Large calls in a browser: an hour of sound and five thousand messages are walked and zoomed like few."""

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from browsing import served
from capture_writer import frame, sdp, sip
from running import RunningServer
from sipflow.clock import SECOND_US

BEGIN_US = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
ALICE_RTP, BOB_RTP = ("192.0.2.1", 4000), ("192.0.2.2", 4002)
HOUR_S = 3600
# Packets are eight times as long as usual, so that the hour has as many samples as any and is written in a moment.
PACKET_MS, PACKET_SAMPLES = 160, 1280
MESSAGES = 5000
REPEAT_EVERY = 100
# What a machine that has other work may need for pages as large as these.
PATIENCE_MS = 60_000
# Zooms and pans as a wheel does it, an animation frame after each, and gives how many frames came.
WHEEL = """() => new Promise(done => {
  const canvas = document.querySelector("canvas.row-wave0");
  const box = canvas.getBoundingClientRect();
  let frames = 0;
  const step = () => {
    frames += 1;
    if (frames > 30) return done(frames);
    const zooms = frames <= 15;
    canvas.dispatchEvent(new WheelEvent("wheel", {
      bubbles: true, cancelable: true, clientX: box.left + box.width / 3, deltaY: zooms ? -100 : 100,
      ctrlKey: zooms, shiftKey: !zooms,
    }));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def hour() -> Iterator[tuple[int, bytes]]:
    """Write a call of an hour with noise both ways and a message every ten minutes."""
    start = "sip:bob@example.com SIP/2.0"
    offer, answer = sdp("192.0.2.1", 4000), sdp("192.0.2.2", 4002)
    yield 0, frame(ALICE, BOB, sip(f"INVITE {start}", "hour", "1 INVITE", offer))
    yield 9000, frame(BOB, ALICE, sip("SIP/2.0 200 OK", "hour", "1 INVITE", answer, to_tag="b"))
    for number in range(1, 7):
        ask = sip(f"INFO {start}", "hour", f"{number + 1} INFO", to_tag="b")
        yield number * 600 * SECOND_US - 5 * SECOND_US, frame(ALICE, BOB, ask)
    noise = np.random.default_rng(1).integers(0, 256, PACKET_SAMPLES, dtype=np.uint8).tobytes()
    for number in range(HOUR_S * 1000 // PACKET_MS):
        at_us = number * PACKET_MS * 1000
        for ssrc, src, dst in ((1, ALICE_RTP, BOB_RTP), (2, BOB_RTP, ALICE_RTP)):
            head = struct.pack(">BBHII", 0x80, 8, number & 0xFFFF, number * PACKET_SAMPLES, ssrc)
            yield at_us + ssrc, frame(src, dst, head + noise)


def many() -> Iterator[tuple[int, bytes]]:
    """Write a call of five thousand messages; every hundredth is sent twice."""
    for number in range(1, MESSAGES + 1):
        cseq = number - 1 if number % REPEAT_EVERY == 0 else number
        ask = sip("INFO sip:bob@example.com SIP/2.0", "many", f"{cseq} INFO", to_tag="b")
        yield number * 200_000, frame(ALICE, BOB, ask)


def settle(page: Page) -> None:
    """Wait until the sound is where it was sought, and the page has heard of it."""
    page.wait_for_function("() => !document.querySelector('[data-audio]').seeking", timeout=PATIENCE_MS)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def arrow(number: int) -> str:
    return f"a.arrow[data-message='{number}']"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve the two calls."""
    frames = ((BEGIN_US + offset, octets) for offset, octets in (*hour(), *many()))
    with served(tmp_path_factory.mktemp("large"), frames) as server:
        yield server


class TestAnHour:
    @pytest.fixture
    def hour(self, page: Page, server: RunningServer) -> Page:
        """Open the call, its outlines drawn."""
        page.goto(f"{server.url}/calls/hour")
        expect(page.locator("canvas.row-wave1")).to_be_visible(timeout=PATIENCE_MS)
        page.wait_for_function("() => document.querySelector('[data-audio]').readyState >= 1", timeout=PATIENCE_MS)
        return page

    def test_all_of_it_is_on_the_axis(self, hour: Page) -> None:
        assert hour.evaluate("document.querySelector('[data-audio]').duration") == pytest.approx(HOUR_S, abs=1)
        assert hour.locator("[data-axis]").get_attribute("aria-valuemax") == f"{HOUR_S - 0.2:.1f}"

    def test_the_page_answers_while_it_is_zoomed_and_panned(self, hour: Page) -> None:
        before = hour.locator("canvas.row-ruler").evaluate("canvas => canvas.toDataURL()")
        with hour.expect_response(
            lambda answer: "/peaks" in answer.url and "start=" in answer.url, timeout=PATIENCE_MS
        ):
            assert hour.evaluate(WHEEL) > 30
        assert hour.locator("canvas.row-ruler").evaluate("canvas => canvas.toDataURL()") != before
        hour.evaluate("scrollTo(0, document.body.scrollHeight)")
        hour.wait_for_function("() => scrollY > 0")

    def test_a_seek_moves_cursor_sound_and_ladder(self, hour: Page) -> None:
        box = hour.locator("canvas.row-wave0").bounding_box()
        assert box is not None
        hour.locator("canvas.row-wave0").click(position={"x": box["width"] * 0.75, "y": 10})
        settle(hour)
        now = float(hour.locator("[data-axis]").get_attribute("aria-valuenow") or 0)
        # A pixel is some seconds of an hour.
        assert now == pytest.approx(HOUR_S * 0.75, abs=10)
        assert hour.evaluate("document.querySelector('[data-audio]').currentTime") == pytest.approx(now, abs=0.2)
        # The one at 39:55 is the last before 45:00.
        expect(hour.locator("a.arrow.playing")).to_have_attribute("data-message", "6")
        hour.locator(arrow(3)).click()
        settle(hour)
        assert hour.locator("[data-axis]").get_attribute("aria-valuenow") == "595.0"
        head = hour.locator(".playhead").bounding_box()
        assert head is not None
        assert head["x"] == pytest.approx(box["x"] + box["width"] * 595 / HOUR_S, abs=3)


class TestManyMessages:
    def test_any_of_them_is_shown_and_scrolled_to(self, page: Page, server: RunningServer) -> None:
        page.goto(f"{server.url}/calls/many#m{MESSAGES}")
        expect(page.locator(f"#m{MESSAGES}")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator(arrow(MESSAGES))).to_be_in_viewport()
        assert page.locator("a.arrow").count() == MESSAGES
        for number in (1, 2750, 4321):
            page.locator(arrow(number)).evaluate(
                "arrow => arrow.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))"
            )
            expect(page.locator(f"#m{number}")).to_be_visible(timeout=PATIENCE_MS)
            expect(page.locator(f"#m{number}")).to_contain_text(f"CSeq: {number} INFO")
            expect(page.locator(arrow(number))).to_be_in_viewport()
            assert page.locator("article").count() == 1
        page.keyboard.press("ArrowDown")
        expect(page.locator("#m4322")).to_be_visible(timeout=PATIENCE_MS)

    def test_retransmissions_are_hidden(self, page: Page, server: RunningServer) -> None:
        page.goto(f"{server.url}/calls/many")
        repeats = MESSAGES // REPEAT_EVERY
        assert page.locator("a.arrow.repeat").count() == repeats
        page.get_by_label("hide retransmissions").check()
        page.wait_for_url("**repeats=hide**")
        expect(page.get_by_role("heading", name=f"{repeats} retransmissions hidden")).to_be_visible()
        assert page.locator("a.arrow").count() == MESSAGES - repeats
        assert page.locator("a.arrow.repeat").count() == 0
        # The messages keep their numbers.
        expect(page.locator(arrow(MESSAGES - 1))).to_be_attached()
        expect(page.locator(arrow(MESSAGES))).not_to_be_attached()
