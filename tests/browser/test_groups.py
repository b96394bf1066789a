"""The hours of one group on the page of statistics, as a browser shows them."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from axe import violations
from browsing import HOUR_US, Scheme, Shot, context_of, overflow, served, watched
from capture_writer import frame, sip
from running import RunningServer
from sipflow.clock import SECOND_US, now_us

HOSTILE = '"><img src=x onerror=window.pwned=1>'


def call(number: int, at_us: int, agent: str, status: str) -> list[tuple[int, bytes]]:
    """Write an attempt; one that is answered is ended a minute later, and its BYE answered after 40 ms."""

    def of(start: str, cseq: str, to_tag: str = "b") -> bytes:
        text = sip(start, f"call-{number}", cseq, to_tag=to_tag)
        return text.replace(b"\r\nCSeq:", f"\r\nUser-Agent: {agent}\r\nCSeq:".encode())

    a, b = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
    frames = [
        (0, frame(a, b, of("INVITE sip:b@h SIP/2.0", "1 INVITE", ""))),
        (800_000, frame(b, a, of("SIP/2.0 180 Ringing", "1 INVITE"))),
        (3_000_000, frame(b, a, of(f"SIP/2.0 {status}", "1 INVITE"))),
    ]
    if status.startswith("2"):
        frames += [
            (63_000_000, frame(a, b, of("BYE sip:b@h SIP/2.0", "2 BYE"))),
            (63_040_000, frame(b, a, of("SIP/2.0 200 OK", "2 BYE"))),
        ]
    return [(at_us + after_us, octets) for after_us, octets in frames]


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve ten attempts of three groups in hours that are not all next to each other."""
    first = (now_us() // HOUR_US - 9) * HOUR_US + 60 * SECOND_US
    plan = [
        (0, "pbx/1.0", "200 OK"),
        *((5, "pbx/1.0", status) for status in ("200 OK", "486 Busy Here", "503 Service Unavailable", "200 OK")),
        *((hour, "phone", "200 OK") for hour in (0, 1, 6, 6)),
        (6, HOSTILE, "403 Forbidden"),
    ]
    frames = [
        one
        for number, (hour, agent, status) in enumerate(plan)
        for one in call(number, first + hour * HOUR_US + number * SECOND_US, agent, status)
    ]
    with served(tmp_path_factory.mktemp("groups"), frames) as server:
        yield server


def attempts(page: Page) -> str:
    return page.locator(".ratio", has_text="Attempts").first.locator("dd").inner_text().split()[0]


def test_a_row_leads_to_its_hours(page: Page, grouped: RunningServer, shot: Shot) -> None:
    page.goto(grouped.url + "/statistics?range=24h")
    assert attempts(page) == "10"
    row = page.locator("section", has=page.get_by_role("heading", name="By user agent")).locator("tbody tr").first
    name, count = row.locator("th").inner_text(), row.locator("td").first.inner_text()
    row.get_by_role("link").click()
    expect(page.locator(".chosen")).to_contain_text(f"User agent: {name}")
    assert attempts(page) == count == "5"
    assert page.locator("tr[aria-current]").locator("th").inner_text() == name
    expect(page.get_by_role("combobox", name="Calls of")).to_have_value(f"agent:{name}")
    # What is drawn can be read too: the table has an hour for each column, and all attempts.
    page.locator("summary", has_text="hour by hour").click()
    hours = page.get_by_role("region", name="Hour by hour").locator("tbody tr")
    listed = [int(one) for one in hours.locator("td:nth-of-type(1)").all_inner_texts()]
    assert listed == [1, 4]
    told = httpx.get(
        page.url.split("/statistics")[0] + (page.locator('a:text-is("JSON")').first.get_attribute("href") or "")
    )
    assert [one["ratios"]["attempts"] for one in told.json()["hours"]] == listed
    shot(page, "statistics-group")
    page.locator(".statuses a", has_text="486").click()
    expect(page.locator("[data-calls] tr")).to_have_count(1)
    page.go_back()
    # Another range stays with the group; the whole is a click away.
    page.get_by_role("link", name="7d").click()
    expect(page.locator(".chosen")).to_contain_text(name)
    page.get_by_role("link", name="all calls").click()
    expect(page.locator(".chosen")).to_have_count(0)
    expect(page.get_by_role("link", name="7d")).to_have_attribute("aria-current", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1920])
def test_a_hostile_group_fits_every_screen(
    browser: Browser, grouped: RunningServer, shot: Shot, width: int, scheme: Scheme
) -> None:
    complaints: list[str] = []
    context = context_of(browser, width, 900, scheme)
    page = watched(context, complaints)
    page.goto(grouped.url + "/statistics?range=24h")
    page.locator("table.groups").get_by_role("link", name=HOSTILE, exact=True).click()
    expect(page.locator(".chosen b")).to_have_text(HOSTILE)
    assert attempts(page) == "1"
    assert overflow(page) == 0
    assert violations(page) == []
    assert page.evaluate("window.pwned") is None
    shot(page, f"statistics-group-{width}-{scheme}")
    context.close()
    assert complaints == []


def test_a_group_is_chosen_without_script(browser: Browser, grouped: RunningServer) -> None:
    context = context_of(browser, script=False)
    page = context.new_page()
    page.goto(grouped.url + "/statistics?range=24h")
    page.get_by_role("combobox", name="Calls of").select_option(f"agent:{HOSTILE}")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".chosen b")).to_have_text(HOSTILE)
    expect(page.get_by_role("link", name="24h")).to_have_attribute("aria-current", "true")
    # One attempt, refused: one column, and its title says so.
    bars = page.locator("svg.chart rect")
    assert bars.count() == 1
    assert "redirected or refused by the user (3xx, 4xx, 6xx) 1" in (bars.locator("title").text_content() or "")
    context.close()
