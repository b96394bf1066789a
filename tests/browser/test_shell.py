"""The first screen, the list of calls and the frame around them, as a browser shows them."""

import signal
import socket
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from axe import violations
from browsing import Scheme, Shot, context_of, overflow, send, watched
from hostile import ATTEMPTS
from running import RunningServer, free_port
from sipflow.clock import SECOND_US, format_time, now_us
from sipflow.load.call import Call
from sipflow.load.samples import SAMPLES_SPAN_US, sample_calls
from sipflow.load.scenario import Scenario

PATHS = {
    "now": "/",
    "calls": "/calls",
    "failed": "/calls?q=status:failed",
    "statistics": "/statistics",
    "registrations": "/registrations",
    "nodes": "/nodes",
    "settings": "/settings",
}


def rows(page: Page) -> int:
    return page.locator("[data-calls] tr").count()


class TestNow:
    def test_tells_what_arrives(self, page: Page, console: RunningServer, shot: Shot) -> None:
        send(console, sample_calls(now_us() - SAMPLES_SPAN_US - 5 * SECOND_US))
        page.goto(console.url)
        expect(page.get_by_role("heading", level=1)).to_have_text("Recording")
        expect(page.get_by_role("region", name="Senders")).to_contain_text("127.0.0.1")
        expect(page.locator("[data-live=newest] li").first).to_be_visible()
        shot(page, "now")

    def test_follows_without_a_reload(self, page: Page, console: RunningServer) -> None:
        page.goto(console.url)
        before = page.locator("[data-live=sip]").inner_text()
        send(console, sample_calls(now_us() - SAMPLES_SPAN_US - 9 * SECOND_US))
        page.wait_for_function("text => document.querySelector('[data-live=sip]').innerText !== text", arg=before)

    def test_says_why_nothing_arrives_and_what_to_do(self, page: Page, silent: RunningServer, shot: Shot) -> None:
        page.goto(silent.url)
        expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for packets")
        text = page.locator("main").inner_text()
        assert "Not one datagram has come" in text
        assert f'udp = "127.0.0.1:{silent.udp[1]}"' in text
        assert f"--dir {silent.root}" in text
        hep = next(one for one in silent.get("/api/v1/now").json()["listening"] if one.startswith("hep "))
        for line in (f"sip:{hep[4:]}", f"[sipflow] {hep[4:]};", f"udp:{hep[4:]};hep=3", f"capture_address = {hep[4:]}"):
            assert line in text
        shot(page, "now-silent")

    def test_names_what_was_refused(self, page: Page, tmp_path_factory: pytest.TempPathFactory, shot: Shot) -> None:
        with RunningServer(tmp_path_factory.mktemp("refusing") / "root") as server:
            server.send(b"HEP3\x00\x10 not ours", b"GET / HTTP/1.0\r\n\r\n")
            server.until(lambda: server.metric("sipflow_datagrams_total") == 2, "received")
            page.goto(server.url)
            expect(page.locator("[data-live=why]")).to_contain_text(
                "none of them could be used: neither SipFlow frames nor HEP"
            )
            shot(page, "now-refused")
            page.goto("about:blank")


