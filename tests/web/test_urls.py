"""Addresses of the console: they are written in one place, and each leads somewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urljoin

import httpx
import pytest

import sipflow.web.console
from memory_history import MemoryHistory, Served, SteadyRecorder
from sipflow.config import Address, Settings
from sipflow.web.app import build

CONSOLE = Path(sipflow.web.console.__file__).parent
TEMPLATES = sorted((CONSOLE / "templates").iterdir())
MODULES = sorted((CONSOLE / "static").glob("*.js"))
# What may hold an address. Its value is one that `urls` gives, or names a part of the same page: nothing is put to it.
_ATTRIBUTE = re.compile(
    r"""\b(?:(?:xlink:)?href|src|action|formaction|poster|cite|data-[\w-]+)=(["'])(.*?)\1""", re.DOTALL
)
_FILLED = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_WRITTEN = re.compile(r"""["'][^"']*[/?][^"']*["']""")
# A string of a module that is an address, or becomes one: a path, a path or query put to another, a path of a key alone
# is none ("/" searches).
_PATH = re.compile(r"""["'`]/(?:[\w.?$]|["'`](?!:))|\$\{[^}]*\}[/?](?:[\w$]|["'`])|["'`]\?[\w$]+=""")
_IMPORT = re.compile(r'^import .*"\./[\w-]+\.js";$', re.MULTILINE)


def written_in_template(text: str) -> list[str]:
    """List the attributes of a template that write an address themselves."""
    found = []
    for attribute in _ATTRIBUTE.finditer(text):
        value = attribute[2]
        literal = _FILLED.sub("", value)
        asked = _WRITTEN.findall(" ".join(_FILLED.findall(value)))
        if (("/" in literal or "?" in literal) and not literal.startswith("data:")) or asked:
            found.append(attribute[0])
    return found


def written_in_module(text: str) -> list[str]:
    """List the strings of a module that are addresses."""
    code = re.sub(r"^\s*//.*$", "", _IMPORT.sub("", text), flags=re.MULTILINE)
    return [found[0] for found in _PATH.finditer(code)]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_writes_an_address(path: Path) -> None:
    assert written_in_template(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_writes_an_address(path: Path) -> None:
    assert written_in_module(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "wrong",
    [
        '<a href="/calls">', "<a href='/calls'>", '<form action="/statistics">', '<a href="{{ urls.now }}?every">',
        '<a href="{{ urls.call(id) }}/quality">', "<a href=\"{{ '/calls/%s' % id }}\">", '<p data-url="/api/v1/now">',
        '<a href="https://example.org/">', '<use xlink:href="/static/icon.svg"/>',
    ],
)  # fmt: skip
def test_the_guard_sees_an_address_in_a_template(wrong: str) -> None:
    assert written_in_template(wrong) != []


@pytest.mark.parametrize(
    "wrong",
    [
        'fetch("/api/v1/now")', "location.assign('/')", 'const PLACES = { n: "/", c: "x" };', "`/calls?q=${text}`",
        "`${form.action}?${asked}`", "`${base}/quality`", 'url + "?part=1"', 'new EventSource("/calls.tail")',
    ],
)  # fmt: skip
def test_the_guard_sees_an_address_in_a_module(wrong: str) -> None:
    assert written_in_module(wrong) != []


class Links(HTMLParser):
    """Where the links, forms and data attributes of a page lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            leads = name in ("href", "src") or ((tag, name) == ("form", "action") and ("method", "post") not in attrs)
            if value and (leads or (name.startswith("data-") and value.startswith("/"))):
                self.found.add(value)


def test_every_address_of_every_page_leads_somewhere() -> None:
    history = MemoryHistory()
    call_id = "a/b c?d#e%f&g"
    history.add_call(call_id)
    history.add_audio(call_id)
    history.add_call("two")
    call = f"/calls/{quote(call_id, safe='')}"
    pages = [
        "/", "/calls", "/calls?q=a", "/statistics", "/registrations", "/nodes", "/settings", call, f"{call}/quality",
        f"{call}/message?n=1", f"{call}/compare?a=1&b=2", f"{call}/compare?a=1&b=1&with=two",
        f"{call}/compare?a=1&with=two",
    ]  # fmt: skip
    settings = Settings(http=Address("127.0.0.1", 0))
    asked: set[str] = set()
    with (
        Served(build(history, SteadyRecorder(), settings)) as url,
        httpx.Client(base_url=url, headers={"Accept": "text/html"}, timeout=60) as client,
    ):
        for page in pages:
            answer = client.get(page)
            assert answer.status_code == 200, page
            for link in Links(answer.text).found:
                asked.add(urljoin(page, link).partition("#")[0])
        for link in sorted(asked):
            # A stream of events goes on for ever: its head tells enough. Forms say what they miss, the sign-in is over.
            with client.stream("GET", link) as answer:
                assert answer.status_code in (200, 400, 501), (link, answer.status_code)
    assert {f"/api/v1{call}/peaks", f"{call}/quality", "/api/v1/now", "/calls.tail"} <= asked
