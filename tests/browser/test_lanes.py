"""The lanes of the player: keys, holds, codecs, loss and jitter stand at their times, in pixels and in words; zoom."""

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from axe import violations
from browsing import overflow, served
from capture_writer import frame, sip
from running import RunningServer
from sipflow.clock import SECOND_US

BEGIN_US = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
ALICE_RTP, BOB_RTP = ("192.0.2.1", 4000), ("192.0.2.2", 4002)
CALL_ID = "lanes"
LASTS_S = 24
# What happens in the call, in seconds since its INVITE; sound begins at 1 s.
KEYS = {"5": 3.0, "#": 5.0}
HELD = (8.0, 12.0)
CODEC_CHANGES_S = 15.0
LOST = range(850, 870)  # packets, at 18.0 s
UNEVEN = range(950, 1000)  # packets, from 20.0 s to 21.0 s
SPOKEN = 1100  # packets
INKED = """(canvas, [from, until]) => {
  const [x, end] = [Math.floor(from * canvas.width), Math.ceil(until * canvas.width)];
  const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  const pixels = pen.getImageData(x, 0, Math.max(end - x, 1), canvas.height).data;
  let inked = 0;
  for (let n = 3; n < pixels.length; n += 4) inked += pixels[n] > 0;
  return inked / (pixels.length / 4);
}"""
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def description(address: str, port: int, direction: str = "sendrecv") -> str:
    head = f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
    return head + f"m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"


def offered(at: float, number: int, caller_sends: str, callee_sends: str) -> list[tuple[int, bytes]]:
    """Write an INVITE, its 200 and its ACK."""
    start, tag = "sip:bob@example.com SIP/2.0", "b" if number > 1 else ""
    offer, answer = description("192.0.2.1", 4000, caller_sends), description("192.0.2.2", 4002, callee_sends)
    at_us = round(at * SECOND_US)
    return [
        (at_us, frame(ALICE, BOB, sip(f"INVITE {start}", CALL_ID, f"{number} INVITE", offer, to_tag=tag))),
        (at_us + 20_000, frame(BOB, ALICE, sip("SIP/2.0 200 OK", CALL_ID, f"{number} INVITE", answer, to_tag="b"))),
        (at_us + 40_000, frame(ALICE, BOB, sip(f"ACK {start}", CALL_ID, f"{number} ACK", to_tag="b"))),
    ]


def head(number: int, timestamp: int, ssrc: int, kind: int) -> bytes:
    return struct.pack(">BBHII", 0x80, kind, number, timestamp, ssrc)


