"""Every page names its JSON twin, and the twin tells what the page shows: real data roots, over HTTP."""

import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from buckets import T0_US, A, B, call, record
from capture_writer import frame, sip
from memory_history import Served, SteadyRecorder
from sipflow.archive.state import ArchiveState, write_state
from sipflow.clock import now_us
from sipflow.config import Address, Alias, Retention, Settings
from sipflow.destination import Upload
from sipflow.query.history import History
from sipflow.storage.layout import HOUR_US
from sipflow.web.app import build
from sipflow.web.console.wording import DASH, clock, count, size

PAGE = {"Accept": "text/html"}
ONE, TWO = "one@h/%?", "two@h"


def registration(call_id: str, at_us: int) -> list[tuple[int, bytes]]:
    """Write the frames of a REGISTER of its own user that succeeds."""

    def of(text: bytes) -> bytes:
        return re.sub(rb"(?m)^((?:From|To|f|t): *)<?sip:[^;>\r\n]*>?", rb"\1<sip:%b@h>" % call_id.encode(), text)

    return [
        (at_us, frame(A, B, of(sip("REGISTER sip:example.com SIP/2.0", call_id, "1 REGISTER")))),
        (at_us + 9000, frame(B, A, of(sip("SIP/2.0 200 OK", call_id, "1 REGISTER", to_tag="r")))),
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store a call and a registration in each of two hours."""
    root = tmp_path_factory.mktemp("twins") / "root"
    frames = call(ONE, T0_US + 60_000_000) + call(TWO, T0_US + HOUR_US + 60_000_000)
    frames += registration("ann", T0_US + 120_000_000) + registration("ben", T0_US + HOUR_US + 120_000_000)
    record(root, frames)
    write_state(root, ArchiveState("s3://calls/pbx", updated_us=now_us(), parts=2, octets=3_400_000, oldest_us=T0_US))
    return root


def served(root: Path, **more: Any) -> Iterator[httpx.Client]:
    settings = Settings(
        http=Address("127.0.0.1", 0), root=root, aliases=(Alias("192.0.2.1", "Trunk <West>"),), **more
    )  # fmt: skip
    history = History.open(root)
    with (
        Served(build(history, SteadyRecorder(), settings)) as url,
        httpx.Client(base_url=url, timeout=60, headers=PAGE) as client,
    ):
        yield client
    history.close()


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[httpx.Client]:
    retention = Retention(sip_age=4000 * 86_400_000_000, rtp_bytes=5_000_000_000)
    yield from served(root, upload=Upload("s3", bucket="calls", root="pbx"), retention=retention)


def words(text: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", text)).split())


def ids(text: str) -> list[str]:
    return [unescape(one) for one in re.findall(r'data-call="([^"]*)"', text)]


class Twin(NamedTuple):
    """A page, the address of its twin, and what of the twin's answer has to stand on the page; checks it as well."""

    page: str
    path: str
    shown: Callable[[Any], list[str]]


def of_now(told: Any) -> list[str]:
    assert told["archive"]["parts"] == 2
    return [f"Waiting {told['archive']['parts']} parts", f"{told['sip']} since the start", told["archive"]["where"]]


def of_calls(*call_ids: str) -> Callable[[Any], list[str]]:
    def shown(told: Any) -> list[str]:
        assert [one["call_id"] for one in told["calls"]] == list(call_ids)
        return [f"{len(call_ids)} call", *[f"{one['status']} {one['reason']}" for one in told["calls"]]]

    return shown


def of_call(told: Any) -> list[str]:
    found = told["call"]
    assert (found["call_id"], found["status"], found["mos"] > 4) == (ONE, 200, True)
    return [ONE, f"{found['status']} {found['reason']}", f"Worst MOS {found['mos']:.2f}", clock(found["first_us"])]


def of_message(told: Any) -> list[str]:
    messages = told["messages"]
    assert messages[1]["kind"] == "2xx"
    second = messages[1]
    return [f"Message 2 of {len(messages)}", f"{second['src']} → {second['dst']}", second["text"].splitlines()[2]]


def of_difference(told: Any) -> list[str]:
    changed = [one for one in told["changes"] if one["kind"] == "changed"]
    assert [one["name"] for one in changed] == ["start line", "To", "CSeq", "Content-Length"]
    return [f"≠ changed {one['name']} {one['a']} {one['b']}" for one in changed if not one["parts"]]


def of_quality(told: Any) -> list[str]:
    (stream,) = told["streams"]
    ends = f"{stream['src']} → {stream['dst']}"
    return [ONE, f"{ends} {stream['codec']} {stream['packet_count']} {stream['lost']}", f"{stream['lq']['mos']:.2f}"]


def of_statistics(attempts: int) -> Callable[[Any], list[str]]:
    def shown(told: Any) -> list[str]:
        assert told["total"]["attempts"] == attempts
        source = told["sources"][0]
        assert (source["name"], source["alias"]) == ("192.0.2.1", "Trunk <West>")
        return [
            f"Attempts {attempts} {told['total']['answered']} answered",
            f"{source['alias']} {source['name']} {source['ratios']['attempts']}",
        ]

    return shown


def of_group(told: Any) -> list[str]:
    assert [hour["ratios"]["statuses"] for hour in told["hours"]] == [{"200": 1}, {"200": 1}]
    assert (told["total"]["completed"], told["total"]["disconnected"], told["sources"]) == (0, 0, [])
    # Above the table, which has all groups.
    return [
        "Source (trunk or phone): Trunk <West> 192.0.2.1 · all calls",
        "Attempts 2 2 answered",
        f"SDD {DASH} 0 failed of 0",
    ]


def of_registrations(*users: str) -> Callable[[Any], list[str]]:
    def shown(told: Any) -> list[str]:
        assert [one["call_id"] for one in told["registrations"]] == list(users)
        return [f"Users {told['users']} Attempts {told['attempts']}", *[one["aor"] for one in told["registrations"]]]

    return shown


def of_nodes(told: Any) -> list[str]:
    (node,) = told["nodes"]
    limits, archive = node["retention"], node["archive"]
    assert limits["sip_age_us"] == 4000 * 86_400_000_000
    assert (archive["parts"], archive["pace"]) == (2, "sending")
    return [
        "Signalling 4000d",
        f"Media for ever, at most {size(limits['rtp_octets'])}",
        f"Kept free {limits['min_free']}",
        f"Waiting {archive['parts']} parts, {size(archive['octets'])}",
        f"calls in {count(len(node['parts']))} parts",
    ]


ALL = "since=2024-10-01T00:00:00Z"
ALL_ASKED = "since=2024-10-01T00%3A00%3A00.000000Z"
HOUR = "since=2024-10-04T00:00:00Z&until=2024-10-04T00:59:59Z"
HOUR_ASKED = "since=2024-10-04T00%3A00%3A00.000000Z&until=2024-10-04T00%3A59%3A59.999999Z"
AT = "/calls/one%40h%2F%25%3F"
TWINS = {
    "now": Twin("/", "/api/v1/now", of_now),
    "calls": Twin("/calls?limit=50&q=to:bob", "/api/v1/calls?q=to%3Abob&limit=50", of_calls(TWO, ONE)),
    "a pasted Call-ID": Twin("/calls?q=one@h/%25?", "/api/v1/calls?q=one%40h%2F%25%3F&limit=50", of_calls(ONE)),
    "statistics": Twin(f"/statistics?{ALL}", f"/api/v1/statistics?{ALL_ASKED}", of_statistics(2)),
    "statistics of an hour": Twin(f"/statistics?{HOUR}", f"/api/v1/statistics?{HOUR_ASKED}", of_statistics(1)),
    "statistics of a group": Twin(
        f"/statistics?{ALL}&of=source:192.0.2.1", f"/api/v1/statistics?{ALL_ASKED}&of=source%3A192.0.2.1", of_group
    ),
    "registrations": Twin(
        f"/registrations?{ALL}", f"/api/v1/registrations?{ALL_ASKED}", of_registrations("ben", "ann")
    ),
    "registrations of an hour": Twin(
        f"/registrations?{HOUR}", f"/api/v1/registrations?{HOUR_ASKED}", of_registrations("ann")
    ),
    "registrations of a user": Twin(
        f"/registrations?{ALL}&user=ben", f"/api/v1/registrations?{ALL_ASKED}&user=ben", of_registrations("ben")
    ),
    "call": Twin(AT, f"/api/v1{AT}", of_call),
    "message": Twin(f"{AT}/message?n=2", f"/api/v1{AT}/flow", of_message),
    "compare": Twin(f"{AT}/compare?a=1&b=3", f"/api/v1{AT}/compare?a=1&b=3", of_difference),
    "quality": Twin(f"{AT}/quality", f"/api/v1{AT}/quality", of_quality),
    "nodes": Twin("/nodes", "/api/v1/nodes", of_nodes),
    "settings": Twin(
        "/settings",
        "/api/v1/settings",
        lambda told: (
            [f"{one['key']} {one['value']}" for one in told["settings"] if one["changed"]] + [*told["aliases"]]
        ),
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_the_twin_that_the_head_names_tells_the_same(client: httpx.Client, name: str) -> None:
    page, path, shown = TWINS[name]
    answer = client.get(page)
    assert answer.status_code == 200
    head = answer.text.partition("</head>")[0]
    (twin,) = (
        unescape(one) for one in re.findall(r'<link rel="alternate" type="application/json" href="(.*?)">', head)
    )
    assert twin == path
    assert f'href="{twin}"'.replace("&", "&amp;") in answer.text.partition("<main")[2], "people find it too"
    told = client.get(twin, headers={"Accept": "application/json"})
    assert told.status_code == 200
    text = words(answer.text)
    for each in shown(told.json()):
        assert each in text


def test_what_retention_is_about_to_take_stands_on_the_page(root: Path) -> None:
    for client in served(root, retention=Retention(sip_age=86_400_000_000)):
        (node,) = client.get("/api/v1/nodes").json()["nodes"]
        assert [step["action"] for step in node["steps"]] == ["delete", "delete"]
        assert node["archive"] is None
        text = words(client.get("/nodes").text)
        assert "Signalling 1d" in text
        assert "Nothing is due" not in text
        due = text.partition("Due now Part Action Frees Why ")[2]
        for step in node["steps"]:
            assert f"{step['path']} {step['action']} {size(step['octets'])} {step['why']}" in due
        assert client.get("/api/v1/nodes").json()["nodes"][0]["steps"] == node["steps"], "looking takes nothing"


def test_nothing_due_is_said_too(client: httpx.Client) -> None:
    assert "Nothing is due" in words(client.get("/nodes").text)


def test_a_trunk_has_its_name_in_statistics(client: httpx.Client) -> None:
    page = client.get(f"/statistics?{ALL}").text
    assert "<West>" not in page
    for title, host in (("source", "Trunk &lt;West&gt; <code"), ("destination", "192.0.2.2")):
        table = page.partition(f"<h2>By {title}")[2].partition("</section>")[0]
        assert host in table
    told = client.get(f"/api/v1/statistics?{ALL_ASKED}").json()
    assert [(one["name"], one["alias"]) for one in told["destinations"]] == [("192.0.2.2", "")]