class TestNodesAndArchive:
    @pytest.mark.parametrize("width", [390, 1280])
    def test_a_node_that_goes_silent_is_named_without_a_reload(
        self, browser: Browser, tmp_path: Path, shot: Shot, width: int
    ) -> None:
        complaints: list[str] = []
        places = {name: (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)) for name in "ab"}
        shared = ['type = "local"', "peer_timeout_ms = 1500"]
        for name, (udp, http) in places.items():
            shared += ["[[sipflow.nodes]]", f'name = "{name}"', f'udp = "127.0.0.1:{udp}"']
            shared += [f'http = "http://127.0.0.1:{http}"']
        plain, archiving = tmp_path / "b.toml", tmp_path / "a.toml"
        plain.write_text("\n".join(["[sipflow]", *shared]))
        upload = ["[sipflow.upload]", 'type = "http"', f'url = "http://127.0.0.1:{free_port(socket.SOCK_STREAM)}/x"']
        archiving.write_text("\n".join(["[sipflow]", *shared, *upload]))
        with (
            RunningServer(tmp_path / "a", "--config", str(archiving), ports=places["a"]) as server,
            RunningServer(tmp_path / "b", "--config", str(plain), ports=places["b"]) as other,
        ):
            context = context_of(browser, width)
            page = watched(context, complaints)
            page.goto(server.url)
            nodes = page.locator("[data-live=nodes]")
            expect(nodes).to_contain_text("2 of 2 answer", timeout=20_000)
            expect(page.locator("[data-live=archive]")).to_contain_text("http://127.0.0.1:")
            other.stop(signal.SIGKILL)
            expect(nodes).to_contain_text("1 of 2 answer", timeout=15_000)
            expect(nodes.locator("li", has_text="has not answered since").locator("b")).to_have_text("b")
            assert violations(page) == []
            assert overflow(page) == 0
            shot(page, f"now-cluster-{width}")
            nodes.get_by_role("link").click()
            page.wait_for_url("**/nodes")
            context.close()
        assert complaints == []


class TestSearch:
    def test_finds_and_keeps_the_search_in_the_address(self, page: Page, console: RunningServer, shot: Shot) -> None:
        page.goto(console.url + "/calls")
        assert rows(page) == 50
        page.get_by_role("combobox", name="Search calls").fill("status:403 ua:pwned")
        page.keyboard.press("Enter")
        page.wait_for_url("**/calls?q=*")
        assert "q=status%3A403" in page.url
        assert rows(page) == sum("pwned" in attempt for attempt in ATTEMPTS)
        shot(page, "calls-hostile")

    def test_a_wrong_search_says_what_where_and_what_instead(
        self, page: Page, console: RunningServer, complaints: list[str], shot: Shot
    ) -> None:
        page.goto(console.url + "/calls?q=from:alice+statsu:486")
        complaints.clear()  # the browser notes that the answer is 400
        expect(page.get_by_role("alert")).to_contain_text("search, column 12: found 'statsu:486'")
        expect(page.get_by_role("alert")).to_contain_text("status (did you mean that?)")
        expect(page.get_by_role("combobox", name="Search calls")).to_have_value("from:alice statsu:486")
        shot(page, "calls-wrong")

    def test_suggests_keys_and_values(self, page: Page, console: RunningServer, shot: Shot) -> None:
        page.goto(console.url + "/calls")
        box = page.get_by_role("combobox", name="Search calls")
        box.press_sequentially("sta")
        expect(page.get_by_role("option", name="status:")).to_be_visible()
        box.press("ArrowDown")
        box.press("Enter")
        expect(box).to_have_value("status:")
        box.press_sequentially("fai")
        shot(page, "calls-suggestions")
        box.press("ArrowDown")
        box.press("Tab")
        expect(box).to_have_value("status:failed ")

    def test_the_form_gives_the_same_address(self, page: Page, console: RunningServer, shot: Shot) -> None:
        page.goto(console.url + "/calls")
        page.locator("summary", has_text="Form").click()
        page.get_by_label("From", exact=True).fill("a b*")
        page.get_by_label("Status").select_option("4xx")
        # Kolkata is five and a half hours ahead.
        page.get_by_label("Since").fill("2026-06-01T12:00:00")
        expect(page.get_by_text("2026-06-01 06:30:00 UTC")).to_be_visible()
        shot(page, "calls-form")
        page.locator("[data-fields] .primary").click()
        page.wait_for_url("**/calls?q=*")
        box = page.get_by_role("combobox", name="Search calls")
        expect(box).to_have_value('from:"a b*" status:4xx since:2026-06-01T06:30:00Z')

    def test_pages_go_on_without_loss(self, page: Page, console: RunningServer) -> None:
        # A moment, and not an age: what is sent meanwhile would come of it.
        asked = f"q=until:{format_time(now_us() - 60 * SECOND_US)}"
        page.goto(f"{console.url}/calls?{asked}&limit=50")
        seen: list[str] = []
        while True:
            seen += page.locator("[data-calls] tr").evaluate_all("rows => rows.map(row => row.dataset.call)")
            older = page.get_by_role("link", name="Older")
            if older.count() == 0:
                break
            older.click()
            page.wait_for_load_state()
        assert len(seen) == len(set(seen)) > 100
        lines = httpx.get(console.url + f"/calls.jsonl?{asked}").text.splitlines()
        assert len(lines) == len(seen)

    def test_a_pasted_call_id_is_found(self, page: Page, console: RunningServer) -> None:
        call_id = httpx.get(console.url + "/api/v1/calls?limit=1").json()["calls"][0]["call_id"]
        page.goto(console.url + "/calls?q=" + call_id)
        assert rows(page) == 1