def speech() -> Iterator[tuple[int, bytes]]:
    """Write noise from Alice, with keys, a gap, another codec and some that came unevenly; silence from Bob."""
    chance = np.random.default_rng(1)
    pressed = {round((at - 1) * 50): key for key, at in KEYS.items()}
    first, key = 0, ""
    for number in range(SPOKEN):
        at_us = SECOND_US + number * 20_000
        yield at_us, frame(BOB_RTP, ALICE_RTP, head(number, number * 160, 2, 8) + b"\xd5" * 160)
        if number in pressed:
            first, key = number, pressed[number]
        if key:
            # RFC 4733, section 2.3: event, end bit and volume, duration so far; ten packets of one time stamp.
            so_far = number - first + 1
            ended = 0x80 if so_far == 10 else 0
            event = struct.pack(">BBH", "0123456789*#".index(key), ended | 10, so_far * 160)
            yield at_us, frame(ALICE_RTP, BOB_RTP, head(number, first * 160, 1, 101) + event)
            key = "" if ended else key
        elif number not in LOST:
            late_us = 15_000 if number in UNEVEN and number % 2 else 0
            kind = 8 if at_us < CODEC_CHANGES_S * SECOND_US else 0
            noise = chance.integers(0, 256, 160, dtype=np.uint8).tobytes()
            yield at_us + late_us, frame(ALICE_RTP, BOB_RTP, head(number, number * 160, 1, kind) + noise)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve a call in which everything happens that has a lane."""
    end = sip("BYE sip:bob@example.com SIP/2.0", CALL_ID, "9 BYE", to_tag="b")
    frames = [
        *offered(0, 1, "sendrecv", "sendrecv"), *offered(HELD[0], 2, "sendonly", "recvonly"),
        *offered(HELD[1], 3, "sendrecv", "sendrecv"), *speech(), (LASTS_S * SECOND_US, frame(ALICE, BOB, end)),
    ]  # fmt: skip
    with served(tmp_path_factory.mktemp("lanes"), ((BEGIN_US + offset, octets) for offset, octets in frames)) as server:
        yield server


@pytest.fixture
def lanes(page: Page, server: RunningServer) -> Page:
    """Open the call, all of its lanes drawn."""
    page.goto(f"{server.url}/calls/{CALL_ID}")
    expect(page.locator("canvas.row-jitter")).to_be_visible()
    page.wait_for_function("() => document.querySelector('[data-audio]').readyState >= 1")
    page.evaluate(TWO_FRAMES)
    return page


def inked(page: Page, row: str, from_s: float, until_s: float) -> float:
    """Tell which part of the pixels of a lane is drawn between two times, while the whole call is in view."""
    place = [from_s / LASTS_S, until_s / LASTS_S]
    return float(page.locator(f"canvas.row-{row}").evaluate(INKED, place))


def picture(page: Page, row: str) -> str:
    """Give a lane as a data URL, once it is drawn."""
    page.evaluate(TWO_FRAMES)
    return str(page.locator(f"canvas.row-{row}").evaluate("canvas => canvas.toDataURL()"))


def test_the_time_line_gives_keys_holds_and_codecs(server: RunningServer) -> None:
    body = server.get(f"/api/v1/calls/{CALL_ID}/timeline").json()
    digits = [(each["symbol"], (each["time_us"] - BEGIN_US) / SECOND_US, each["leg"]) for each in body["digits"]]
    assert digits == [(key, pytest.approx(at, abs=0.02), 0) for key, at in KEYS.items()]
    assert [each["duration_ms"] for each in body["digits"]] == [200, 200]
    (hold,) = body["holds"]
    assert [(hold[name] - BEGIN_US) / SECOND_US for name in ("from_us", "to_us")] == pytest.approx(HELD, abs=0.1)
    assert (hold["by_caller"], hold["by"]) == (True, "192.0.2.1:5060")
    codecs = {
        each["leg"]: [(mark["codec"], (mark["from_us"] - BEGIN_US) / SECOND_US) for mark in each["codecs"]]
        for each in body["streams"]
    }
    assert codecs == {0: [("PCMA", 1.0), ("PCMU", CODEC_CHANGES_S)], 1: [("PCMA", 1.0)]}


class TestLanes:
    def test_each_event_stands_at_its_time(self, lanes: Page) -> None:
        for at in KEYS.values():
            assert inked(lanes, "keys", at - 0.05, at + 0.2) > 0.3
        assert inked(lanes, "keys", 6, LASTS_S) == 0
        assert inked(lanes, "holds", HELD[0] + 0.1, HELD[1] - 0.1) > 0.7
        assert inked(lanes, "holds", 0, HELD[0] - 0.1) == inked(lanes, "holds", HELD[1] + 0.1, LASTS_S) == 0
        assert inked(lanes, "loss", 17.9, 19.1) > 0.2
        assert inked(lanes, "loss", 0, 17.8) == inked(lanes, "loss", 19.2, LASTS_S) == 0
        # A bar of full height begins each codec; there are two lines, of which one changes.
        bar = inked(lanes, "codecs", CODEC_CHANGES_S, CODEC_CHANGES_S + 0.01)
        assert bar > inked(lanes, "codecs", CODEC_CHANGES_S - 0.5, CODEC_CHANGES_S - 0.4) * 0.99 > 0.7
        assert inked(lanes, "codecs", 0, 0.9) == inked(lanes, "codecs", 23.1, LASTS_S) == 0

    def test_each_event_is_told_in_words(self, lanes: Page) -> None:
        lanes.get_by_text("as text").click()
        lines = lanes.locator("[data-lane-words] li").all_inner_texts()
        for line in (
            "0:03.0 to 0:03.2 key 5", "0:05.0 to 0:05.2 key #", "0:08.0 to 0:12.0 hold by the caller",
            "0:01.0 to 0:15.0 codec PCMA, from the caller", "0:15.0 to 0:23.0 codec PCMU, from the caller",
            "0:01.0 to 0:23.0 codec PCMA, from the callee", "0:18.0 20 packets lost in a second",
        ):  # fmt: skip
            assert line in lines
        jitter = [line.split(" ms")[0].split()[-1] for line in lines if line.startswith("0:20.0 jitter at its most")]
        assert len(jitter) == 1
        assert float(jitter[0]) > 5
        assert violations(lanes) == []
        lanes.set_viewport_size({"width": 390, "height": 800})
        assert overflow(lanes) == 0
        assert violations(lanes) == []

    def test_who_speaks_has_an_outline_and_who_is_silent_a_line(self, lanes: Page) -> None:
        speaking, silent = inked(lanes, "wave0", 6, 14), inked(lanes, "wave1", 6, 14)
        assert speaking > 0.5
        assert 0 < silent < 0.1
        # Nobody speaks before the sound begins, nor while packets were lost.
        assert inked(lanes, "wave0", 0, 0.9) < 0.1
        assert inked(lanes, "wave0", 18.1, 18.3) < speaking


class TestZoom:
    @pytest.mark.parametrize(("row", "key"), [("ruler", "0"), ("wave0", "0"), ("holds", "0"), ("wave0", "-")])
    def test_zoom_changes_what_is_seen_and_0_shows_all_again(self, lanes: Page, row: str, key: str) -> None:
        whole = picture(lanes, row)
        lanes.locator("[data-axis]").focus()
        lanes.keyboard.press("ArrowRight")
        lanes.keyboard.press("ArrowRight")
        with lanes.expect_response(lambda answer: "/peaks" in answer.url and "start=" in answer.url):
            lanes.keyboard.press("+")
            # The whole call is more than one step away, but for the key that goes one step back.
            if key == "0":
                lanes.keyboard.press("+")
        assert picture(lanes, row) != whole
        with lanes.expect_response(lambda answer: "/peaks" in answer.url and "start=0.000" in answer.url):
            lanes.keyboard.press(key)
        lanes.wait_for_function(
            "([row, whole]) => document.querySelector(`canvas.row-${row}`).toDataURL() === whole", arg=[row, whole]
        )

    def test_what_is_sought_outside_of_the_view_comes_into_it(self, lanes: Page) -> None:
        for _ in range(3):
            lanes.keyboard.press("+")
        before = picture(lanes, "ruler")
        for _ in range(2):
            lanes.keyboard.press("ArrowRight")
        assert lanes.locator("[data-axis]").get_attribute("aria-valuenow") == "10.0"
        expect(lanes.locator(".playhead")).to_be_visible()
        # The ruler is that of the view which the playhead stands in.
        assert picture(lanes, "ruler") != before
