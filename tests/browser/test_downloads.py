"""The menu of downloads of a call's page: what is clicked is a file, and the file is what the menu says."""

import io
import json
import struct
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import av
import dpkt
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from axe import violations
from browsing import Shot, context_of, overflow
from running import RunningServer
from sample_root import make_sample
from sipflow.web.console.downloads import DOWNLOADS

PACKETS = 203  # 3 messages, 200 of RTP
MESSAGES = ["INVITE (SDP)", "200 OK (SDP)", "BYE"]
Check = Callable[[bytes], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve calls with four seconds of audio from the caller."""
    with RunningServer(make_sample(tmp_path_factory.mktemp("downloads") / "root")) as running:
        yield running


@pytest.fixture
def menu(page: Page, server: RunningServer) -> Locator:
    """Open the menu of a call."""
    page.goto(f"{server.url}/calls/early-0")
    found = page.locator("details.menu", has_text="Downloads")
    expect(found.get_by_role("link")).to_have_count(0)
    found.get_by_text("Downloads", exact=True).click()
    return found


def clicked(page: Page, menu: Locator, name: str) -> tuple[str, bytes]:
    """Choose an entry, which begins with its name; gives the name of the file, and the file."""
    about = next(each.about for each in DOWNLOADS if each.name == name)
    with page.expect_download() as started:
        menu.get_by_role("link", name=f"{name} {about}", exact=True).click()
    return started.value.suggested_filename, Path(started.value.path()).read_bytes()


def is_wav(file: bytes) -> None:
    assert (file[:4], file[8:12]) == (b"RIFF", b"WAVE")
    with wave.open(io.BytesIO(file)) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (2, 8000, 200 * 160)


def is_capture(file: bytes) -> None:
    assert struct.unpack("<I", file[:4]) == (0x0A0D0D0A,)
    packets = [packet for _, packet in dpkt.pcapng.Reader(io.BytesIO(file))]
    assert len(packets) == PACKETS
    assert sum(b"\r\nCSeq: " in packet for packet in packets) == len(MESSAGES)


def is_text(file: bytes) -> None:
    text = file.decode()
    assert [text.count(line) for line in ("INVITE sip:", "SIP/2.0 200 OK", "BYE sip:", "CSeq: ")] == [1, 1, 1, 3]


def is_json_lines(file: bytes) -> None:
    lines = [json.loads(line) for line in file.decode().splitlines()]
    assert [line["label"] for line in lines] == MESSAGES


def is_svg(file: bytes) -> None:
    texts = [element.text for element in ElementTree.fromstring(file).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314 - our own
    assert set(MESSAGES) < set(texts)


def is_png(file: bytes) -> None:
    with av.open(io.BytesIO(file), "r", format="png_pipe") as container:
        picture = next(container.decode(video=0)).to_ndarray(format="gray")
    assert picture.min() < 100 < picture.max()


def is_page(file: bytes) -> None:
    text = file.decode()
    assert text.startswith("<!doctype html>")
    assert 'src="data:audio/ogg;base64,T2dnU' in text


def sounds(container: str, codec: str) -> Check:
    """Make a check that a file is four seconds of sound of a form."""

    def check(file: bytes) -> None:
        with av.open(io.BytesIO(file), "r") as opened:
            stream = opened.streams.audio[0]
            assert opened.format.name == container
            assert codec in stream.codec_context.name  # libopus, mp3float: whichever decodes it
            played = sum(frame.samples / frame.sample_rate for frame in opened.decode(stream))
        assert played == pytest.approx(4.0, abs=0.15)

    return check


ENTRIES: list[tuple[str, str, Check]] = [
    ("WAV", "early-0.wav", is_wav),
    ("Opus", "early-0.opus", sounds("ogg", "opus")),
    ("MP3", "early-0.mp3", sounds("mp3", "mp3")),
    ("FLAC", "early-0.flac", sounds("flac", "flac")),
    ("Capture", "early-0.pcapng", is_capture),
    ("Page", "early-0.html", is_page),
    ("Text", "early-0.txt", is_text),
    ("JSONL", "early-0.jsonl", is_json_lines),
    ("SVG", "early-0.svg", is_svg),
    ("PNG", "early-0.png", is_png),
]


@pytest.mark.parametrize(("entry", "name", "check"), ENTRIES, ids=[each[0] for each in ENTRIES])
def test_a_click_saves_what_the_entry_says(page: Page, menu: Locator, entry: str, name: str, check: Check) -> None:
    found, file = clicked(page, menu, entry)
    assert found == name
    check(file)
    assert page.url.endswith("/calls/early-0")


@pytest.mark.parametrize("entry", ["Capture, pseudonyms", "Page, pseudonyms"])
def test_under_pseudonyms_not_even_the_name_of_the_file_tells(page: Page, menu: Locator, entry: str) -> None:
    name, file = clicked(page, menu, entry)
    assert name.endswith((".pcapng", ".html"))
    assert "early" not in name
    for secret in (b"early-0", b"sip:alice@", b"sip:bob@"):
        assert secret not in file
    assert file.startswith((b"\n\r\r\n", b"<!doctype html>"))


def test_the_menu_can_be_read_and_goes_by_keys(page: Page, menu: Locator) -> None:
    assert violations(page) == []
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(menu.get_by_role("link")).to_have_count(0)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(menu.get_by_role("link").first).to_be_focused()
    with page.expect_download() as started:
        page.keyboard.press("Enter")
    assert started.value.suggested_filename == "early-0.wav"


def test_the_menu_fits_a_phone(browser: Browser, server: RunningServer, shot: Shot) -> None:
    context = context_of(browser, 390, 844)
    page = context.new_page()
    page.goto(f"{server.url}/calls/early-0")
    page.get_by_text("Downloads", exact=True).click()
    box = page.locator("details.menu ul").bounding_box()
    wide = overflow(page)
    shot(page, "downloads-390")
    context.close()
    assert box is not None
    assert 0 <= box["x"] < box["x"] + box["width"] <= 390
    assert wide == 0
