"""A history asked by many at once, beside a recorder that goes on: same answers, and nothing is held up."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from growing_root import T0, Root, call
from portions import invite, media
from sipflow._fast import Intake
from sipflow.errors import StorageError
from sipflow.query.answer import CallSummary, Criteria, Flow
from sipflow.query.asking import Asking
from sipflow.query.history import History
from sipflow.query.live import ALWAYS
from sipflow.query.parts import OpenPart
from sipflow.query.shelf import PartShelf
from sipflow.query.window import Window
from sipflow.storage.layout import DATABASE, HOUR_US
from sipflow.storage.store import open_pool
from sipflow.wire.packet import Message


def all_pages(history: History, limit: int, window: Window = ALWAYS) -> list[CallSummary]:
    found: list[CallSummary] = []
    after: str | None = None
    while True:
        page = history.calls(Criteria(limit=limit, after=after, window=window))
        assert page.faults == []
        found += page.calls
        after = page.next
        if after is None:
            return found


def at(hour: int, n: int) -> int:
    return T0 + hour * HOUR_US + n * 1000


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """Six hours of ten calls; the last is open; one call is in all of them, one spans the border to the open one."""
    root = Root(tmp_path)
    for hour in range(6):
        packets = [packet for n in range(10) for packet in call(f"{hour}-{n}", at(hour, n), n % 3)]
        packets += call("everywhere", at(hour, 20), 4, "UPDATE" if hour else "INVITE")
        packets += call("border", at(hour, 30), 5, "BYE" if hour > 4 else "INVITE") if hour >= 4 else []
        root.write(hour, packets)
        if hour < 5:
            root.seal(hour)
    return root


def test_a_bucket_is_sealed_while_a_reader_goes_on_asking(root: Root) -> None:
    history = History.open(root.path)
    assert len(all_pages(history, 50)) == 62
    assert history.call("5-3").sip_messages == 1
    root.seal(5)
    assert history.call("5-3").sip_messages == 1
    assert len(all_pages(history, 50)) == 62
    history.close()
    root.close()


@pytest.mark.parametrize("limit", [1, 4, 50])
def test_a_page_says_of_a_call_what_a_question_for_it_says(root: Root, limit: int) -> None:
    history = History.open(root.path)
    listed = all_pages(history, limit)
    assert [one.call_id for one in listed] == [
        *(f"5-{n}" for n in range(9, -1, -1)),
        "border",
        *(f"{hour}-{n}" for hour in range(4, 0, -1) for n in range(9, -1, -1)),
        "everywhere",
        *(f"0-{n}" for n in range(9, -1, -1)),
    ]
    assert listed == [history.call(one.call_id) for one in listed]
    by_id = {one.call_id: one for one in listed}
    assert (by_id["everywhere"].rtp_packets, by_id["everywhere"].rtp_streams) == (24, 1)
    assert (by_id["border"].rtp_packets, by_id["border"].sip_messages) == (10, 2)
    assert (by_id["2-2"].rtp_packets, by_id["2-2"].rtp_streams) == (2, 1)
    assert (by_id["2-3"].rtp_packets, by_id["2-3"].rtp_streams) == (0, 0)
    history.close()
    root.close()


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_a_window_lists_what_reaches_into_it(root: Root, limit: int) -> None:
    history = History.open(root.path)
    inside = all_pages(history, limit, window=Window(at(2, 5), at(3, 4)))
    expected = [*(f"3-{n}" for n in range(4, -1, -1)), *(f"2-{n}" for n in range(9, 4, -1)), "everywhere"]
    assert [one.call_id for one in inside] == expected
    assert all_pages(history, 3, window=Window(end_us=at(0, 0) - 1)) == []
    assert all_pages(history, 3, window=Window(start_us=at(5, 100))) == []
    history.close()
    root.close()


def test_questions_side_by_side_get_the_answers_they_would_get_alone(root: Root) -> None:
    history = History.open(root.path)
    ids = [f"{hour}-{n}" for hour in range(6) for n in range(10)] + ["everywhere", "border"]
    alone = {call_id: history.call(call_id) for call_id in ids}
    pages = all_pages(history, 7)
    start = threading.Barrier(8)

    def ask(worker: int) -> None:
        start.wait()
        for turn in range(3):
            if (worker + turn) % 2:
                assert all_pages(history, 7) == pages
            else:
                assert {call_id: history.call(call_id) for call_id in ids} == alone

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(ask, worker) for worker in range(8)]:
            done.result()
    history.close()
    root.close()


def test_questions_are_worked_on_at_the_same_time(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History.open(root.path)
    both = threading.Barrier(2, timeout=20)
    answer = OpenPart.messages

    def wait_for_the_other(part: OpenPart, call_id: str, window: Window, damage: list[str]) -> object:
        both.wait()
        return answer(part, call_id, window, damage)

    monkeypatch.setattr(OpenPart, "messages", wait_for_the_other)
    # One after the other would never pass the barrier.
    with ThreadPoolExecutor(2) as threads:
        flows: list[Flow] = list(threads.map(history.flow, ["0-1", "0-1"]))
    assert flows[0] == flows[1]
    history.close()
    root.close()


def test_a_part_that_cannot_be_read_is_named_and_hides_no_other_call(root: Root) -> None:
    database = root.path / root.catalog.parts()[-1].path / DATABASE
    database.chmod(0o600)
    database.write_bytes(b"not a database" * 100)
    history = History.open(root.path)
    page = history.calls(Criteria(limit=1000))
    assert [fault.where for fault in page.faults] == [database.parent.relative_to(root.path).as_posix()]
    assert {f"{hour}-{n}" for hour in range(1, 6) for n in range(10)} <= {one.call_id for one in page.calls}
    assert len(history.flow("0-1").faults) == 1
    root.seal(5)
    with pytest.raises(StorageError):
        history.flow("0-1")
    history.close()
    root.close()


def test_the_shelf_keeps_as_many_as_it_may_and_none_that_grows(root: Root) -> None:
    shelf = PartShelf(root.path, idle_max=2)
    parts = {part.path: part for part in root.catalog.parts()}
    sealed = [part for part in parts.values() if part.sealed]
    taken = [shelf.take(part) for part in sealed]
    for part, opened in zip(sealed, taken, strict=True):
        shelf.put_back(part, opened)
    assert [shelf.take(part) is opened for part, opened in zip(sealed, taken, strict=True)] == [
        *[False] * (len(sealed) - 2), True, True,
    ]  # fmt: skip
    (growing,) = (part for part in parts.values() if not part.sealed)
    opened = shelf.take(growing)
    shelf.put_back(growing, opened)
    assert shelf.take(growing) is not opened
    last = sealed[-1]
    opened = shelf.take(last)
    shelf.put_back(last, opened)
    erased = last._replace(erased_us=1, rtp_octets=0)
    assert shelf.take(erased) is not opened
    with pytest.raises(StorageError):
        opened.knows("a")  # it was closed: nobody may read the index it had
    shelf.close()
    root.close()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every call that is put together from all places."""
    summed: list[str] = []
    whole = Asking.whole_call

    def note(asking: Asking, call_id: str, live: list[tuple[int, Message]]) -> object:
        summed.append(call_id)
        return whole(asking, call_id, live)

    monkeypatch.setattr(Asking, "whole_call", note)
    return summed


