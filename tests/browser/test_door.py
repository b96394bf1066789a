"""Signing in, as a browser does it at a server that is not only for its own machine."""

import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from axe import violations
from browsing import Scheme, Shot, context_of, overflow, watched
from running import RunningServer, free_port

TOKEN = "0123456789abcdef-secret"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve on every address: nobody may look without the token, from loopback neither."""
    directory = tmp_path_factory.mktemp("guarded")
    config = directory / "sipflow.toml"
    config.write_text(f'[sipflow]\ntoken = "{TOKEN}"\n')
    port = free_port(socket.SOCK_STREAM)
    arguments = ("--config", str(config), "--http", f"0.0.0.0:{port}")
    with RunningServer(directory / "root", *arguments, ports=(free_port(socket.SOCK_DGRAM), port)) as server:
        yield server


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve on every address without a token: nobody may look at all."""
    port = free_port(socket.SOCK_STREAM)
    root = tmp_path_factory.mktemp("closed") / "root"
    with RunningServer(root, "--http", f"0.0.0.0:{port}", ports=(free_port(socket.SOCK_DGRAM), port)) as server:
        yield server


def test_the_token_opens_the_page_that_was_asked_for(
    page: Page, guarded: RunningServer, complaints: list[str], shot: Shot
) -> None:
    page.goto(guarded.url + "/statistics?range=7d")
    expect(page.get_by_role("heading", level=1)).to_have_text("sipflow")
    field = page.get_by_label("Token")
    expect(field).to_be_focused()
    assert violations(page) == []
    field.fill("no such token")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the token of this server.")
    assert violations(page) == []
    assert "Statistics" not in page.locator("body").inner_text()
    shot(page, "sign-in-wrong")
    complaints.clear()  # the browser notes that both answers are 401
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url(guarded.url + "/statistics?range=7d")
    expect(page.get_by_role("heading", level=1)).to_have_text("Statistics")
    # It stays open, for what scripts of the page ask for as well, and the token itself is nowhere.
    page.goto(guarded.url + "/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("fetch('/api/v1/now').then(answer => answer.status)") == 200
    assert TOKEN not in page.content()
    cookies = page.context.cookies()
    assert [one for one in cookies if TOKEN in one.get("value", "")] == []
    assert all(one.get("httpOnly") and one.get("sameSite") == "Strict" for one in cookies if one.get("name") != "theme")


def test_it_works_without_script(browser: Browser, guarded: RunningServer) -> None:
    context = context_of(browser, script=False)
    page = context.new_page()
    page.goto(guarded.url + "/calls")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    assert page.url == guarded.url + "/calls"
    expect(page.get_by_role("heading", level=1)).to_have_text("Calls")
    context.close()


def test_nothing_is_told_to_whom_is_not_let_in(page: Page, guarded: RunningServer, complaints: list[str]) -> None:
    page.goto(guarded.url + "/calls")
    assert page.locator("[data-calls]").count() == 0
    assert page.evaluate("fetch('/api/v1/calls').then(answer => answer.status)") == 401
    complaints.clear()


def test_without_a_token_the_page_says_what_to_do(
    page: Page, closed: RunningServer, complaints: list[str], shot: Shot
) -> None:
    page.goto(closed.url + "/")
    expect(page.locator("main")).to_contain_text("Nobody may look yet.")
    expect(page.locator("main")).to_contain_text("token")
    assert page.get_by_label("Token").count() == 0
    assert violations(page) == []
    shot(page, "sign-in-closed")
    complaints.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1920])
def test_fits_every_screen(browser: Browser, guarded: RunningServer, shot: Shot, width: int, scheme: Scheme) -> None:
    context = context_of(browser, width, 900, scheme)
    page = watched(context, [])
    page.goto(guarded.url + "/")
    assert overflow(page) == 0
    assert violations(page) == []
    shot(page, f"sign-in-{width}-{scheme}")
    context.close()