class TestTail:
    def test_new_calls_come_on_top(self, page: Page, console: RunningServer, shot: Shot) -> None:
        page.goto(console.url + "/calls")
        expect(page.locator("[data-tail-state]")).to_have_text("Live")
        page.mouse.move(5, 5)
        call = Call(99, now_us() % 10**9, Scenario.BUSY, now_us() - 3 * SECOND_US, 2 * SECOND_US)
        send(console, [call])
        first = page.locator("[data-calls] tr").first
        expect(first).to_have_attribute("data-fresh", "")
        shot(page, "calls-live")

    def test_waits_while_it_is_read(self, page: Page, console: RunningServer) -> None:
        page.goto(console.url + "/calls")
        page.locator("[data-calls] tr").nth(3).hover()
        before = page.locator("[data-calls] tr").first.get_attribute("data-call")
        send(console, [Call(98, now_us() % 10**9, Scenario.BUSY, now_us() - 3 * SECOND_US, 2 * SECOND_US)])
        expect(page.locator("[data-tail-state]")).to_contain_text("new")
        assert page.locator("[data-calls] tr").first.get_attribute("data-call") == before
        page.mouse.move(5, 5)
        expect(page.locator("[data-tail-state]")).to_have_text("Live")
        assert page.locator("[data-calls] tr").first.get_attribute("data-call") != before