@pytest.mark.parametrize("sealed", [True, False])
def test_calls_that_go_on_into_the_next_hour_cost_a_page_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    root = Root(tmp_path)
    long = [f"long-{n:03d}" for n in range(600)]
    root.write(0, [packet for n, one in enumerate(long) for packet in call(one, at(0, n), 1)])
    root.write(1, [media(one, at(1, n), 9) for n, one in enumerate(long)] + [invite("new", at(1, 1000))])
    root.seal(0)
    if sealed:
        root.seal(1)
    summed = counted(monkeypatch)
    history = History.open(tmp_path)
    first = history.calls(Criteria(limit=5))
    assert [one.call_id for one in first.calls] == ["new", *long[:-5:-1]]
    assert [one.rtp_packets for one in first.calls] == [0, 2, 2, 2, 2]
    second = history.calls(Criteria(limit=5, after=first.next))
    assert [one.call_id for one in second.calls] == long[-5:-10:-1]
    assert len(summed) <= 14
    history.close()
    root.close()


def test_live_calls_that_began_earlier_cost_a_page_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(tmp_path)
    ending = [f"ending-{n:03d}" for n in range(600)]
    root.write(0, [packet for n, one in enumerate(ending) for packet in call(one, at(0, n), 1)])
    pool = open_pool(tmp_path, 64, tmp_path)
    intake = Intake(pool, 0, 1_000_000, 0, media=True, trust_time=True)
    for n, packet in enumerate([*(invite(one, at(0, 5000 + n), "BYE") for n, one in enumerate(ending)),
                                invite("new", at(0, 9000)), media("unannounced", at(0, 9500))]):  # fmt: skip
        intake.put(
            packet.kind, packet.src.family, packet.src.packed, packet.src.port, packet.dst.packed, packet.dst.port,
            packet.time_us, packet.client_id, packet.call_id.encode(), packet.leg, packet.payload, packet.time_us + n,
        )  # fmt: skip
    summed = counted(monkeypatch)
    history = History.open(tmp_path)
    first = history.calls(Criteria(limit=5))
    assert [one.call_id for one in first.calls] == ["new", *ending[:-5:-1]]
    assert [one.sip_messages for one in first.calls] == [1, 2, 2, 2, 2]
    assert [one.first_us for one in first.calls[1:]] == [at(0, 599 - n) for n in range(4)]
    assert len(summed) <= 7
    assert [one.call_id for one in history.calls(Criteria(limit=3, user="alice")).calls] == ["new", *ending[:-3:-1]]
    history.close()
    root.close()
