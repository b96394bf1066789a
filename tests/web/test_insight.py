"""Diagnosis, statistics, registrations and downloads over HTTP: real data roots, and SIP that attacks its reader."""

import io
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree

import av
import dpkt
import httpx
import numpy as np
import pytest
import resvg_py
from markupsafe import escape
from numpy.typing import NDArray

from capture_writer import frame, pcap, sip
from memory_history import MemoryHistory, Served, SteadyRecorder
from sample_root import ALICE, BEGIN_US, BOB, make_sample
from sipflow.config import Address, Alias, Settings
from sipflow.importer import import_files
from sipflow.query.history import History
from sipflow.web.app import build
from sipflow.web.console.ladder_file import has_font
from sipflow.wire.visible import visible

SETTINGS = Settings(http=Address("127.0.0.1", 0))
CALL = "/api/v1/calls/early-0"
ATTACK = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'--></style></title>"


SVG = "{http://www.w3.org/2000/svg}"
SVG_TAGS = {"svg", "title", "rect", "text", "line", "path", "g"}


def tags(svg: ElementTree.Element) -> set[str]:
    """Name the elements of a drawing."""
    return {element.tag.removeprefix(SVG) for element in svg.iter()}


def texts(svg: ElementTree.Element) -> list[str]:
    """Give what is written in a drawing, in its order."""
    return [element.text or "" for element in svg.iter(f"{SVG}text")]


def escaped(text: str) -> str:
    """Write captured text as a page has to."""
    return str(escape(visible(text)))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = make_sample(tmp_path_factory.mktemp("insight") / "root")
    contact = "Contact: <sip:carol@192.0.2.1>;expires=300\r\n"
    register = sip("REGISTER sip:example.com SIP/2.0", "reg", "1 REGISTER")
    accepted = sip("SIP/2.0 200 OK", "reg", "1 REGISTER", to_tag="r").replace(b"CSeq:", contact.encode() + b"CSeq:")
    file = root.parent / "reg.pcap"
    file.write_bytes(pcap([(BEGIN_US, frame(ALICE, BOB, register)), (BEGIN_US + 9000, frame(BOB, ALICE, accepted))]))
    import_files([file], root)
    history = History.open(root)
    with Served(build(history, SteadyRecorder(), SETTINGS)) as url, httpx.Client(base_url=url, timeout=60) as found:
        yield found
    history.close()


def test_diagnosis(client: httpx.Client) -> None:
    body = client.get(f"{CALL}/diagnosis").json()
    assert [finding["code"] for finding in body["findings"]][:2] == ["answered", "ended-by"]
    assert body["findings"][1]["messages"] == [3]
    assert body["times"] == {
        "srd_us": 90_000, "srd_failed_us": None, "pdd_us": None, "sdt_us": 4_910_000, "sdd_us": None
    }  # fmt: skip
    assert client.get("/api/v1/calls/nobody/diagnosis").status_code == 404
    assert client.get(f"{CALL}/diagnosis", params={"x": 1}).status_code == 400


def test_pages(client: httpx.Client) -> None:
    page = client.get("/calls/early-0").text
    assert "The caller (192.0.2.1:5060) ended the call with BYE" in page
    assert "192.0.2.1:4000" in client.get("/calls/early-0/quality").text
    assert '<svg class="chart"' in client.get("/statistics", params={"since": "2026-01-01T00:00:00Z"}).text
    assert client.get("/statistics", params={"range": "9y"}).status_code == 400
    registrations = client.get("/registrations", params={"since": "2026-01-01T00:00:00Z"}).text
    assert "<code>sip:carol@192.0.2.1</code>" in registrations


def test_statistics(client: httpx.Client) -> None:
    body = client.get("/api/v1/statistics").json()
    assert (body["total"]["attempts"], body["total"]["asr"], body["total"]["scr"]) == (2, 100.0, 0.0)
    assert (body["total"]["sdd_s"], body["total"]["undisconnected"]) == (None, 2)  # no BYE of these is answered
    assert body["sources"][0]["name"] == "192.0.2.1"
    assert client.get("/api/v1/statistics", params={"until": "2026-01-01T00:00:00Z"}).json()["total"]["asr"] is None


def test_statistics_of_a_group(client: httpx.Client) -> None:
    body = client.get("/api/v1/statistics", params={"of": "source:192.0.2.1"}).json()
    assert (body["total"]["attempts"], len(body["hours"]), body["sources"]) == (2, 1, [])
    assert client.get("/api/v1/statistics", params={"of": "source:192.0.2.9"}).json()["hours"] == []
    assert client.get("/api/v1/statistics", params={"of": "agent:"}).json()["total"]["attempts"] == 2
    for text in ("trunk:192.0.2.1", "source", "source:(others)"):
        for path in ("/api/v1/statistics", "/statistics"):
            refused = client.get(path, params={"of": text})
            assert (refused.status_code, "allowed: source:HOST" in refused.text) == (400, True)


