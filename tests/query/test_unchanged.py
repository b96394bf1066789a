"""What was read of a call is given again, the same object, only as long as nothing of the call has changed."""

from pathlib import Path

import pytest

from growing_root import T0, Root, call
from portions import invite, media
from sipflow._fast import Intake
from sipflow.errors import CallUnknown
from sipflow.query.enumerator import Room
from sipflow.query.history import History
from sipflow.query.live import ALWAYS
from sipflow.query.window import Window
from sipflow.storage.layout import DATA, HOUR_US
from sipflow.storage.store import open_pool
from sipflow.web.derived import Derived
from sipflow.wire.packet import Packet


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def put(intake: Intake, packet: Packet) -> None:
    intake.put(
        packet.kind, packet.src.family, packet.src.packed, packet.src.port, packet.dst.packed, packet.dst.port,
        packet.time_us, packet.client_id, packet.call_id.encode(), packet.leg, packet.payload, packet.time_us,
    )  # fmt: skip


def packets(history: History, call_id: str) -> int:
    return sum(chunk.packets for chunk in history.media(call_id).chunks)


def test_a_part_that_grows_makes_another_answer(root: Root) -> None:
    root.write(0, [*call("a", T0, 3), *call("b", T0, 1)])
    history = History.open(root.path)
    flow, parts = history.flow("a"), history.media("a")
    root.write(0, call("b", T0 + 50, 2, "BYE"))
    assert history.flow("a") is flow
    assert history.media("a") is parts
    root.write(0, [media("a", T0 + 60, 9)])
    assert history.media("a") is not parts
    assert packets(history, "a") == 4
    root.write(0, [invite("a", T0 + 70, "BYE")])
    assert len(history.flow("a").messages) == 2
    grown = history.media("a")
    root.seal(0)
    assert history.media("a") is not grown
    assert packets(history, "a") == 4
    assert history.media("a") is history.media("a")
    history.close()
    root.close()


def test_another_part_and_the_pool_make_another_answer(root: Root, tmp_path: Path) -> None:
    root.write(0, call("a", T0, 1))
    root.seal(0)
    pool = open_pool(tmp_path, 16, tmp_path)
    intake = Intake(pool, 0, 1_000_000, 0, media=True, trust_time=True)
    history = History.open(root.path)
    assert packets(history, "a") == 1
    for number in range(3):
        put(intake, media("a", T0 + HOUR_US + number, number))
        assert packets(history, "a") == 2 + number
    assert history.media("a") is history.media("a")
    put(intake, invite("a", T0 + HOUR_US, "BYE"))
    assert len(history.flow("a").messages) == 2
    root.write(1, [invite("a", T0 + HOUR_US + 5, "ACK")])
    assert len(history.flow("a").messages) == 3
    history.close()
    root.close()


def test_a_call_that_begins_is_not_taken_for_unknown(root: Root) -> None:
    history = History.open(root.path)
    for _ in range(2):
        assert history.flow("a").messages == []
    root.write(0, call("a", T0, 0))
    assert len(history.flow("a").messages) == 1
    with pytest.raises(CallUnknown):
        history.call("never")
    history.close()
    root.close()


def test_what_could_not_be_read_is_tried_again(root: Root) -> None:
    root.write(0, call("a", T0, 2))
    root.seal(0)
    history = History.open(root.path)
    path = next(root.path.rglob(DATA))
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    assert history.flow("a").faults or history.media("a").faults
    path.write_bytes(whole)
    assert (history.flow("a").faults, history.media("a").faults) == ([], [])
    assert len(history.flow("a").messages) == 1
    history.close()
    root.close()


def test_a_window_is_always_read(root: Root) -> None:
    root.write(0, call("a", T0, 3))
    history = History.open(root.path)
    history.media("a", ALWAYS)
    assert sum(chunk.packets for chunk in history.media("a", Window(T0, T0)).chunks) == 0
    history.close()
    root.close()


def test_what_is_made_of_an_answer_is_made_once(root: Root) -> None:
    root.write(0, call("a", T0, 3))
    history = History.open(root.path)
    kept: Derived[int] = Derived()
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    def asked(what: str) -> int:
        return kept.of(what, history.media("a"), history.flow("a"), make)

    assert (asked("x"), asked("x"), asked("y"), asked("x")) == (1, 1, 2, 1)
    root.write(0, [media("a", T0 + 60, 9)])
    assert asked("x") == 3
    history.close()
    root.close()


def test_large_parts_are_counted_beside_and_small_ones_at_once(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    for hour in range(3):
        root.write(hour, call(f"call-{hour}", T0 + hour * HOUR_US, 0))
        root.seal(hour)
    history = History.open(root.path)
    monkeypatch.setattr(Room, "take", lambda _self, _octets: False)
    first = history.statistics(Window())
    assert (first.total.attempts, first.counting, first.partial) == (0, 3, True)
    assert history._counts.settle(30)
    then = history.statistics(Window())
    assert (then.total.attempts, then.counting, then.partial) == (3, 0, False)
    history.close()
    monkeypatch.undo()
    history = History.open(root.path)
    at_once = history.statistics(Window())
    assert (at_once.total.attempts, at_once.counting) == (3, 0)
    history.close()
    root.close()
