"""The page of a call: everything about it, whatever was captured, and nothing that was captured ever acts."""

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import quote, urljoin

import httpx
import pytest

from memory_history import SDP, T0_US, A, B, MemoryHistory, Served, SteadyRecorder, sip
from sipflow.config import Address, Alias, Settings
from sipflow.query.answer import Fault
from sipflow.web.app import build
from sipflow.web.console.call_pages import INLINE_MAX
from sipflow.web.console.urls import Urls

PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[MemoryHistory, httpx.Client]]:
    history = MemoryHistory()
    settings = Settings(http=Address("127.0.0.1", 0), aliases=(Alias("192.0.2.1", "phone-1"),))
    with Served(build(history, SteadyRecorder(), settings)) as url, httpx.Client(base_url=url, headers=PAGE) as client:
        yield history, client


@pytest.fixture
def history(served: tuple[MemoryHistory, httpx.Client]) -> MemoryHistory:
    served[0].clear()
    return served[0]


@pytest.fixture
def client(served: tuple[MemoryHistory, httpx.Client], history: MemoryHistory) -> httpx.Client:
    return served[1]


class Seen(HTMLParser):
    """What a browser makes of a page: its elements, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, name: str) -> list[str]:
        """Give an attribute of every element of a kind."""
        return [attributes[name] for found, attributes in self.tags if found == tag and name in attributes]


def seen(client: httpx.Client, path: str) -> Seen:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    return Seen(answer.text)


def test_the_page_tells_the_call(client: httpx.Client, history: MemoryHistory) -> None:
    history.add_call("one")
    history.add("one", 5_000_000, sip("one", "BYE sip:bob@example.org SIP/2.0", "2 BYE", to_tag=";tag=t"))
    history.add_audio("one", 0, packets=150, missing=10)
    history.add_audio("one", 1, packets=150)
    page = seen(client, "/calls/one")
    words = " ".join(page.text.split())
    for told in (
        "alice → bob 200 OK", "alice, the caller, hung up", "3 messages", "PCMU · 150 packets", "phone-1",
        "10 packets lost before capture", "08:26:40.123 UTC", "6.25 %", "Media flows both ways: PCMU.",
        "wants audio at port 4000 (RTP/AVP), in this order: PCMU",
    ):  # fmt: skip
        assert told in words, told
    assert page.all("audio", "src") == ["/api/v1/calls/one/media.wav"]
    assert {"#m1", "#m2", "#m3", "#stream-1", "/api/v1/calls/one"} <= set(page.all("a", "href"))
    assert {"m1", "m2", "m3"} <= set(page.all("article", "id"))


def test_a_silent_call_says_why(client: httpx.Client, history: MemoryHistory) -> None:
    history.add_call("one", status=486)
    page = seen(client, "/calls/one")
    assert page.all("audio", "src") == []
    assert "There is no sound: no RTP of this call was captured." in page.text
    assert "refused with 486 Busy Here by 192.0.2.2:5060" in page.text
    assert not any(href.endswith("media.wav") for href in page.all("a", "href"))


@pytest.mark.parametrize("call_id", ["a/b c@h", "x?y#z&q", "\"'<b>&amp;", "a%2Fb", "message", "ü☎\n", "a/message"])
def test_any_call_id_has_its_page(client: httpx.Client, history: MemoryHistory, call_id: str) -> None:
    history.add_call(call_id)
    path = f"/calls/{quote(call_id, safe='')}"
    page = seen(client, path)
    assert f"/api/v1/calls/{quote(call_id, safe='')}" in page.all("a", "href")
    assert "Message 1 of 2" in seen(client, f"{path}/message?n=1").text
    assert "Message 1 and message 2" in " ".join(seen(client, f"{path}/compare?a=1&b=2").text.split())


@pytest.mark.parametrize("call_id", [".", ".."])
def test_dots_are_no_way_through_directories(client: httpx.Client, history: MemoryHistory, call_id: str) -> None:
    history.add_call(call_id)
    history.add_call(call_id + "=")
    # As a browser resolves a link, which takes "%2E" for a dot as well.
    path = urljoin("http://server/calls", Urls().call(call_id)).removeprefix("http://server")
    assert not {".", "..", "%2E", "%2E%2E"} & set(path.split("/"))
    page = seen(client, path)
    assert f"{Urls().call_json(call_id)}" in page.all("a", "href")
    assert "Message 1 of 2" in seen(client, Urls().message(call_id, 1)).text
    assert client.get(Urls().call_json(call_id, "flow")).json()["call_id"] == call_id
    assert client.get(Urls().call_json(call_id + "=", "flow")).json()["call_id"] == call_id + "="


def test_what_could_not_be_read_is_named(client: httpx.Client, history: MemoryHistory) -> None:
    history.add_call("one")
    history.faults = [Fault("2025/07/20/08", "block at octet 7: checksum")]
    assert "2025/07/20/08: block at octet 7: checksum" in seen(client, "/calls/one").text


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("/calls/none", 404, "no packet of call 'none' is stored here"),
        ("/calls/none/message?n=1", 404, "no packet of call 'none' is stored here"),
        ("/calls/one/message?n=3", 400, "n: found '3'; allowed: the number of a message, 1 to 2"),
        ("/calls/one/message?n=0", 400, "n: found '0'; allowed"),
        ("/calls/one/compare?a=1", 400, "b: found ''; allowed: the number of a message, 1 to 2"),
        ("/calls/one?group=port", 400, "group: found 'port'; allowed: endpoint, host"),
        ("/calls/one?colour=red", 400, "colour: found 'red'; allowed: status, dialog"),
        ("/calls/one?color=dialog", 400, "color: found an unknown parameter; allowed: colour (did you mean that?)"),
    ],
)
def test_what_cannot_be_shown_says_why(
    client: httpx.Client, history: MemoryHistory, path: str, code: int, says: str
) -> None:
    history.add_call("one")
    answer = client.get(path)
    assert answer.status_code == code
    assert says in Seen(answer.text).text


def test_many_messages_are_linked_and_not_taken_apart_at_once(client: httpx.Client, history: MemoryHistory) -> None:
    for number in range(INLINE_MAX + 1):
        history.add("one", number * 1000, sip("one", "INFO sip:bob@example.org SIP/2.0", f"{number} INFO"))
    page = seen(client, "/calls/one")
    assert "/calls/one/message?n=31" in page.all("a", "href")
    assert page.all("article", "id") == []
    part = client.get("/calls/one/message?n=31&part=1")
    assert part.text.lstrip().startswith("<details")
    assert Seen(part.text).all("article", "id") == ["m31"]


def test_the_options_of_the_ladder_work_without_script(client: httpx.Client, history: MemoryHistory) -> None:
    history.add_call("one")
    history.add_call("one", offset_us=500_000)
    page = seen(client, "/calls/one?repeats=hide&group=host&colour=dialog")
    assert "2 retransmissions hidden" in page.text
    assert [label for label in page.all("a", "aria-label") if label.startswith("Message")] == [
        "Message 1: INVITE (SDP) from phone-1 to 192.0.2.2",
        "Message 3: 200 OK (SDP) from 192.0.2.2 to phone-1",
    ]
    assert [each for tag, each in page.tags if tag == "input" and "checked" in each] != []


def test_a_comparison_has_a_twin_in_json(client: httpx.Client, history: MemoryHistory) -> None:
    history.add_call("one")
    history.add_call("two", status=486)
    body = client.get("/api/v1/calls/one/compare?a=1&b=2").json()
    assert body["equal"] is False
    changed = {each["name"]: each for each in body["changes"] if each["kind"] != "same"}
    assert changed["start line"]["b"] == "SIP/2.0 200 OK"
    assert changed["To"]["parts"] == [{"name": "tag", "kind": "added", "a": None, "b": "t"}]
    other = client.get("/api/v1/calls/one/compare?a=1&b=1&with=two").json()
    assert [each["name"] for each in other["changes"] if each["kind"] != "same"] == ["Call-ID"]
    assert (other["a"], other["b"]) == ({"call_id": "one", "number": 1}, {"call_id": "two", "number": 1})
    assert (body["a"], body["b"]) == ({"call_id": "one", "number": 1}, {"call_id": "one", "number": 2})


OTHER = "a/b c&d=<e>"


def test_a_comparison_with_another_call_says_which_two_calls(client: httpx.Client, history: MemoryHistory) -> None:
    history.add_call("one")
    history.add_call(OTHER, status=486)
    other = quote(OTHER, safe="")
    answer = client.get("/calls/one/compare", params={"a": 2, "b": 1, "with": OTHER})
    assert answer.status_code == 200
    page = Seen(answer.text)
    assert [line for line in page.text.splitlines() if "message" in line and " of call " in line] == [
        "  Leftmessage 2 of call one",
        f"  Rightmessage 1 of call {OTHER}",
    ]
    hrefs = page.all("a", "href")
    assert {"/calls/one#m2", "/calls/one/message?n=2"} <= {*hrefs}
    assert {f"/calls/{other}#m1", f"/calls/{other}/message?n=1"} <= {*hrefs}
    (twin,) = [href for href in hrefs if href.startswith("/api/")]
    told = client.get(twin).json()
    assert told["b"] == {"call_id": OTHER, "number": 1}
    assert [one["a"] for one in told["changes"] if one["name"] == "start line"] == ["SIP/2.0 200 OK"]


def form_of(page: Seen) -> tuple[str, dict[str, str]]:
    """Give where the form of a comparison leads, and what its fields hold."""
    fields = {each["name"]: each.get("value", "") for tag, each in page.tags if tag == "input" and "name" in each}
    return page.all("form", "action")[-1], {name: fields[name] for name in ("a", "b", "with")}


def test_messages_of_another_call_are_listed_to_choose_from(client: httpx.Client, history: MemoryHistory) -> None:
    history.add_call("one")
    history.add_call(OTHER)
    action, fields = form_of(seen(client, "/calls/one/message?n=2"))
    assert (action, fields) == ("/calls/one/compare", {"a": "2", "b": "", "with": ""})
    answer = client.get(action, params={**fields, "with": f" {OTHER} "})
    assert answer.status_code == 200
    page = Seen(answer.text)
    offered = [href for href in page.all("a", "href") if "/compare?" in href]
    # The answer first, which is of the same kind; then both.
    assert [httpx.URL(href).params["b"] for href in offered] == ["2", "1", "2"]
    assert form_of(page) == (action, {"a": "2", "b": "", "with": OTHER})
    assert f"message 2 of call {OTHER}" in " ".join(seen(client, offered[0]).text.split())


@pytest.mark.parametrize(
    ("asked", "code", "says", "listed"),
    [
        ({"b": "1", "with": "none"}, 404, "no packet of call 'none' is stored here", 0),
        ({"b": "", "with": "none"}, 404, "no packet of call 'none' is stored here", 0),
        ({"b": "3", "with": "two"}, 400, "b: found '3'; allowed: the number of a message of call 'two', 1 to 2", 2),
        ({"b": "x", "with": "two"}, 400, "b: found 'x'; allowed: the number of a message of call 'two', 1 to 2", 2),
        ({"b": "", "with": ""}, 400, "b: found ''; allowed: the number of a message, 1 to 2", 2),
    ],
)
def test_a_choice_that_is_wrong_can_be_mended_where_it_is_told(
    client: httpx.Client, history: MemoryHistory, asked: dict[str, str], code: int, says: str, listed: int
) -> None:
    history.add_call("one")
    history.add_call("two")
    answer = client.get("/calls/one/compare", params={"a": "1", **asked})
    assert answer.status_code == code
    page = Seen(answer.text)
    assert says in page.text
    assert ("alert", "wrong") in [(each.get("role"), each.get("id")) for _, each in page.tags]
    assert form_of(page) == ("/calls/one/compare", {"a": "1", **asked})
    marked = [each["name"] for tag, each in page.tags if tag == "input" and each.get("aria-describedby") == "wrong"]
    assert marked == (["b"] if listed else ["with"])
    assert len([tag for tag, each in page.tags if tag == "tr" and "data-line" in each]) == listed
    refused = client.get("/api/v1/calls/one/compare", params={"a": "1", **asked}, headers={"Accept": "*/*"})
    assert (refused.status_code, refused.json()["message"]) == (code, says)


def test_the_time_line_has_everything_with_a_time(client: httpx.Client, history: MemoryHistory) -> None:
    history.add_call("one")
    history.add_audio("one", 0)
    body = client.get("/api/v1/calls/one/timeline").json()
    assert (body["start_us"], body["end_us"], body["answered_us"]) == (T0_US, T0_US + 2_980_000, T0_US + 1_000_000)
    assert [(each["number"], each["label"]) for each in body["messages"]] == [(1, "INVITE (SDP)"), (2, "200 OK (SDP)")]
    assert [each["codecs"] for each in body["streams"]] == [[{"from_us": T0_US + 1_000_000, "codec": "PCMU"}]]
    assert client.get("/api/v1/calls/none/timeline").status_code == 404


HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'onmouseover='alert(1)",
    "</title></style></textarea></svg><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{7*7}}{% raw %}",
    "\u202egnp.exe\u2066\u200b\u2028",
    "\x1b[2J\x07\x08",
    "<!--", "]]>", "&lt;script&gt;", "<a href=//evil.example>x</a>",
]  # fmt: skip
HEADERS = ("Via", "From", "To", "Contact", "User-Agent", "Subject", "Call-Info", "Authorization", "Allow", "X-Any")
HARMLESS = {"#", "/"}


def hostile(call_id: str, evil: str, start: str) -> bytes:
    """Write a message that has it in every header, in their names, and in every line of its SDP."""
    lines = [start, *(f"{name}: {evil}" for name in HEADERS)]
    lines += [f"From: {evil} <sip:{evil}@h>;tag={evil}", f"To: <sip:{evil}>", f"X{evil}: 1"]
    lines += ["CSeq: 1 INVITE", f"Call-ID: {call_id}", "Content-Type: application/sdp", ""]
    lines += [
        "v=0",
        f"o={evil} 1 1 IN IP4 192.0.2.1",
        f"s={evil}",
        f"c=IN IP4 {evil}",
        f"m=audio 4000 RTP/AVP 96 {evil}",
    ]
    lines += [f"a=rtpmap:96 {evil}/8000", f"a=fmtp:96 {evil}", f"a={evil}", f"a=mid:{evil}", f"m={evil} 0 {evil} 1"]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("evil", HOSTILE)
def test_captured_text_stays_text(client: httpx.Client, history: MemoryHistory, evil: str) -> None:
    call_id = f"{evil}@h"
    history.add(call_id, 0, hostile(call_id, evil, f"INVITE sip:{evil} SIP/2.0"))
    history.add(call_id, 1000, hostile(call_id, evil, f"SIP/2.0 200 {evil}"), B, A)
    history.add(call_id, 2000, hostile(call_id, evil, f"{evil} sip:a SIP/2.0"))
    history.add_audio(call_id, 0)
    base = f"/calls/{quote(call_id, safe='')}"
    plain = Seen(client.get("/calls/plain").text)  # an error page, for what belongs to every page
    assert plain.tags
    for path in (base, f"{base}?colour=dialog&group=host", f"{base}/message?n=2", f"{base}/compare?a=1&b=2"):
        answer = client.get(path)
        assert answer.status_code == 200
        page = Seen(answer.text)
        assert all(
            set(each) >= {"src"} and each["src"].startswith("/static/") for tag, each in page.tags if tag == "script"
        )
        assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "style", "base", "embed")]
        assert not [name for _, each in page.tags for name in each if name.startswith("on") or name == "style"]
        assert not [href for href in page.all("a", "href") if href[0] not in HARMLESS or href.startswith("//")]
        assert not [
            char for char in answer.text if (char < " " and char != "\n") or char in "\x7f\u202e\u2066\u200b\u2028"
        ]
        assert "49{" not in answer.text


def test_the_same_message_on_another_hop_is_offered(client: httpx.Client, history: MemoryHistory) -> None:
    history.add_call("one")
    relayed = sip("one", "INVITE sip:bob@example.org SIP/2.0", "1 INVITE", SDP)
    history.add("one", 10_000, relayed, B, A._replace(ip="192.0.2.9"))
    hrefs = seen(client, "/calls/one").all("a", "href")
    assert "/calls/one/compare?a=1&b=2" in hrefs
    assert "/calls/one/compare?a=2&b=1" in hrefs