def test_registrations(client: httpx.Client) -> None:
    body = client.get("/api/v1/registrations").json()
    assert body["users"] == 1
    one = body["registrations"][0]
    assert (one["status"], one["dialogs"], one["failed"]) == (200, 1, 0)
    assert one["contacts"] == [{"uri": "sip:carol@192.0.2.1", "expires_s": 300}]
    assert client.get("/api/v1/registrations", params={"user": "nobody"}).json()["users"] == 0


def test_downloads(client: httpx.Client) -> None:
    capture = client.get(f"{CALL}/call.pcapng")
    assert len(list(dpkt.pcapng.Reader(io.BytesIO(capture.content)))) == 203
    assert b"Recording: " in capture.content
    assert "early-0.pcapng" in capture.headers["content-disposition"]
    assert client.get(f"{CALL}/call.txt").text.count("CSeq: ") == 3
    lines = client.get(f"{CALL}/call.jsonl").text.splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["INVITE (SDP)", "200 OK (SDP)", "BYE"]
    page = client.get(f"{CALL}/bundle.html").text
    assert "data:audio/ogg;base64," in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def drawn(client: httpx.Client, path: str) -> ElementTree.Element:
    """Fetch a drawing; raises when it is no XML."""
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    return ElementTree.fromstring(answer.content)  # noqa: S314 - our own


def pixels(png: bytes) -> NDArray[np.uint8]:
    """Decode a picture: rows of pixels of red, green, blue."""
    with av.open(io.BytesIO(png), "r", format="png_pipe") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)


def test_the_svg_has_lanes_arrows_and_media(client: httpx.Client) -> None:
    svg = drawn(client, f"{CALL}/ladder.svg")
    assert tags(svg) == SVG_TAGS
    # A client of the call stands on the left, and the media after the answer.
    assert texts(svg) == [
        "192.0.2.1", ":5060", "192.0.2.2", ":5060", "PCMA · 200 packets", "no loss · MOS 4.4",
        "00:10:00.000", "+0 ms", "INVITE (SDP)", "00:10:00.090", "+90 ms", "200 OK (SDP)",
        "00:10:05.000", "+4.9 s", "BYE",
    ]  # fmt: skip
    lines = [
        {name: each.get(name, "") for name in ("x1", "x2", "y1", "y2", "stroke")} for each in svg.iter(f"{SVG}line")
    ]
    left, right = (line["x1"] for line in lines[:2])
    assert [(line["x1"], line["x2"]) for line in lines] == [
        (left, left), (right, right), (left, right), (right, left), (left, right),
    ]  # fmt: skip
    assert float(left) < float(right)
    assert [line["stroke"] for line in lines[2:]] == ["#2563c9", "#1a7540", "#2563c9"]
    assert all(line["y1"] == line["y2"] for line in lines[2:])
    band = next(each for each in svg.iter(f"{SVG}rect") if each.get("stroke") == "#1a7540")
    top, bottom = float(band.attrib["y"]), float(band.attrib["y"]) + float(band.attrib["height"])
    assert float(lines[3]["y1"]) < top < bottom < float(lines[4]["y1"])
    assert (float(band.attrib["x"]), float(band.attrib["width"])) == (float(left), float(right) - float(left))


