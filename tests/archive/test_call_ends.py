"""Ends of calls, found in indexes that grow: each call once, when it is over, and none that was over before."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from sipflow.archive.call_upload_ends import IDLE_US, CallEnds
from sipflow.archive.call_upload_queue import UploadQueue
from sipflow.clock import SECOND_US
from sipflow.errors import StorageError
from sipflow.storage.index import SCHEMA_VERSION
from sipflow.storage.part import Part

T0_US = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
HOUR_US = 3600 * SECOND_US
FIRST, SECOND = "2026/06/01/00", "2026/06/01/01"


class Root:
    """Indexes as a recorder writes them, row by row, and the look of whoever follows them, at times of a test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_us = T0_US
        self.taken: list[str] = []
        self._parts: dict[str, Part] = {}
        self.reopen()

    def reopen(self) -> None:
        """Begin as a new process does."""
        self.queue = UploadQueue(self.root)
        self.ends = CallEnds(self.root, self.queue, lambda _queue, call_id, _start_us: self.taken.append(call_id))

    def part(self, path: str, *, sealed: bool = False, imported_us: int | None = None) -> None:
        """Make a part, or seal it."""
        directory = self.root / path
        start_us = T0_US + int(path[11:13]) * HOUR_US
        if path not in self._parts:
            directory.mkdir(parents=True)
            schema = resources.files("sipflow.storage").joinpath("schema.sql").read_text("utf-8")
            with closing(sqlite3.connect(directory / "sipflow.db")) as index:
                index.executescript(f"{schema} PRAGMA user_version = {SCHEMA_VERSION};")
        state = "sealed" if sealed else "open"
        self._parts[path] = Part(
            len(self._parts), path, start_us, start_us + HOUR_US, state, 0, None, None, None, None, None, None,
            imported_us=imported_us,
        )  # fmt: skip

    def write(self, call_id: str, part: str = FIRST, **columns: object) -> None:
        """Write what the index says of a call, over what it said before."""
        row = {"method": "INVITE", "invite_us": self.now_us, "last_us": self.now_us, "first_us": self.now_us, **columns}
        with closing(sqlite3.connect(self.root / part / "sipflow.db")) as index:
            found = index.execute("SELECT id FROM call_meta WHERE call_id = ?", (call_id,)).fetchone()
            if found is None:
                index.execute("INSERT INTO call_meta (call_id, first_us, last_us) VALUES (?, 0, 0)", (call_id,))
            names = ", ".join(f"{name} = ?" for name in row)
            index.execute(f"UPDATE call_meta SET {names} WHERE call_id = ?", (*row.values(), call_id))
            index.commit()

    def after(self, seconds: float) -> list[str]:
        """Look so much later; gives the calls that were taken then."""
        self.now_us += int(seconds * SECOND_US)
        self.taken.clear()
        assert self.ends.look(list(self._parts.values()), self.now_us) == []
        return list(self.taken)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = Root(tmp_path)
    assert made.after(0) == []  # a first look, at a root that is empty
    made.part(FIRST)
    yield made
    made.queue.close()


def test_a_call_is_taken_once_when_it_was_over_for_a_moment(root: Root) -> None:
    root.write("a", answer_us=1)
    assert root.after(1) == []
    root.write("a", answer_us=1, bye_us=2)
    # What follows a BYE does not put it off for ever.
    assert [root.after(2) for _ in range(2)] == [[], []]
    root.write("a", answer_us=1, bye_us=2, last_us=root.now_us)
    assert root.after(2) == []
    assert root.after(2) == ["a"]
    assert [root.after(60) for _ in range(3)] == [[], [], []]


def test_a_call_that_appears_when_it_is_over_is_taken_too(root: Root) -> None:
    root.write("busy", status=486)
    assert (root.after(1), root.after(6)) == ([], ["busy"])


def test_a_challenge_waits_for_credentials(root: Root) -> None:
    root.write("a", status=407)
    assert (root.after(1), root.after(6)) == ([], [])
    root.write("a", status=200, answer_us=5)
    assert root.after(60) == []
    root.write("b", status=401)
    assert (root.after(1), root.after(30), root.after(10)) == ([], [], ["b"])


