"""Offered, answered, received: what the table of a call says became of each medium."""

from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from chunks import Rtp, make_chunk
from memory_history import MemoryHistory, Served, SteadyRecorder
from sipflow.config import Address, Settings
from sipflow.web.app import build
from sipflow.wire.packet import StreamKey
from talk import ALICE_RTP, BOB_RTP, CALL_ID, TO_ALICE, TO_BOB, Talk, answered, at, sdp

PCMU, PCMA, OPUS = "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:96 opus/48000/2"
BOTH = sdp(ALICE_RTP, "8 0", PCMA, PCMU)


class Table(HTMLParser):
    """The cells of the table of what was negotiated, line by line: when, medium, offer, answer, agreed, received."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lines: list[list[str]] = []
        self.links: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "section":
            self._inside = attributes.get("aria-labelledby") == "negotiated-title"
        if self._inside and tag == "tr":
            self.lines.append([])
        if self._inside and tag == "td":
            self.lines[-1].append("")
        if self._inside and tag == "a":
            self.links.append(attributes["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "section"

    def handle_data(self, data: str) -> None:
        if self._inside and self.lines and self.lines[-1]:
            self.lines[-1][-1] = " ".join(f"{self.lines[-1][-1]} {data}".split())


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[MemoryHistory, httpx.Client]]:
    history = MemoryHistory()
    headers = {"Accept": "text/html"}
    with (
        Served(build(history, SteadyRecorder(), Settings(http=Address("127.0.0.1", 0)))) as url,
        httpx.Client(base_url=url, headers=headers) as client,
    ):
        yield history, client


def table(served: tuple[MemoryHistory, httpx.Client], talk: Talk, *streams: tuple[StreamKey, int, range]) -> Table:
    """Show a talk with streams: of each its key, its payload type and which numbers of 0 to 99 are lost."""
    history, client = served
    history.clear()
    history.messages = list(talk.messages)
    for key, kind, lost in streams:
        sent = [Rtp(at(3) + n * 20_000, n, n * 160, bytes(160), kind) for n in range(100) if n not in lost]
        history.chunks.append(make_chunk(key, sent))
    answer = client.get(f"/calls/{CALL_ID}")
    assert answer.status_code == 200
    found = Table(answer.text)
    found.lines = [line for line in found.lines if line]
    return found


def test_what_both_take_is_agreed_and_what_came_has_codec_and_loss(served: tuple[MemoryHistory, httpx.Client]) -> None:
    talk = answered(BOTH, sdp(BOB_RTP, "0", PCMU, "a=ptime:30"))
    found = table(served, talk, (TO_BOB, 0, range(10, 20)), (TO_ALICE, 8, range(0)))
    assert found.lines == [
        [
            "+0 ms", "audio 1",
            "198.51.100.1:4000 PCMA, PCMU sendrecv · message 1",
            "203.0.113.2:6000 PCMU sendrecv, 30 ms · message 3",
            "PCMU",
            "← PCMA, 100 packets → PCMU, 90 packets, 10.0 % lost",
        ]
    ]  # fmt: skip
    assert found.links == ["#m1", "#m3"]


def test_the_codec_is_named_as_the_answer_prefers(served: tuple[MemoryHistory, httpx.Client]) -> None:
    (line,) = table(served, answered(BOTH, sdp(BOB_RTP, "0 8", PCMU, PCMA))).lines
    assert line[4:] == ["PCMU, PCMA", "← nothing → nothing"]


def test_no_codec_in_common_is_told(served: tuple[MemoryHistory, httpx.Client]) -> None:
    (line,) = table(served, answered(sdp(ALICE_RTP, "96", OPUS), sdp(BOB_RTP, "0", PCMU))).lines
    assert line[4] == "no codec in common"


def test_what_nobody_answers_is_never_answered(served: tuple[MemoryHistory, httpx.Client]) -> None:
    (line,) = table(served, Talk().ask(0, "INVITE", BOTH).reply(0.1, "180 Ringing")).lines
    assert line[3:5] == ["\N{EN DASH}", "never answered"]


def test_what_is_declined_is_refused(served: tuple[MemoryHistory, httpx.Client]) -> None:
    (line,) = table(served, Talk().ask(0, "INVITE", BOTH).reply(0.1, "488 Not Acceptable Here").ask(0.2, "ACK")).lines
    assert line[3:5] == ["\N{EN DASH}", "refused"]


@pytest.mark.parametrize("by_offer", [False, True])
def test_port_0_switches_a_medium_off(served: tuple[MemoryHistory, httpx.Client], by_offer: bool) -> None:
    ends = [ALICE_RTP._replace(port=0), BOB_RTP] if by_offer else [ALICE_RTP, BOB_RTP._replace(port=0)]
    (line,) = table(served, answered(*(sdp(end, "0", PCMU) for end in ends)), (TO_BOB, 0, range(0))).lines
    assert line[4] == "switched off"
    assert ["off" in cell.split() for cell in line[2:4]] == [by_offer, not by_offer]


def test_each_medium_has_its_line(served: tuple[MemoryHistory, httpx.Client]) -> None:
    video = "m=video {} RTP/AVP 97\r\na=rtpmap:97 VP8/90000\r\n"
    talk = answered(sdp(ALICE_RTP, "0", PCMU) + video.format(4004), sdp(BOB_RTP, "0", PCMU) + video.format(0))
    found = table(served, talk, (TO_BOB, 0, range(0)))
    assert [(line[1], line[4], line[5]) for line in found.lines] == [
        ("audio 1", "PCMU", "← nothing → PCMU, 100 packets"),
        ("video 2", "switched off", "← nothing → nothing"),
    ]


def test_an_offer_in_the_answer_is_that_of_the_callee(served: tuple[MemoryHistory, httpx.Client]) -> None:
    talk = (
        Talk().ask(0, "INVITE").reply(2, "200 OK", sdp(BOB_RTP, "0", PCMU)).ask(2.1, "ACK", sdp(ALICE_RTP, "0", PCMU))
    )
    (line,) = table(served, talk, (TO_BOB, 0, range(50)), (TO_ALICE, 0, range(0))).lines
    assert line[2].startswith("203.0.113.2:6000")
    assert line[3].startswith("198.51.100.1:4000")
    # Half of what went to the callee is missing at its beginning, which nobody can know.
    assert line[5] == "← PCMU, 50 packets → PCMU, 100 packets"


def test_a_hold_is_a_line_of_its_own(served: tuple[MemoryHistory, httpx.Client]) -> None:
    talk = answered(sdp(ALICE_RTP, "0", PCMU), sdp(BOB_RTP, "0", PCMU))
    talk.ask(4, "INVITE", sdp(ALICE_RTP, "0", PCMU, "a=sendonly"), cseq=2)
    talk.reply(4.1, "200 OK", sdp(BOB_RTP, "0", PCMU, "a=recvonly"), cseq="2 INVITE")
    lines = table(served, talk, (TO_BOB, 0, range(50, 100)), (TO_ALICE, 0, range(60))).lines
    assert [line[0] for line in lines] == ["+0 ms", "+4.0 s"]
    assert ("sendonly" in lines[1][2], "recvonly" in lines[1][3], lines[1][4]) == (True, True, "PCMU")
    # One stream ends before the hold, the other begins in it.
    assert [line[5] for line in lines] == ["← nothing → PCMU, 50 packets", "← PCMU, 40 packets → nothing"]
