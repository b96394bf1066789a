"""Who has only keys, a narrow screen, a screen reader or no script reaches what the other files do not look at."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from axe import violations
from browsing import Scheme, Shot, context_of, overflow
from running import RunningServer


class Place(NamedTuple):
    """A page to reach: its address, its status and its heading."""

    url: str
    status: int
    heading: str


@pytest.fixture(scope="module")
def call(console: RunningServer) -> str:
    """Name a call that was answered and has sound, as it stands in addresses."""
    listed = httpx.get(f"{console.url}/api/v1/calls", params={"q": "status:200 method:INVITE", "limit": "50"}).json()
    return quote(next(each["call_id"] for each in listed["calls"] if each["rtp_packets"]), safe="")


@pytest.fixture(scope="module")
def places(console: RunningServer, silent: RunningServer, call: str) -> list[Place]:
    """List the pages."""
    return [
        Place(f"{console.url}/calls/{call}/compare?a=1&b=2", 200, "Message 1 and message 2"),
        Place(f"{silent.url}/", 200, "Waiting for packets"),
        Place(f"{console.url}/no/such/{'page' * 40}", 404, "Nothing here"),
        Place(f"{console.url}/calls/none", 404, "Nothing here"),
        Place(f"{console.url}/calls/{call}/message?n=0", 400, "That question cannot be answered"),
        Place(f"{console.url}/nodes", 200, "Nodes"),
        Place(f"{console.url}/settings", 200, "Settings"),
    ]


@pytest.fixture
def plain(browser: Browser) -> Iterator[BrowserContext]:
    """Open a window without script, as wide as a telephone."""
    context = context_of(browser, 390, 800, script=False)
    yield context
    context.close()


@pytest.fixture(params=["light", "dark"])
def bare(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """Open a window to which no module of the console comes: pages are as without script, but axe can run in them."""
    context = context_of(browser, 390, 800, request.param)
    context.route("**/static/*.js*", lambda route: route.abort())
    yield context
    context.close()


class TestKeys:
    def test_enter_on_a_line_opens_its_call(self, page: Page, console: RunningServer) -> None:
        page.goto(f"{console.url}/calls?q=until:1m")
        for _ in range(3):
            page.keyboard.press("j")
        call_id = page.locator("[data-calls] tr").nth(2).get_attribute("data-call")
        page.keyboard.press("Enter")
        expect(page.locator(".call-head code")).to_have_text(call_id or "")
        expect(page.locator("[data-ladder]")).to_be_visible()

    def test_tab_reaches_the_downloads_and_enter_takes_one(self, page: Page, console: RunningServer, call: str) -> None:
        page.goto(f"{console.url}/calls/{call}")
        menu = page.locator("summary", has_text="Downloads")
        for _ in range(20):
            page.keyboard.press("Tab")
            if menu.evaluate("menu => menu === document.activeElement"):
                break
        expect(menu).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        first = page.locator(".menu a").first
        expect(first).to_be_visible()
        expect(first).to_be_focused()
        with page.expect_download() as started:
            page.keyboard.press("Enter")
        assert started.value.path().stat().st_size > 1000

    def test_the_skip_link_is_first_and_leads_to_the_content(self, page: Page, console: RunningServer) -> None:
        page.goto(f"{console.url}/calls")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()


class TestOpen:
    """What is only there once it was opened."""

    @pytest.mark.parametrize("width", [390, 1280])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_the_help_holds_the_focus_and_gives_it_back(
        self, browser: Browser, console: RunningServer, shot: Shot, width: int, scheme: Scheme
    ) -> None:
        context = context_of(browser, width, 800, scheme)
        page = context.new_page()
        page.goto(f"{console.url}/calls")
        button = page.get_by_role("button", name="Keyboard shortcuts")
        button.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Keyboard")
        expect(dialog).to_be_visible()
        assert dialog.evaluate("dialog => dialog.contains(document.activeElement)")
        assert overflow(page) == 0
        assert violations(page) == []
        shot(page, f"help-{width}-{scheme}")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(button).to_be_focused()
        context.close()

    @pytest.mark.parametrize("width", [390, 1280])
    @pytest.mark.parametrize("summary", ["Form", "Recent", "Language"])
    def test_the_panels_of_the_search(
        self, browser: Browser, console: RunningServer, shot: Shot, width: int, summary: str
    ) -> None:
        context = context_of(browser, width, 800)
        page = context.new_page()
        page.goto(f"{console.url}/calls?q=status:4xx")  # there are recent searches once one was made
        page.goto(f"{console.url}/calls")
        panel = page.locator("details.form", has=page.locator("summary", has_text=summary))
        panel.locator("summary").click()
        expect(panel.locator(".card")).to_be_visible()
        box = panel.locator(".card").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert overflow(page) == 0
        assert violations(page) == []
        shot(page, f"panel-{summary}-{width}")
        context.close()

    @pytest.mark.parametrize("width", [390, 1280])
    def test_the_downloads_of_a_call(
        self, browser: Browser, console: RunningServer, shot: Shot, call: str, width: int
    ) -> None:
        context = context_of(browser, width, 800)
        page = context.new_page()
        page.goto(f"{console.url}/calls/{call}")
        page.locator("summary", has_text="Downloads").click()
        box = page.locator(".menu ul").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert overflow(page) == 0
        assert violations(page) == []
        shot(page, f"downloads-{width}")
        page.keyboard.press("Tab")
        page.keyboard.press("Escape")
        expect(page.locator(".menu ul")).to_be_hidden()
        expect(page.locator("summary", has_text="Downloads")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator(".menu ul")).to_be_visible()
        page.get_by_role("heading", level=1).click(position={"x": 2, "y": 2})
        expect(page.locator(".menu ul")).to_be_hidden()
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_and_can_be_read(
    browser: Browser, places: list[Place], shot: Shot, width: int, scheme: Scheme
) -> None:
    context = context_of(browser, width, 800, scheme)
    page = context.new_page()
    for number, place in enumerate(places):
        answer = page.goto(place.url)
        assert answer is not None
        assert answer.status == place.status
        expect(page.get_by_role("heading", level=1)).to_have_text(place.heading)
        assert overflow(page) == 0, place
        assert violations(page) == [], place
        shot(page, f"reach-{number}-{width}-{scheme}")
    context.close()


class TestWithoutScript:
    def test_every_page_can_be_read(self, plain: BrowserContext, places: list[Place], shot: Shot) -> None:
        page = plain.new_page()
        for number, place in enumerate(places):
            page.goto(place.url)
            expect(page.get_by_role("heading", level=1)).to_have_text(place.heading)
            assert overflow(page) == 0, place
            # What needs script would do nothing when it is pressed.
            expect(page.locator(".needs-script:visible")).to_have_count(0)
            expect(page.get_by_role("button").and_(page.locator("[type=button]:visible"))).to_have_count(0)
            shot(page, f"reach-no-script-{number}")

    def test_no_page_is_in_the_way_of_anybody(
        self, bare: BrowserContext, places: list[Place], console: RunningServer, call: str
    ) -> None:
        page = bare.new_page()
        paths = ("/", "/calls", "/calls?q=status:4xx", "/statistics", "/registrations")
        views = ("", "/quality", "/message?n=1", f"/compare?a=1&with={call}")
        urls = [place.url for place in places] + [console.url + path for path in paths]
        for url in [*urls, *(f"{console.url}/calls/{call}{view}" for view in views)]:
            page.goto(url)
            assert page.locator("html").get_attribute("data-script") is None
            assert violations(page) == [], url
        page.goto(f"{console.url}/calls/{call}")
        page.locator("summary", has_text="Downloads").click()
        expect(page.locator(".menu ul")).to_be_visible()
        assert violations(page) == []

    def test_nodes_and_settings_tell_what_they_tell_with_it(
        self, plain: BrowserContext, page: Page, console: RunningServer
    ) -> None:
        bare = plain.new_page()
        for path, told in (("/nodes", f"127.0.0.1:{console.udp[1]}"), ("/settings", "edge-1")):
            for one in (bare, page):
                one.goto(console.url + path)
                expect(one.locator("main")).to_contain_text(told)
            cards = bare.locator("main h2").all_inner_texts()
            assert cards == page.locator("main h2").all_inner_texts()

    def test_the_form_searches(self, plain: BrowserContext, console: RunningServer) -> None:
        page = plain.new_page()
        page.goto(f"{console.url}/calls")
        page.locator("summary", has_text="Form").click()
        page.get_by_label("Status").select_option("4xx")
        page.locator("[data-fields] .primary").click()
        expect(page.get_by_role("combobox", name="Search calls").or_(page.locator("#q"))).to_have_value("status:4xx")
        shown = page.locator("[data-calls] td.result b").all_inner_texts()
        assert shown
        assert {each[0] for each in shown} == {"4"}
