"""Sixty days of rotation and retention in seconds: nothing young goes, limits hold, what went is named as expired."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from buckets import T0_US, call, record
from sipflow.amount import Room
from sipflow.clock import DAY_US
from sipflow.config import Retention
from sipflow.errors import CallUnknown, Expired
from sipflow.query.history import History
from sipflow.storage import committer
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.disk import disk_of
from sipflow.storage.layout import CATALOG, HOUR_US, Period, directory_of, find_buckets
from sipflow.storage.sweep import Sweep

DAYS = 60
HOURS = DAYS * 24
AT_ONCE = 120
TWO_MINUTES = 120_000_000
# Every so many hours all calls of the root are asked for; between these a few are.
FULL_CHECK_HOURS = 10 * 24
# In the short form a pass comes only every so many hours, so that each finds several hours to decide about.
HOURS_A_PASS = 4


class Course(NamedTuple):
    """Limits, and how the clock of the machine goes: real time to what it shows."""

    limits: Retention
    clock: Callable[[int], int] = lambda time_us: time_us


COURSES = {
    "sizes and ages": Course(Retention(21 * DAY_US, 10 * DAY_US, 20_000_000, 1_500_000, Room())),
    # A clock that went wrong for a while and was set right: late, never early.
    "ages and a slow clock": Course(
        Retention(sip_age=30 * DAY_US, rtp_age=7 * DAY_US, min_free=Room()),
        lambda time_us: time_us - 2 * DAY_US if (time_us - T0_US) // DAY_US in range(20, 25) else time_us,
    ),
}


def name(hour: int) -> str:
    return f"call-{hour}@h"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory where a sync costs nothing: thousands of parts come and go."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or disk_of(memory).free < 1 << 30:
        yield tmp_path_factory.mktemp("week")
        return
    with tempfile.TemporaryDirectory(prefix="retention-test-", dir=memory) as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def recorded(place: Path) -> Path:
    """Sixty days of sealed hours, a call in each, made by the real writer."""
    root = place / "recorded"
    with pytest.MonkeyPatch.context() as patch:
        # An import keeps so many buckets open, and seals them at its end.
        patch.setattr(committer, "_OPEN_BUCKETS", AT_ONCE, raising=False)
        for start in range(0, HOURS, AT_ONCE):
            hours = range(start, min(HOURS, start + AT_ONCE))
            record(root, [one for hour in hours for one in call(name(hour), T0_US + hour * HOUR_US + TWO_MINUTES, 60)])
    return root


@pytest.fixture
def root(place: Path) -> Iterator[Path]:
    yield place / "root"
    shutil.rmtree(place / "root")


class Rotation:
    """A root into which the recorded hours come, one by one, when they are over."""

    def __init__(self, recorded: Path, root: Path) -> None:
        self._recorded = recorded
        self._root = root
        root.mkdir(mode=0o700)
        Catalog(root).close()
        self._catalog = sqlite3.connect(root / CATALOG, isolation_level=None)
        self._catalog.execute("ATTACH ? AS recorded", [str(recorded / CATALOG)])

    def close(self) -> None:
        self._catalog.close()

    def seal(self, hour: int) -> None:
        """Put the bucket of an hour in its place and list it, as the committer does."""
        period = (T0_US + hour * HOUR_US, T0_US + hour * HOUR_US + HOUR_US)
        directory = directory_of(Period(period))
        shutil.copytree(self._recorded / directory, self._root / directory)
        self._catalog.execute("BEGIN IMMEDIATE")
        for statement in (
            "INSERT INTO parts SELECT * FROM recorded.parts WHERE path = ?",
            "INSERT INTO call_prints SELECT f.* FROM recorded.call_prints f JOIN recorded.parts p ON p.id = f.part "
            "WHERE p.path = ?",
        ):
            self._catalog.execute(statement, [directory.as_posix()])
        self._catalog.execute("COMMIT")


def parts_of(root: Path) -> list[Part]:
    with closing(Catalog(root, readonly=True)) as catalog:
        return catalog.standing()


def occupied(root: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in (root / "2024").rglob("*") if path.is_file())


class Watcher:
    """Checks what must hold after each pass."""

    def __init__(self, root: Path, course: Course) -> None:
        self.root = root
        self.course = course
        self.deleted: set[int] = set()
        self.erased: set[int] = set()

    def check(self, now_us: int, history: History, *, full: bool) -> None:
        parts = {part.start_us: part for part in parts_of(self.root)}
        recorded = range((now_us - T0_US) // HOUR_US)
        standing = {(start - T0_US) // HOUR_US for start in parts}
        erased = {(start - T0_US) // HOUR_US for start, part in parts.items() if part.erased_us is not None}
        gone = set(recorded) - standing
        assert gone >= self.deleted
        assert erased | gone >= self.erased
        self._check_ages(now_us, parts, gone, erased)
        self._check_sizes(now_us, parts)
        asked = recorded if full else {min(standing, default=0), max(gone, default=0), max(erased, default=0)}
        for hour in set(asked) & set(recorded):
            self._ask(history, hour, gone=hour in gone, erased=hour in erased)
        self.deleted, self.erased = gone, erased | gone

    def _check_ages(self, now_us: int, parts: dict[int, Part], gone: set[int], erased: set[int]) -> None:
        limits, shown_us = self.course.limits, self.course.clock(now_us)
        # A call lies in the third minute of its hour and is seconds long.
        ages = {hour: shown_us - (T0_US + hour * HOUR_US + TWO_MINUTES) for hour in gone | erased}
        if limits.sip_bytes is None and limits.sip_age is not None:
            # No younger call has gone, neither now nor, with a clock that was wrong, at an earlier pass.
            assert all(ages[hour] >= limits.sip_age for hour in gone - self.deleted)
        if limits.rtp_bytes is None and limits.rtp_age is not None:
            assert all(ages[hour] >= limits.rtp_age for hour in erased - self.erased)
        for part in parts.values():
            assert part.t1_us is not None
            assert limits.sip_age is None or shown_us - part.t1_us <= limits.sip_age
            assert limits.rtp_age is None or shown_us - part.t1_us <= limits.rtp_age or part.rtp_octets == 0

    def _check_sizes(self, now_us: int, parts: dict[int, Part]) -> None:
        limits = self.course.limits
        sip = sum(part.sip_octets or 0 for part in parts.values())
        rtp = sum(part.rtp_octets or 0 for part in parts.values())
        assert limits.sip_bytes is None or sip <= limits.sip_bytes
        assert limits.rtp_bytes is None or rtp <= limits.rtp_bytes
        if now_us % DAY_US:
            return
        # Pages at the ends of files and of runs apart, the disk holds what the catalog says and nothing else.
        assert occupied(self.root) <= sip + rtp + 5 * 4096 * len(parts)

    def _ask(self, history: History, hour: int, *, gone: bool, erased: bool) -> None:
        call_id = name(hour)
        flow, media = history.flow(call_id), history.media(call_id)
        if gone:
            with pytest.raises(Expired):
                history.call(call_id)
            assert (flow.messages, media.chunks) == ([], [])
            assert flow.faults
            assert all(fault.expired_us is not None for fault in (*flow.faults, *media.faults))
            return
        found = history.call(call_id)
        assert (len(flow.messages), flow.faults, found.sip_messages, found.rtp_packets) == (3, [], 3, 60)
        assert (found.media_expired_us is not None) == erased
        assert sum(len(chunk.rows) for chunk in media.chunks) == (0 if erased else 60)
        assert [fault.expired_us for fault in media.faults] == ([found.media_expired_us] if erased else [])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("course", COURSES.values(), ids=COURSES)
def test_sixty_days(recorded: Path, root: Path, course: Course, long: bool) -> None:
    now_us = T0_US
    sweep = Sweep(root, course.limits, lambda: course.clock(now_us))
    watcher = Watcher(root, course)
    with closing(Rotation(recorded, root)) as rotation, closing(History.open(root)) as history:
        for hour in range(HOURS):
            rotation.seal(hour)
            if not long and (hour + 1) % HOURS_A_PASS:
                continue
            now_us = T0_US + (hour + 1) * HOUR_US
            decided, failures = sweep.run()
            assert failures == []
            watcher.check(now_us, history, full=(hour + 1) % FULL_CHECK_HOURS == 0)
            assert now_us % DAY_US or not sweep.plan().steps, decided
        with pytest.raises(CallUnknown):
            history.call(name(HOURS))
    assert len(watcher.deleted) > 10 * 24
    assert len(watcher.erased) > len(watcher.deleted)
    assert {path.as_posix() for path in find_buckets(root)} == {part.path for part in parts_of(root)}
