"""The page of a call in a browser: ladder, message and sound move together, by click and by key, and without script."""

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from axe import violations
from browsing import Scheme, Shot, context_of, overflow, served, watched
from capture_writer import frame, rtp, sdp, sip
from running import RunningServer
from sipflow.clock import SECOND_US

BEGIN_US = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
TALK_S = 30
MANY = 1000
# What a browser of this machine may need for the layout of all that is to be seen of a thousand messages.


def talk() -> list[tuple[int, bytes]]:
    """Write a call with a message every five seconds and sound both ways."""
    call_id = "talk/with slash"
    offer, answer = sdp("192.0.2.1", 4000), sdp("192.0.2.2", 4002)
    frames = [
        (0, frame(ALICE, BOB, sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE", offer))),
        (900_000, frame(BOB, ALICE, sip("SIP/2.0 200 OK", call_id, "1 INVITE", answer, to_tag="b"))),
        (950_000, frame(ALICE, BOB, sip("ACK sip:bob@example.com SIP/2.0", call_id, "1 ACK", to_tag="b"))),
    ]
    for number in range(TALK_S * 50):
        at_us = SECOND_US + number * 20_000
        if not 500 <= number < 520:
            frames.append((at_us, frame(("192.0.2.1", 4000), ("192.0.2.2", 4002), rtp(number, ssrc=1))))
        frames.append((at_us, frame(("192.0.2.2", 4002), ("192.0.2.1", 4000), rtp(number, ssrc=2))))
    for number in range(1, 6):
        ask = sip("INFO sip:bob@example.com SIP/2.0", call_id, f"{number + 1} INFO", to_tag="b")
        frames.append((number * 5 * SECOND_US, frame(ALICE, BOB, ask)))
    end = sip("BYE sip:bob@example.com SIP/2.0", call_id, "9 BYE", to_tag="b")
    frames.append(((TALK_S + 2) * SECOND_US, frame(ALICE, BOB, end)))
    return [(BEGIN_US + offset, octets) for offset, octets in frames]


def many() -> list[tuple[int, bytes]]:
    """Write a call of a thousand messages."""
    frames = []
    for number in range(MANY // 2):
        ask = sip("INFO sip:bob@example.com SIP/2.0", "many", f"{number + 1} INFO", to_tag="b")
        reply = sip("SIP/2.0 200 OK", "many", f"{number + 1} INFO", to_tag="b")
        at_us = BEGIN_US + 60 * SECOND_US + number * 200_000
        frames += [(at_us, frame(ALICE, BOB, ask)), (at_us + 9000, frame(BOB, ALICE, reply))]
    return frames


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve the two calls."""
    with served(tmp_path_factory.mktemp("calls"), [*talk(), *many()]) as server:
        yield server


@pytest.fixture
def talking(page: Page, calls: RunningServer) -> Page:
    """Open the page of the talk, its outlines drawn."""
    page.goto(f"{calls.url}/calls/{quote('talk/with slash', safe='')}")
    expect(page.locator("canvas.row-wave1")).to_be_visible()
    page.wait_for_function("() => document.querySelector('[data-audio]').readyState >= 1")
    return page


def position(page: Page) -> float:
    return float(page.evaluate("document.querySelector('[data-audio]').currentTime"))


def arrow(page: Page, number: int) -> str:
    return f"a.arrow[data-message='{number}']"


class TestTogether:
    def test_a_click_shows_the_message_and_seeks_to_it(self, talking: Page, shot: Shot) -> None:
        talking.locator(arrow(talking, 6)).click()
        # The recording begins 1 s after the call, the sixth message is 15 s into it.
        assert position(talking) == pytest.approx(14.0, abs=0.05)
        expect(talking.locator("#m6")).to_be_visible()
        expect(talking.locator("#m5")).to_be_hidden()
        expect(talking.locator(arrow(talking, 6))).to_have_class("arrow kind-request current playing")
        assert talking.url.endswith("#m6")
        assert talking.locator("[data-axis]").get_attribute("aria-valuenow") == "15.0"
        shot(talking, "call")

    def test_the_cursor_walks_the_ladder_while_it_plays(self, talking: Page) -> None:
        talking.locator(arrow(talking, 5)).click()
        talking.evaluate("document.querySelector('[data-audio]').playbackRate = 8")
        talking.keyboard.press(" ")
        expect(talking.locator(arrow(talking, 7))).to_have_class("arrow kind-request playing", timeout=10_000)
        talking.keyboard.press(" ")
        assert talking.evaluate("document.querySelector('[data-audio]').paused")
        # What is shown stays what was chosen.
        expect(talking.locator("#m5")).to_be_visible()

    def test_a_click_on_the_axis_seeks(self, talking: Page) -> None:
        wave = talking.locator("canvas.row-wave0")
        box = wave.bounding_box()
        assert box is not None
        wave.click(position={"x": box["width"] * 0.5, "y": 10})  # scrolls to it
        # Half of the 32 s from the first packet to the last, less the second before the sound begins.
        assert position(talking) == pytest.approx(15.0, abs=0.2)

    def test_zoom_shows_more_of_less(self, talking: Page) -> None:
        with talking.expect_response(lambda answer: "/peaks" in answer.url and "start=" in answer.url) as asked:
            talking.get_by_role("button", name="Zoom in").click()
        assert asked.value.ok
        talking.keyboard.press("Escape")
        talking.locator("[data-axis]").focus()
        talking.keyboard.press("0")


# How long after the page stood the sound was asked for [ms].
SOUND_ASKED = """() => performance.getEntriesByType("resource").find(one => one.name.includes("/media.wav")).startTime
  - performance.getEntriesByType("navigation")[0].loadEventStart"""


class TestStands:
    def test_before_the_sound_is_asked_for(self, talking: Page) -> None:
        assert talking.evaluate(SOUND_ASKED) >= 0
        assert talking.evaluate("document.querySelector('[data-audio]').duration") == pytest.approx(TALK_S, abs=0.5)

    def test_the_zone_of_the_times_is_named(self, page: Page, calls: RunningServer) -> None:
        page.goto(f"{calls.url}/calls/many")
        zone = page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
        label = page.locator("[data-zone-label]")
        expect(label).to_have_text(zone)
        expect(page.locator("[data-zone]")).to_have_attribute("title", f"Times are {zone}; show UTC")
        page.keyboard.press("z")
        expect(label).to_have_text("UTC")
        page.keyboard.press("z")
        expect(label).to_have_text(zone)


class TestKeys:
    def test_the_whole_page_goes_by_keys(self, talking: Page) -> None:
        talking.keyboard.press("ArrowDown")
        expect(talking.locator("#m2")).to_be_visible()
        assert talking.evaluate("document.activeElement.dataset.message") == "2"
        for _ in range(4):
            talking.keyboard.press("ArrowDown")
        assert position(talking) == pytest.approx(14.0, abs=0.05)
        talking.keyboard.press("ArrowUp")
        assert position(talking) == pytest.approx(9.0, abs=0.05)
        talking.keyboard.press("ArrowRight")
        assert position(talking) == pytest.approx(14.0, abs=0.05)
        talking.keyboard.press("ArrowLeft")
        talking.keyboard.press("ArrowLeft")
        assert position(talking) == pytest.approx(4.0, abs=0.05)
        talking.keyboard.press(" ")
        talking.wait_for_function("() => !document.querySelector('[data-audio]').paused")

    def test_keys_of_controls_stay_theirs(self, talking: Page) -> None:
        box = talking.locator("#m1 input[name=b]")
        box.fill("2")
        talking.keyboard.press("ArrowLeft")
        assert position(talking) == 0
        talking.keyboard.press("Enter")
        expect(talking.get_by_role("heading", level=1)).to_have_text("Message 1 and message 2")


class TestCompare:
    def test_two_messages_stand_side_by_side(self, talking: Page, shot: Shot) -> None:
        talking.locator("#m2").get_by_text("Compare with 1").evaluate("link => link.click()")
        expect(talking.locator("tr.changed", has_text="start line")).to_contain_text("SIP/2.0 200 OK")
        expect(talking.locator("tr.changed", has_text="audio 1: address")).to_contain_text("192.0.2.2:4002")
        expect(talking.locator("tr.same", has_text="Call-ID")).to_be_visible()
        assert violations(talking) == []
        shot(talking, "compare")

    def test_a_message_of_another_call_is_found_by_keys(self, talking: Page, shot: Shot, complaints: list[str]) -> None:
        talking.locator("#m1").get_by_label("of call").focus()
        talking.keyboard.type("no such call")
        talking.keyboard.press("Enter")
        expect(talking.get_by_role("alert")).to_have_text("no packet of call 'no such call' is stored here")
        complaints.clear()  # 404, and the browser says so
        box = talking.get_by_label("of call")
        expect(box).to_have_value("no such call")
        expect(box).to_have_accessible_description("no packet of call 'no such call' is stored here")
        assert violations(talking) == []
        box.fill("many")
        talking.keyboard.press("Enter")
        expect(talking.get_by_role("heading", level=2)).to_have_text("Messages of call many")
        expect(talking.locator("[data-line]")).to_have_count(MANY)
        assert violations(talking) == []
        shot(talking, "choose")
        for key in ("j", "j", "Enter"):
            talking.keyboard.press(key)
        expect(talking.get_by_role("heading", level=1)).to_have_text("Message 1 and message 2")
        expect(talking.locator("dl.compared")).to_contain_text("message 1 of call talk/with slash")
        expect(talking.locator("dl.compared")).to_contain_text("message 2 of call many")
        expect(talking.locator("tr.changed", has_text="Call-ID")).to_be_visible()
        assert violations(talking) == []
        shot(talking, "compare-two-calls")
        talking.get_by_label("Compare message 1 with").fill("1001")
        talking.keyboard.press("Enter")
        expect(talking.get_by_role("alert")).to_contain_text("the number of a message of call 'many', 1 to 1000")
        complaints.clear()  # 400
        talking.get_by_label("Compare message 1 with").fill("3")
        talking.keyboard.press("Enter")
        expect(talking.get_by_role("heading", level=1)).to_have_text("Message 1 and message 3")
        talking.locator("dl.compared").get_by_role("link", name="many").click()
        expect(talking.locator(arrow(talking, 3))).to_have_class("arrow kind-request current")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("script", [True, False])
    def test_the_choice_fits_a_phone(
        self, browser: Browser, calls: RunningServer, shot: Shot, scheme: Scheme, script: bool
    ) -> None:
        context = context_of(browser, 390, 844, scheme, script=script)
        page = context.new_page()
        page.goto(f"{calls.url}/calls/{quote('talk/with slash', safe='')}/message?n=2")
        assert overflow(page) == 0
        shot(page, f"message-390-{scheme}-{script}")
        page.get_by_label("of call").fill("many")
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("heading", level=2)).to_have_text("Messages of call many")
        assert overflow(page) == 0
        assert not script or violations(page) == []
        page.get_by_role("link", name="200 OK", exact=True).first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Message 2 and message 2")
        assert overflow(page) == 0
        assert not script or violations(page) == []
        shot(page, f"compare-390-{scheme}-{script}")
        context.close()


class TestManyMessages:
    def test_a_thousand_are_there_at_once(self, page: Page, calls: RunningServer) -> None:
        # How long that takes is measured by bench/pages.py.
        page.goto(f"{calls.url}/calls/many")
        expect(page.locator("#m1")).to_be_visible()
        assert page.locator("a.arrow").count() == MANY

    def test_any_of_them_is_fetched_when_it_is_chosen(self, page: Page, calls: RunningServer) -> None:
        page.goto(f"{calls.url}/calls/many#m901")
        expect(page.locator("#m901")).to_be_visible()
        expect(page.locator(arrow(page, 901))).to_be_in_viewport()
        page.keyboard.press("ArrowDown")
        expect(page.locator("#m902")).to_be_visible()
        assert page.locator("article").count() == 1


class TestWithoutScript:
    def test_everything_can_be_read(self, browser: Browser, calls: RunningServer) -> None:
        context = context_of(browser, script=False)
        page = context.new_page()
        page.goto(f"{calls.url}/calls/{quote('talk/with slash', safe='')}")
        assert page.locator("a.arrow").count() == 9
        page.locator(arrow(page, 2)).click()
        expect(page.locator("#m2")).to_be_visible()
        page.get_by_label("hide retransmissions").check()
        page.get_by_role("button", name="Apply").click()
        assert "repeats=hide" in page.url
        page.goto(f"{calls.url}/calls/many")
        page.locator(arrow(page, 3)).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Message 3 of {MANY}")
        page.get_by_role("link", name="Next").click()
        expect(page.locator("#m4")).to_be_visible()
        page.goto(f"{calls.url}/calls/{quote('talk/with slash', safe='')}")
        page.get_by_role("link", name="Quality").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Quality")
        assert page.locator("svg.chart").count() > 0
        assert page.locator("main").inner_text().count("MOS") >= 2
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_fits_every_screen_and_every_reader(
    browser: Browser, calls: RunningServer, complaints: list[str], shot: Shot, width: int, scheme: Scheme
) -> None:
    context = context_of(browser, width, 900, scheme=scheme)
    page = watched(context, complaints)
    for path in (
        f"/calls/{quote('talk/with slash', safe='')}",
        "/calls/many",
        "/calls/many/message?n=7",
        f"/calls/{quote('talk/with slash', safe='')}/quality",
    ):
        page.goto(calls.url + path)
        page.wait_for_load_state("networkidle")
        assert overflow(page) == 0
        assert violations(page) == []
        shot(page, f"call-{width}-{scheme}-{path[-8:]}")
    context.close()
    assert complaints == []


def test_every_real_and_hostile_call_opens(page: Page, console: RunningServer, complaints: list[str]) -> None:
    listed = httpx.get(console.url + "/api/v1/calls", params={"limit": 400, "until": BEGIN_US}).json()["calls"]
    for wanted in ({"q": "callid:hostile*", "limit": "40"}, {"limit": "20"}):
        listed += httpx.get(console.url + "/api/v1/calls", params=wanted).json()["calls"]
    for call in listed:
        page.goto(f"{console.url}/calls/{quote(call['call_id'], safe='')}")
        assert page.locator("a.arrow").count() == call["sip_messages"]
        assert page.evaluate("window.pwned") is None
        assert overflow(page) == 0
        assert complaints == [], call["call_id"]
    assert len(listed) > 20


def test_pictures(page: Page, console: RunningServer, shot: Shot) -> None:
    for number, call in enumerate(httpx.get(console.url + "/api/v1/calls", params={"limit": 6}).json()["calls"]):
        page.goto(f"{console.url}/calls/{quote(call['call_id'], safe='')}")
        page.wait_for_load_state("networkidle")
        shot(page, f"call-sample-{number}")
