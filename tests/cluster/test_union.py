"""Answers of several nodes put together: pages, flows and media, from whatever each of them holds."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunks import Rtp, make_chunk
from sipflow.cluster.exchange import CountNote, MediaNote
from sipflow.cluster.fetched import Fetched
from sipflow.cluster.gathering import Gathered, Member, Question
from sipflow.cluster.media_union import union_of_media
from sipflow.cluster.page_of_all import PageOfAll
from sipflow.cluster.remote_chunk import Origin, chunks_of, note_of
from sipflow.cluster.standing import MISSED_MAX, Standing
from sipflow.cluster.tallied import count_note, noted_count
from sipflow.cluster.union import union_of_flows, union_of_listed
from sipflow.errors import StorageError
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault, Flow, MediaParts
from sipflow.query.asking import summary
from sipflow.query.census import Tallied
from sipflow.query.counting import Count
from sipflow.query.cursor import read_cursor, write_cursor
from sipflow.query.descent import Began
from sipflow.query.listed import Known, Listed
from sipflow.query.registrations import Enrolled
from sipflow.query.tally import Tally, tally_of
from sipflow.query.window import Window
from sipflow.wire.dialog import CallDigest
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Chunk, Message, StreamKey

A, B = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
KEY = StreamKey("m", 0, A, B, 7)
ALWAYS = Window()


# ---- pages ----


class Shelf:
    """What one node holds: calls as it knows them. Lists them as a history does."""

    def __init__(self, calls: Sequence[Listed]) -> None:
        self.calls_here = {one.digest.call_id: one for one in calls}
        self.asked = 0

    def calls(self, criteria: Criteria) -> CallPage:
        self.asked += 1
        before = read_cursor(criteria.after)
        fitting = sorted(map(summary, self.calls_here.values()), key=began, reverse=True)
        rest = [one for one in fitting if one.sip_messages and (before is None or began(one) < before)]
        rest = [one for one in rest if criteria.status is None or str(one.status) == criteria.status]
        page = rest[: criteria.limit]
        return CallPage(page, write_cursor(began(page[-1])) if len(rest) > len(page) else None, [])

    def known(self, call_ids: Sequence[str]) -> Known:
        return Known([self.calls_here[one] for one in call_ids if one in self.calls_here], [])

    def flow(self, call_id: str, window: Window = ALWAYS) -> Flow:
        raise NotImplementedError

    def media(self, call_id: str, window: Window = ALWAYS) -> MediaParts:
        raise NotImplementedError

    def count(self, window: Window, share: object = None, only: object = None) -> Tallied:
        raise NotImplementedError

    def enrolled(self, window: Window, user: str | None, limit: int, share: object = None) -> Enrolled:
        raise NotImplementedError


def began(call: CallSummary) -> Began:
    return Began(call.first_us, call.call_id)


def heard(number: int, *, first_us: int, messages: int, rtp: int = 0, status: int | None = None) -> Listed:
    name = f"call-{number}"
    digest = CallDigest(name, first_us, first_us + 1000 + number, sip_messages=messages, status=status)
    streams = frozenset({(0, "a", "b", number)}) if rtp else frozenset()
    return Listed(digest, rtp, streams)


def ask_all(members: Sequence[Member], question: Callable[[Member], Question[object]]) -> Gathered[object]:
    return Gathered([(member, question(member)(member.holding)) for member in members], [])


def walk(shelves: list[Shelf], limit: int, **asked: str) -> list[CallSummary]:
    members = [Member(f"n{slot}", slot, shelf) for slot, shelf in enumerate(shelves)]
    found: list[CallSummary] = []
    after = None
    while True:
        criteria = Criteria(limit=limit, after=after, **asked)  # type: ignore[arg-type]
        page = PageOfAll(members, criteria, ask_all, ask_all).page()  # type: ignore[arg-type]
        assert len(page.calls) <= limit
        found += page.calls
        if page.next is None:
            return found
        assert len(page.calls) == limit
        after = page.next


placed_calls = st.lists(
    st.tuples(
        st.integers(0, 30),  # when it began: often at the same time
        st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),  # who holds it
        st.sampled_from(["whole", "copies", "parts", "torn"]),
        st.integers(0, 20),  # how much later the second part begins
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=300)
@given(placed_calls, st.integers(1, 7))
def test_every_call_is_listed_once_where_it_began(plan: list[tuple[int, list[int], str, int]], limit: int) -> None:
    nodes: list[list[Listed]] = [[], [], []]
    wanted = []
    for number, (at, where, how, later) in enumerate(plan):
        first_us = 1000 * at
        if how == "whole" or len(where) == 1:
            nodes[where[0]].append(heard(number, first_us=first_us, messages=4, rtp=10))
            wanted.append((first_us, f"call-{number}", 4, 10))
        elif how == "copies":
            for place in where:
                nodes[place].append(heard(number, first_us=first_us, messages=4, rtp=10))
            wanted.append((first_us, f"call-{number}", 4, 10))
        elif how == "torn":
            nodes[where[0]].append(heard(number, first_us=first_us, messages=4))
            nodes[where[1]].append(heard(number, first_us=first_us + 3, messages=0, rtp=10))
            wanted.append((first_us, f"call-{number}", 4, 10))
        else:
            first = heard(number, first_us=first_us, messages=3, rtp=5)
            second = heard(number, first_us=first_us + 2000 + 1000 * later, messages=2, rtp=6)
            nodes[where[0]].append(first)
            nodes[where[1]].append(second)
            wanted.append((first_us, f"call-{number}", 5, 11))
    found = walk([Shelf(calls) for calls in nodes], limit)
    listed = [(one.first_us, one.call_id, one.sip_messages, one.rtp_packets) for one in found]
    assert listed == sorted(wanted, reverse=True)


def test_what_does_not_fit_as_a_whole_is_not_listed() -> None:
    early = heard(1, first_us=1000, messages=2, status=401)
    early.digest.status_us = 1500
    late = heard(1, first_us=9000, messages=2, status=200)
    late.digest.status_us = 9500
    shelves = [Shelf([early]), Shelf([late])]
    assert walk(shelves, 5, status="401") == []
    assert [one.call_id for one in walk(shelves, 5, status="200")] == ["call-1"]


def test_a_page_asks_each_node_once() -> None:
    shelves = [Shelf([heard(n, first_us=1000 * n, messages=1) for n in range(node, 300, 3)]) for node in range(3)]
    members = [Member(f"n{slot}", slot, shelf) for slot, shelf in enumerate(shelves)]
    page = PageOfAll(members, Criteria(limit=50), ask_all, ask_all).page()  # type: ignore[arg-type]
    assert [one.call_id for one in page.calls] == [f"call-{n}" for n in range(299, 249, -1)]
    assert [shelf.asked for shelf in shelves] == [1, 1, 1]


# ---- one call ----


def message(time_us: int, payload: bytes = b"x", arrival_us: int = 0) -> Message:
    return Message("m", time_us, arrival_us or time_us, A, B, payload)


def test_copies_of_messages_count_once_and_repeats_twice() -> None:
    one = Flow("m", [message(1), message(2), message(2), message(4)], [])
    other = Flow("m", [message(1, arrival_us=9), message(2, arrival_us=9), message(3, arrival_us=9)], [])
    found = union_of_flows("m", [one, other]).messages
    assert [each.time_us for each in found] == [1, 2, 2, 3, 4]


def test_parts_add_up_and_copies_do_not() -> None:
    part, rest = heard(1, first_us=10, messages=3, rtp=5), heard(1, first_us=5000, messages=2, rtp=6)
    whole = union_of_listed([part, rest])
    assert (whole.digest.sip_messages, whole.rtp_packets) == (5, 11)
    fuller = heard(1, first_us=10, messages=4, rtp=9)
    copy = union_of_listed([part, fuller])
    assert (copy.digest.sip_messages, copy.rtp_packets) == (4, 9)


def stream(numbers: Sequence[int], cut: Sequence[int]) -> list[Chunk]:
    """Make the chunks of a stream of these packets; a new one begins at each number of `cut`."""
    parts: list[list[Rtp]] = [[]]
    for number in numbers:
        if number in cut and parts[-1]:
            parts.append([])
        parts[-1].append(Rtp(20_000 * number, number, 160 * number, bytes([number % 256]) * 160))
    return [make_chunk(KEY, part) for part in parts if part]


def sequences(parts: MediaParts) -> list[int]:
    return sorted(int(one) for chunk in parts.chunks for one in chunk.rows["sequence"])


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_media_that_two_nodes_have_is_there_once(data: st.DataObject) -> None:
    every = range(60)
    numbers = st.lists(st.sampled_from(every), unique=True).map(sorted)
    copies = [stream(data.draw(numbers), data.draw(numbers)) for _ in range(2)]
    held = [(f"n{n}", MediaParts("m", chunks, [])) for n, chunks in enumerate(copies)]
    have = {int(one) for chunks in copies for chunk in chunks for one in chunk.rows["sequence"]}
    found = union_of_media("m", held)
    assert sequences(found) == sorted(have)
    for chunk in found.chunks:
        rows, octets = chunk.content()
        for row in rows:
            packet = octets[int(row["offset"]) : int(row["offset"]) + int(row["length"])]
            assert packet[-160:] == bytes([int(row["sequence"]) % 256]) * 160


def test_equal_copies_are_not_even_looked_into() -> None:
    chunks = stream(range(40), [20])
    streams, notes = note_of(stream(range(40), [10, 30]), lambda _: False, printed=True)
    there = chunks_of("m", MediaNote(streams, notes, []), Origin("b", never, Fetched()))
    found = union_of_media("m", [("a", MediaParts("m", chunks, [])), ("b", MediaParts("m", there, []))])
    assert sequences(found) == list(range(40))


def never(_call_id: str, _window: Window) -> MediaNote:
    raise AssertionError("fetched")


def test_copies_that_cannot_be_compared_are_a_fault() -> None:
    there = [Unreadable(chunk) for chunk in stream(range(39), [])]
    held = [("a", MediaParts("m", stream(range(40), []), [])), ("b", MediaParts("m", list(there), []))]
    found = union_of_media("m", held)
    assert sequences(found) == list(range(40))
    assert "could not be compared" in found.faults[0].what


class Unreadable(Chunk):
    """A chunk whose node is gone."""

    __slots__ = ("_of",)

    def __init__(self, of: Chunk) -> None:
        super().__init__(of.key, of.rows, of.data)
        self._of = of

    def content(self) -> tuple[np.ndarray, bytes]:
        raise StorageError("fetch", "b", "gone")

    @property
    def packets(self) -> int:
        return self._of.packets

    @property
    def last_us(self) -> int:
        return self._of.last_us

    def first_us(self, *, by_arrival: bool = False) -> int:
        return self._of.first_us(by_arrival=by_arrival)


# ---- chunks from afar ----


def test_chunks_are_fetched_once_and_octet_for_octet() -> None:
    chunks = stream(range(200), range(0, 200, 20))
    asked: list[Window] = []

    def fetch(call_id: str, window: Window) -> MediaNote:
        assert call_id == "m"
        asked.append(window)
        within = [one for one in chunks if (window.start_us or 0) <= one.first_us() <= (window.end_us or 0)]
        streams, notes = note_of(within[:4], lambda _: True)
        return over_the_wire(MediaNote(streams, notes, []))

    origin = Origin("b", fetch, Fetched())
    streams, notes = note_of(chunks, lambda _: False)
    there = chunks_of("m", over_the_wire(MediaNote(streams, notes, [])), origin)
    for _ in range(3):
        for mine, other in zip(chunks, there, strict=True):
            assert (mine.key, mine.packets, mine.first_us(), mine.last_us) == (
                other.key, other.packets, other.first_us(), other.last_us,
            )  # fmt: skip
            assert mine.data == other.data
            assert mine.rows.tobytes() == other.rows.tobytes()
    assert len(asked) == 3  # ten chunks, four at a time


def test_a_chunk_that_is_gone_is_an_error() -> None:
    origin = Origin("b", lambda _call, _window: MediaNote([], [], []), Fetched())
    streams, notes = note_of(stream(range(5), []), lambda _: False)
    (chunk,) = chunks_of("m", MediaNote(streams, notes, []), origin)
    with pytest.raises(StorageError, match="fetch b: media of a call: it is not there any more"):
        chunk.content()


def test_what_was_fetched_is_let_go_when_it_is_too_much() -> None:
    fetched = Fetched(octets=1000)
    for number in range(100):
        fetched.put(number, b"", bytes([number]) * 100)
        assert fetched.get(number) is not None
    kept = [number for number in range(100) if fetched.get(number) is not None]
    assert kept == list(range(100 - len(kept), 100))
    assert 5 <= len(kept) <= 10
    assert all((found := fetched.get(number)) and found[1] == bytes([number]) * 100 for number in kept)


def over_the_wire(note: MediaNote) -> MediaNote:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(note), type=MediaNote)


def test_counts_survive_the_way() -> None:
    digest = CallDigest("x", 1, 900, invite_us=1, ring_us=300, answer_us=500, bye_us=900, method="INVITE", begins=True)
    digest.bye_answer_us = 950
    tally = Tally()
    tally.merge(tally_of(digest))
    tally.merge(tally_of(CallDigest("y", 1, 2)))
    tally.merge(tally_of(CallDigest("z", 1, 2, invite_us=1, answer_us=1, bye_us=2)))
    assert (tally.disconnect.sum_us, tally.undisconnected) == (50, 1)
    count = Count({0: tally}, {"a": tally}, {"b": tally}, {"(others)": tally}, {"x": digest})
    tallied = Tallied(count, [Fault("a", "b")], 3)
    note = msgspec.msgpack.decode(msgspec.msgpack.encode(count_note(tallied)), type=CountNote)
    assert noted_count(note) == tallied


# ---- who is asked ----


def test_a_node_that_is_gone_is_not_asked_until_it_is_found() -> None:
    standing = Standing()
    assert standing.fault == ""
    standing.gone("connection refused")
    first = standing.fault
    assert "connection refused" in first
    standing.gone("connection refused")
    assert standing.fault == first
    standing.found()
    assert standing.fault == ""


def test_a_node_that_is_slow_rests_even_though_probes_find_it() -> None:
    standing = Standing()
    for _ in range(MISSED_MAX - 1):
        standing.missed()
    assert standing.fault == ""
    standing.heard()
    for _ in range(MISSED_MAX):
        standing.missed()
    standing.found()
    assert "too slowly" in standing.fault
