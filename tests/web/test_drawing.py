"""Ladders, drawn: where everything stands, and what the options change."""

from sipflow.media.announcement import Hold
from sipflow.query.dialogs import dialogs
from sipflow.query.ladder import draw
from sipflow.web.console.drawing import ARROW_PX, BAND_PX, NOTE_PX, Drawing, draw_ladder
from sipflow.web.console.lanes import Style
from sipflow.web.console.media_band import MediaBand
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message

A, B, C = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060), Endpoint("192.0.2.2", 5080)
T0 = 1_753_000_000_000_000


def at(
    offset_us: int, src: Endpoint, dst: Endpoint, start: str, branch: str, tags: str = ";tag=f\r\nTo: <sip:b>"
) -> Message:
    text = f"{start}\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK{branch}\r\nFrom: <sip:a>{tags}\r\nCSeq: 1 INVITE\r\n\r\n"
    return Message("c", T0 + offset_us, T0 + offset_us, src, dst, text.encode())


CALL = [
    at(0, A, B, "INVITE sip:b SIP/2.0", "1"),
    at(500_000, A, B, "INVITE sip:b SIP/2.0", "1"),
    at(501_000, B, C, "INVITE sip:b SIP/2.0", "2"),
    at(900_000, C, B, "SIP/2.0 200 OK", "2"),
    at(901_250, B, A, "SIP/2.0 200 OK", "1"),
    at(9_000_000, A, A, "OPTIONS sip:x SIP/2.0", "9", ";tag=other\r\nTo: <sip:x>"),
]
MEDIA = Endpoint("192.0.2.1", 4000), Endpoint("198.51.100.9", 6000)


def band(first_us: int, last_us: int, src: Endpoint = MEDIA[0], dst: Endpoint = MEDIA[1], leg: int = 0) -> MediaBand:
    return MediaBand(leg, src, dst, 1, "PCMU", 50, 0, 0.0, 1.0, 4.4, T0 + first_us, T0 + last_us, False, "good")


def drawn(style: Style = Style(), *bands: MediaBand, holds: tuple[Hold, ...] = ()) -> Drawing:  # noqa: B008 - a value
    return draw_ladder(draw(CALL), dialogs(CALL), bands, holds, style)


def test_every_message_is_an_arrow_between_its_lanes() -> None:
    found = drawn()
    assert [(lane.name, lane.below, lane.x) for lane in found.lanes] == [
        ("192.0.2.1", ":5060", 16.667), ("192.0.2.2", ":5060", 50.0), ("192.0.2.2", ":5080", 83.333),
    ]  # fmt: skip
    assert [(a.number, a.y, a.x1, a.x2, a.label, a.tone, a.repeat) for a in found.arrows] == [
        (1, 0, 16.667, 50.0, "INVITE", "kind-request", False),
        (2, 30, 16.667, 50.0, "INVITE", "kind-request", True),
        (3, 60, 50.0, 83.333, "INVITE", "kind-request", False),
        (4, 90, 83.333, 50.0, "200 OK", "kind-2xx", False),
        (5, 120, 50.0, 16.667, "200 OK", "kind-2xx", False),
        (6, 150, 16.667, 16.667, "OPTIONS", "kind-request", False),
    ]
    assert [a.delta_us for a in found.arrows] == [0, 500_000, 1_000, 399_000, 1_250, 8_098_750]
    assert found.arrows[5].loops
    assert found.height == 6 * ARROW_PX


def test_retransmissions_can_be_hidden_and_are_counted() -> None:
    found = drawn(Style(hide_repeats=True))
    assert [(a.number, a.again) for a in found.arrows] == [(1, 1), (3, 0), (4, 0), (5, 0), (6, 0)]
    assert found.hidden == 1
    assert found.arrows[1].delta_us == 501_000  # since the arrow that is seen above it


def test_hosts_can_share_a_lane() -> None:
    found = drawn(Style(by_host=True))
    assert [(lane.name, lane.below) for lane in found.lanes] == [("192.0.2.1", ""), ("192.0.2.2", "")]
    assert [a.loops for a in found.arrows] == [False, False, True, True, False, True]


def test_aliases_name_endpoints_before_hosts() -> None:
    found = drawn(Style(aliases={"192.0.2.2": "proxy", "192.0.2.2:5080": "a\u202ebout"}))
    assert [(lane.name, lane.below) for lane in found.lanes][1:] == [
        ("proxy", "192.0.2.2:5060"), ("a⟨U+202E⟩bout", "192.0.2.2:5080"),
    ]  # fmt: skip
    assert found.arrows[0].target == "proxy"


def test_colours_may_be_those_of_dialogs() -> None:
    assert [a.tone for a in drawn(Style(by_dialog=True)).arrows] == ["lane1"] * 5 + ["lane2"]


def test_streams_stand_where_they_begin_and_reach_to_where_they_end() -> None:
    found = drawn(Style(), band(902_000, 5_000_000))
    only = found.bands[0]
    assert only.y == 5 * ARROW_PX
    assert found.arrows[5].y == 5 * ARROW_PX + BAND_PX
    assert only.until_y == found.arrows[5].y
    # The sender's address is on a lane already, with another port; the receiver's is new.
    assert [lane.title for lane in found.lanes] == [
        "192.0.2.1:5060",
        "192.0.2.2:5060",
        "192.0.2.2:5080",
        "198.51.100.9:6000",
    ]
    assert (only.x1, only.x2) == (found.lanes[0].x, found.lanes[3].x)


def test_streams_without_addresses_go_by_their_legs() -> None:
    nowhere = Endpoint("0.0.0.0", 0)
    found = drawn(Style(), band(1, 2, nowhere, nowhere, 0), band(1, 2, nowhere, nowhere, 1))
    assert len(found.lanes) == 3
    assert [(each.x1 < each.x2) for each in found.bands] == [True, False]


def test_holds_are_rows_of_their_own() -> None:
    found = drawn(Style(), holds=(Hold(T0 + 950_000, T0 + 3_450_000, A, True),))
    assert [(note.y, note.text) for note in found.notes] == [(5 * ARROW_PX, "on hold by the caller for 2.5 s")]
    assert found.height == 6 * ARROW_PX + NOTE_PX


def test_parts_hold_every_row_once_and_strips_wherever_they_pass() -> None:
    whole = drawn(Style(), band(1_000, 9_500_000))
    parts = whole.parts(2)
    assert [a.number for part in parts for a in part.arrows] == [1, 2, 3, 4, 5, 6]
    assert sum(part.height for part in parts) == whole.height
    assert [part.y for part in parts] == [0, *(sum(p.height for p in parts[:n]) for n in range(1, len(parts)))]
    assert [len(part.strips) for part in parts] == [1, 1, 1, 1]
    assert [len(part.bands) for part in parts] == [1, 0, 0, 0]


def test_nothing_is_drawn_of_nothing() -> None:
    empty = draw_ladder(draw([]), [], [], [], Style())
    assert (empty.height, empty.parts()) == (0, [])