def test_the_png_is_the_drawing_of_the_svg(client: httpx.Client) -> None:
    svg = drawn(client, f"{CALL}/ladder.svg")
    answer = client.get(f"{CALL}/ladder.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content.startswith(b"\x89PNG\r\n\x1a\n")
    picture = pixels(answer.content)
    assert picture.shape == (2 * int(svg.attrib["height"]), 2 * int(svg.attrib["width"]), 3)
    assert (picture[0, 0] == 255).all()
    # An arrow has its colour a quarter of its way, where no label is.
    line = next(each for each in svg.iter(f"{SVG}line") if each.attrib["stroke"] == "#2563c9")
    x1, x2, y = (float(line.attrib[name]) for name in ("x1", "x2", "y1"))
    assert picture[int(2 * y), int(2 * (x1 + (x2 - x1) / 4))].tolist() == [0x25, 0x63, 0xC9]
    # The name of the lane is written above it.
    head = picture[2 * 6 : 2 * 20, int(2 * x1) - 40 : int(2 * x1) + 40]
    assert 0.05 < (head < 128).all(axis=2).mean() < 0.6


def test_png_is_offered_where_it_can_be_made(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = f'href="{CALL}/ladder.png"'
    assert offer in client.get("/calls/early-0").text
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    page = client.get("/calls/early-0").text
    assert offer not in page
    assert f'href="{CALL}/ladder.svg"' in page
    answer = client.get(f"{CALL}/ladder.png")
    assert (answer.status_code, "sipflow[png]" in answer.text) == (501, True)


def test_a_png_without_text_is_never_given(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = f'href="{CALL}/ladder.png"'
    # What resvg draws on a machine that has no font.
    monkeypatch.setattr(resvg_py, "svg_to_bytes", partial(resvg_py.svg_to_bytes, skip_system_fonts=True))
    has_font.cache_clear()
    try:
        answer = client.get(f"{CALL}/ladder.png")
        page = client.get("/calls/early-0").text
    finally:
        has_font.cache_clear()
    assert answer.status_code == 501
    assert "this machine has no font" in answer.json()["message"]
    assert "apt-get install fonts-dejavu-core" in answer.json()["message"]
    assert offer not in page
    assert f'href="{CALL}/ladder.svg"' in page


def test_downloads_under_pseudonyms(client: httpx.Client) -> None:
    for view in ("call.txt", "call.jsonl", "ladder.svg", "bundle.html"):
        answer = client.get(f"{CALL}/{view}", params={"pseudonyms": "1"})
        assert answer.status_code == 200
        assert "early-0" not in answer.text + answer.headers["content-disposition"]
        assert "bob" not in answer.text.lower()
    assert client.get(f"{CALL}/call.txt", params={"pseudonyms": "maybe"}).status_code == 400


def test_ladders_have_aliases_but_not_under_pseudonyms(tmp_path: Path) -> None:
    history = History.open(make_sample(tmp_path / "root"))
    # Every address of the networks that pseudonyms are of has one: a ladder of them must not be named either.
    networks = ("192.0.2", "198.51.100", "203.0.113")
    aliases = tuple(
        Alias(f"{network}.{host}", f"desk<{network}.{host}>") for network in networks for host in range(256)
    )
    settings = Settings(http=Address("127.0.0.1", 0), aliases=aliases)
    with Served(build(history, SteadyRecorder(), settings)) as url, httpx.Client(base_url=url, timeout=60) as client:
        heads = list(drawn(client, f"{CALL}/ladder.svg").iter(f"{SVG}text"))[:4]
        assert [(head.text, head.get("font-weight")) for head in heads] == [
            ("desk<192.0.2.1>", "bold"), ("192.0.2.1:5060", None),
            ("desk<192.0.2.2>", "bold"), ("192.0.2.2:5060", None),
        ]  # fmt: skip
        assert ">desk&lt;192.0.2.1&gt;</text>" in client.get(f"{CALL}/bundle.html").text
        head = pixels(client.get(f"{CALL}/ladder.png").content)[: 2 * 40]
        for view in ("ladder.svg", "bundle.html"):
            assert "desk" not in client.get(f"{CALL}/{view}?pseudonyms=1").text
    with Served(build(history, SteadyRecorder(), SETTINGS)) as url:
        plain = pixels(httpx.get(f"{url}{CALL}/ladder.png").content)[: 2 * 40]
        assert plain.shape == head.shape
        assert (plain != head).any()
    history.close()


def test_hostile_sip_stays_text() -> None:
    history = MemoryHistory()
    call_id = f"x{ATTACK}"
    head = (
        f"INVITE sip:b@x SIP/2.0\r\nVia: {ATTACK}\r\nFrom: {ATTACK} <sip:{ATTACK}@x>;tag=1\r\nTo: <sip:{ATTACK}@x>\r\n"
        f'Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nReason: Q.850;cause=16;text="{ATTACK}"\r\nUser-Agent: {ATTACK}\r\n'
        f"Contact: <sip:{ATTACK}@10.0.0.1>\r\nX-{ATTACK}: {ATTACK}\r\n\r\n"
    )
    history.add(call_id, 0, head.encode())
    refused = head.replace("INVITE sip:b@x SIP/2.0", f"SIP/2.0 488 {ATTACK}\x00\ufffe\x1b[31m")
    history.add(call_id, 1000, refused.encode())
    path = quote(call_id, safe="")
    bundle = f"/api/v1/calls/{path}/bundle.html"
    attack = escaped(ATTACK)
    group = f"/statistics?of=agent%3A{quote_plus(ATTACK)}&amp;since=2000-01-01T00%3A00%3A00Z"
    # Each page, and where on it what was captured has to be read.
    views = {
        f"/calls/{path}": f'data-copy-source="id">x{attack}</code>',
        f"/calls/{path}/message?n=2": f'<span class="t-reason">{attack}',
        f"/calls/{path}/compare?a=1&b=2": f'<td class="wrap mono">SIP/2.0 488 {attack}',
        f"/calls/{path}/quality": f"<code>x{attack}</code>",
        "/statistics?since=2000-01-01T00:00:00Z": f'<th scope="row" class="wrap"><a href="{group}">{attack}</a></th>',
        f"/statistics?since=2000-01-01T00:00:00Z&of={quote(f'agent:{ATTACK}', safe='')}": f": <b>{attack}</b>",
        f"/statistics?until=2000-01-01T00:00:00Z&of={quote(f'agent:{ATTACK}', safe='')}": f"selected>{attack}</option>",
        bundle: f"<h1>x{attack}</h1>",
        f"{bundle}?pseudonyms=1": f"User-Agent: {attack}\n",
    }
    with Served(build(history, SteadyRecorder(), SETTINGS)) as url, httpx.Client(base_url=url, timeout=60) as client:
        for view, read in views.items():
            answer = client.get(view)
            assert answer.status_code == 200, view
            assert read in answer.text, view
            nothing_acts(answer.text)
        compared = client.get(f"/calls/{path}/compare?a=1&b=2").text
        assert f'<th scope="row">X-{attack}</th>' in compared
        svg = drawn(client, f"/api/v1/calls/{path}/ladder.svg")
        assert tags(svg) == SVG_TAGS
        assert texts(svg)[-1] == '488 "><script>…</title>␀\ufffd␛[31m'
        assert svg.findtext(f"{SVG}title") == f"sipflow: {call_id}"
        assert "sandbox" in client.get(f"/api/v1/calls/{path}/ladder.svg").headers["content-security-policy"]


def nothing_acts(page: str) -> None:
    """Look for the elements of the attack."""
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_hostile_registrations_stay_text(tmp_path: Path) -> None:
    contact = "sip:\" autofocus onfocus='alert(3)' &lt;img src=x&gt;@192.0.2.1"
    lines = [
        f"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1{ATTACK}", "From: <sip:x@192.0.2.2>;tag=1",
        f"To: sip:{ATTACK}@192.0.2.2", f"Call-ID: x{ATTACK}", "CSeq: 1 REGISTER", f"User-Agent: {ATTACK}\u202e",
        f"Contact: <{contact}>;expires=300", "", "",
    ]  # fmt: skip
    file = tmp_path / "reg.pcap"
    starts = ("REGISTER sip:x SIP/2.0", f"SIP/2.0 200 {ATTACK}")
    asked, accepted = ("\r\n".join([start, *lines]).encode() for start in starts)
    file.write_bytes(pcap([(BEGIN_US, frame(ALICE, BOB, asked)), (BEGIN_US + 9000, frame(BOB, ALICE, accepted))]))
    import_files([file], tmp_path / "root")
    history = History.open(tmp_path / "root")
    with Served(build(history, SteadyRecorder(), SETTINGS)) as url, httpx.Client(base_url=url, timeout=60) as client:
        page = client.get("/registrations", params={"since": "2026-01-01T00:00:00Z"}).text
        call = quote(f"x{ATTACK}", safe="")
        assert f'<a href="/calls/{call}">sip:{escaped(ATTACK)}@192.0.2.2</a></th>' in page
        assert f'<span class="chip good">200 {escaped(ATTACK)}</span>' in page
        assert f"<code>{escaped(contact)}</code>" in page
        assert f'<div class="muted">{escaped(ATTACK)}⟨U+202E⟩</div>' in page
        nothing_acts(page)
        searched = client.get("/registrations", params={"since": "2026-01-01T00:00:00Z", "user": ATTACK}).text
        assert f'<input name="user" value="{escaped(ATTACK)}"' in searched
        nothing_acts(searched)
    history.close()


def test_digits_are_hidden_in_what_is_exported(tmp_path: Path) -> None:
    root = tmp_path / "root"
    info = sip("INFO sip:bob@example.com SIP/2.0", "pin", "2 INFO", "Signal=7\r\nDuration=160\r\n", to_tag="b")
    info = info.replace(b"application/sdp", b"application/dtmf-relay")
    file = tmp_path / "pin.pcap"
    file.write_bytes(pcap([(BEGIN_US, frame(ALICE, BOB, info))]))
    import_files([file], root)
    for hide, expected in ((False, "Signal=7"), (True, "Signal=x")):
        history = History.open(root)
        settings = Settings(http=Address("127.0.0.1", 0), hide_digits=hide)
        with Served(build(history, SteadyRecorder(), settings)) as url:
            assert expected in httpx.get(f"{url}/api/v1/calls/pin/call.txt").text
        history.close()