def test_what_is_no_call_is_not_taken(root: Root) -> None:
    root.write("register", method="REGISTER", invite_us=None, status=200)
    root.write("options", method="OPTIONS", invite_us=None, status=404)
    root.write("media", method="", invite_us=None)
    assert [root.after(60) for _ in range(3)] == [[], [], []]
    # Of media without signalling nobody sees the end: it has been silent for long enough.
    assert root.after(IDLE_US / SECOND_US) == ["media"]


def test_a_clock_of_a_sender_that_is_off_holds_up_nothing(root: Root) -> None:
    root.write("past", bye_us=5, last_us=T0_US - 20 * HOUR_US)
    root.write("future", bye_us=5, last_us=T0_US + 20 * HOUR_US)
    assert root.after(1) == []
    assert sorted(root.after(6)) == ["future", "past"]


def test_a_call_goes_on_in_the_next_part(root: Root) -> None:
    root.write("a", answer_us=1)
    assert root.after(1) == []
    root.part(FIRST, sealed=True)
    root.part(SECOND)
    root.write("a", SECOND, method="BYE", invite_us=None, bye_us=5)
    assert (root.after(1), root.after(6)) == ([], ["a"])
    # Its tail in a later part is no call of its own.
    root.part("2026/06/01/02")
    root.write("a", "2026/06/01/02", method="", invite_us=None)
    assert [root.after(seconds) for seconds in (6, 6, IDLE_US / SECOND_US)] == [[], [], []]


def test_calls_of_an_in_dialog_request_in_the_next_part_are_followed_there(root: Root) -> None:
    root.write("a", answer_us=1)
    root.after(1)
    root.part(FIRST, sealed=True)
    root.part(SECOND)
    root.write("a", SECOND, method="INFO", invite_us=None)
    assert root.after(5) == []
    root.write("a", SECOND, method="INFO", invite_us=None, bye_us=5)
    assert (root.after(1), root.after(6)) == ([], ["a"])


def test_a_new_process_goes_on_where_the_old_one_was_killed(root: Root) -> None:
    root.write("a", answer_us=1)
    root.write("b", status=500)
    assert (root.after(1), root.after(6)) == ([], ["b"])
    root.reopen()
    root.write("a", answer_us=1, bye_us=2)
    root.write("c", status=500)
    root.part(FIRST, sealed=True)
    root.part(SECOND)
    assert root.after(1) == []
    # What ended in a part that was sealed meanwhile is looked at for as long as it takes to be quiet.
    assert sorted(root.after(6)) == ["a", "c"]


def test_what_was_over_before_the_first_look_is_history(tmp_path: Path) -> None:
    root = Root(tmp_path)
    root.part(FIRST, sealed=True)
    root.part(SECOND)
    root.write("old", FIRST, status=500)
    root.write("over", SECOND, status=500)
    root.write("under way", SECOND, answer_us=1)
    assert (root.after(1), root.after(60)) == ([], [])
    root.write("under way", SECOND, answer_us=1, bye_us=2)
    root.write("over", SECOND, status=500, last_us=root.now_us)
    assert (root.after(1), root.after(6)) == ([], ["under way"])
    root.queue.close()


def test_imports_are_not_followed(root: Root) -> None:
    root.part(SECOND, sealed=True, imported_us=5)
    root.write("a", SECOND, status=500)
    assert (root.after(1), root.after(6)) == ([], [])


def test_an_index_that_cannot_be_read_is_named_and_others_go_on(root: Root) -> None:
    root.part(SECOND)
    root.write("a", status=500)
    (root.root / SECOND / "sipflow.db").write_bytes(b"\xa5" * 8192)
    parts = list(root._parts.values())
    (fault,) = root.ends.look(parts, root.now_us)
    assert SECOND in fault
    root.ends.look(parts, root.now_us + 6 * SECOND_US)
    assert root.taken == ["a"]


def test_a_call_that_cannot_be_entered_is_taken_later(root: Root) -> None:
    root.write("a", status=500)
    root.after(1)
    takes = iter([StorageError("write", "queue", "no room")])

    def take(_queue: sqlite3.Connection, call_id: str, _start_us: int) -> None:
        for error in takes:
            raise error
        root.taken.append(call_id)

    root.ends = CallEnds(root.root, root.queue, take)
    parts = list(root._parts.values())
    assert root.ends.look(parts, root.now_us + 6 * SECOND_US) == ["write queue: no room"]
    assert root.taken == []
    assert root.ends.look(parts, root.now_us + 7 * SECOND_US) == []
    assert root.taken == ["a"]