class TestFrame:
    def test_csv_is_downloaded(self, page: Page, console: RunningServer) -> None:
        page.goto(console.url + "/calls?q=status:failed")
        with page.expect_download() as started:
            page.get_by_role("link", name="CSV").click()
        text = started.value.path().read_text("utf-8")
        assert text.startswith("call_id,first,last,")
        assert started.value.suggested_filename == "calls.csv"

    def test_keys(self, page: Page, console: RunningServer) -> None:
        page.goto(console.url + "/calls")
        page.keyboard.press("/")
        expect(page.get_by_role("combobox", name="Search calls")).to_be_focused()
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("j")
        second = page.locator("[data-calls] tr").nth(1)
        assert second.evaluate("row => row.contains(document.activeElement)")
        page.keyboard.press("k")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.keyboard.press("n")
        page.wait_for_url(console.url + "/")
        for key, path in (("s", "/statistics"), ("r", "/registrations"), ("c", "/calls")):
            page.keyboard.press("g")
            page.keyboard.press(key)
            page.wait_for_url(console.url + path)

    def test_times_are_of_the_viewer_or_utc(self, page: Page, console: RunningServer) -> None:
        page.goto(console.url + "/calls")
        time = page.locator("[data-calls] time").first
        us = int(time.get_attribute("data-us") or 0)
        local = page.evaluate("us => new Date(us / 1000).toLocaleTimeString('en-GB', {hour12: false})", us)
        assert local in time.inner_text()
        page.keyboard.press("z")
        assert (time.get_attribute("datetime") or "")[11:19] in time.inner_text()

    def test_an_unknown_page_is_a_page(self, page: Page, console: RunningServer, complaints: list[str]) -> None:
        page.goto(console.url + "/nothing/here")
        complaints.clear()
        expect(page.get_by_role("alert")).to_contain_text("/nothing/here")

    def test_the_check_sees_what_is_wrong(self, page: Page, console: RunningServer) -> None:
        page.goto(console.url + "/calls")
        page.evaluate("document.querySelector('#q').removeAttribute('aria-label')")
        page.evaluate("document.querySelector('#q').removeAttribute('placeholder')")
        assert any("label" in one for one in violations(page))

    @pytest.mark.parametrize("name", PATHS)
    def test_nothing_is_in_the_way_of_anybody(self, page: Page, console: RunningServer, name: str) -> None:
        page.goto(console.url + PATHS[name])
        assert violations(page) == []
        # A table that is wider than its card has to be scrolled sideways to be read.
        wide = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert page.evaluate(wide) == 0

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 1920])
    def test_fits_every_screen(
        self, browser: Browser, console: RunningServer, shot: Shot, width: int, scheme: Scheme
    ) -> None:
        complaints: list[str] = []
        context = context_of(browser, width, 900, scheme)
        page = watched(context, complaints)
        for name, path in PATHS.items():
            page.goto(console.url + path)
            assert overflow(page) == 0, name
            assert violations(page) == [], name
            shot(page, f"{name}-{width}-{scheme}")
        context.close()
        assert complaints == []

    def test_readable_without_script(self, browser: Browser, console: RunningServer, shot: Shot) -> None:
        context = context_of(browser, script=False)
        page = context.new_page()
        page.goto(console.url)
        expect(page.get_by_role("heading", name="Newest calls")).to_be_visible()
        page.get_by_role("link", name="Keep this page up to date").click()
        assert 'http-equiv="refresh"' in page.content()
        page.goto(console.url + "/calls")
        page.locator("input[name=q]").fill("status:failed")
        page.get_by_role("button", name="Search").first.click()
        assert rows(page) > 0
        assert page.locator("[data-calls] time").first.inner_text()[:19].count(":") == 2
        shot(page, "calls-no-script")
        page.goto(console.url + "/statistics")
        page.get_by_role("link", name="7d").click()
        expect(page.get_by_role("link", name="7d")).to_have_attribute("aria-current", "true")
        assert page.locator("svg.chart rect").count() > 0
        page.goto(console.url + "/registrations")
        before = page.locator("tbody tr").count()
        page.get_by_role("textbox", name="User").fill("no such user")
        page.get_by_role("button", name="Show").click()
        assert before > 0
        assert page.locator("tbody tr").count() == 0
        context.close()

    def test_the_theme_is_kept(self, page: Page, console: RunningServer) -> None:
        html, colour = page.locator("html"), "getComputedStyle(document.body).backgroundColor"
        page.goto(console.url + "/calls")
        assert html.get_attribute("data-theme") is None
        light = page.evaluate(colour)
        page.keyboard.press("t")
        expect(html).to_have_attribute("data-theme", "dark")
        dark = page.evaluate(colour)
        assert dark != light
        page.goto(console.url)
        assert (html.get_attribute("data-theme"), page.evaluate(colour)) == ("dark", dark)
        page.keyboard.press("t")
        expect(html).to_have_attribute("data-theme", "light")
        page.goto(console.url + "/calls")
        assert (html.get_attribute("data-theme"), page.evaluate(colour)) == ("light", light)


class TestHostile:
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/calls?q=callid:hostile*",
            "/calls?q=%3Cscript%3Ewindow.pwned%3D1%3C/script%3E",
            "/calls?q=%22%3E%3Cimg",
        ],
    )
    def test_nothing_executes(self, page: Page, console: RunningServer, complaints: list[str], path: str) -> None:
        page.goto(console.url + path)
        if "img" in path:
            complaints.clear()  # a quote that does not end: 400, and the browser says so
        page.wait_for_timeout(300)
        if "callid" in path:
            assert rows(page) == len(ATTEMPTS)
        assert overflow(page) == 0
        assert page.locator("main script, main iframe, main img").count() == 0
