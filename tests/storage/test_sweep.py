"""Retention applied to real roots: space is freed, crashes are finished, nothing else is touched."""

import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buckets import T0_US, call, hours, record
from sipflow.amount import Room
from sipflow.clock import DAY_US
from sipflow.config import Retention
from sipflow.errors import RootBusy, StorageError
from sipflow.leap import ClockWatch
from sipflow.storage import removal
from sipflow.storage import sweep as sweep_module
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.layout import CATALOG, DATA, DATABASE, HOLD, HOUR_US, find_buckets
from sipflow.storage.retention import Action
from sipflow.storage.sealed import octets_of
from sipflow.storage.sweep import Sweep, sweep_lock
from sipflow.storage.sweeper import Sweeper

NO_GUARD = Room()
HOURS = 6


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweep") / "root"
    record(root, hours(HOURS))
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "root"))


def at(hour: int) -> int:
    return T0_US + hour * HOUR_US


def sweep(root: Path, limits: Retention, hour: int = HOURS) -> Sweep:
    return Sweep(root, limits, lambda: at(hour))


def parts(root: Path) -> list[Part]:
    catalog = Catalog(root, readonly=True)
    found = catalog.parts()
    catalog.close()
    return found[::-1]


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in (root / "2024").rglob("*") if path.is_file())


def test_ages_are_applied(root: Path) -> None:
    limits = Retention(sip_age=4 * HOUR_US, rtp_age=2 * HOUR_US, min_free=NO_GUARD)
    planned = sweep(root, limits).plan()
    decided, failures = sweep(root, limits).run()
    assert (failures, decided) == ([], planned._replace(steps=decided.steps))
    assert [(step.part.path[-2:], step.action) for step in decided.steps] == [
        ("00", Action.DELETE), ("01", Action.DELETE), ("02", Action.ERASE_RTP), ("03", Action.ERASE_RTP),
    ]  # fmt: skip
    assert [(step.part.id, step.octets) for step in planned.steps] == [
        (step.part.id, step.octets) for step in decided.steps
    ]
    left = parts(root)
    assert [(part.path[-2:], part.erased_us is not None) for part in left] == [
        ("02", True), ("03", True), ("04", False), ("05", False),
    ]  # fmt: skip
    for part in left:
        assert (part.sip_octets, part.rtp_octets) == octets_of(root / part.path)
        assert (part.rtp_octets == 0) == (part.erased_us is not None)
    assert not (root / "2024/10/04/00").exists()
    assert sweep(root, limits).run()[0].steps == []


def test_the_day_goes_with_its_last_hour_and_the_root_stays(root: Path) -> None:
    decided, failures = sweep(root, Retention(sip_age=HOUR_US, min_free=NO_GUARD), hour=100).run()
    assert (len(decided.steps), failures) == (HOURS, [])
    assert not (root / "2024").exists()
    assert not list(root.glob(".deleted*"))
    assert parts(root) == []


def test_a_part_below_an_hour_survives_it(root: Path, tmp_path: Path) -> None:
    record(root, call("late@h", at(0) + 1, 10))
    above, below = "2024/10/04/00", "2024/10/04/00/part-0001"
    assert (root / below / DATABASE).exists()
    catalog = sqlite3.connect(root / CATALOG)
    catalog.execute("UPDATE parts SET imported_us = ? WHERE path = ?", [at(HOURS), below])
    catalog.commit()
    catalog.close()
    limits = Retention(sip_age=5 * HOUR_US, min_free=NO_GUARD)
    decided, _ = sweep(root, limits).run()
    assert [step.part.path for step in decided.steps] == [above]
    assert not (root / above / DATA).exists()
    assert [part.path for part in parts(root) if part.path.startswith(above)] == [below]
    assert (root / below / DATA).exists()
    sweep(root, limits, hour=100).run()
    assert not (root / above).exists()


def test_what_is_held_or_not_ours_stays(root: Path) -> None:
    (root / "2024/10/04/00" / HOLD).touch()
    (root / "2024/10/04/01/notes.txt").write_text("mine")
    decided, _ = sweep(root, Retention(sip_age=HOUR_US, rtp_bytes=1, min_free=NO_GUARD), hour=100).run()
    assert decided.shortfalls[0].endswith("what is left may not go: buckets with a file named hold")
    assert files(root) == [
        "2024/10/04/00/data.raw",
        "2024/10/04/00/hold",
        "2024/10/04/00/sipflow.db",
        "2024/10/04/01/notes.txt",
    ]
    assert [part.path for part in parts(root)] == ["2024/10/04/00"]


def test_a_damaged_index_is_counted_by_headers_and_its_erasure_fails_loudly(root: Path) -> None:
    index = root / "2024/10/04/00" / DATABASE
    index.chmod(0o600)
    index.write_bytes(b"no database" * 4000)
    index.chmod(0o400)
    _, failures = sweep(root, Retention(rtp_age=HOUR_US, min_free=NO_GUARD)).run()
    assert len(failures) == 1
    assert "2024/10/04/00/sipflow.db: file is not a database" in failures[0]
    first, *others = parts(root)
    assert first.rtp_octets == octets_of(root / first.path).rtp > 0
    assert [part.rtp_octets == 0 for part in others] == [True] * 4 + [False]
    assert sweep(root, Retention(sip_age=HOUR_US, min_free=NO_GUARD)).run()[1] == []
    assert [part.path[-2:] for part in parts(root)] == ["05"]


def test_what_somebody_removed_by_hand_takes_no_room(root: Path) -> None:
    media = sum(octets_of(root / part.path).rtp for part in parts(root))
    sweep(root, Retention(min_free=NO_GUARD)).run()
    shutil.rmtree(root / "2024/10/04/03")
    gone = next(part.rtp_octets for part in parts(root) if part.path == "2024/10/04/03")
    assert gone
    limits = Retention(rtp_bytes=media - gone, sip_age=3 * HOUR_US, min_free=NO_GUARD)
    assert sweep(root, limits, hour=3).run()[0].steps == []
    decided, failures = sweep(root, limits, hour=7).run()
    assert ([step.part.path[-2:] for step in decided.steps], failures) == (["00", "01", "02", "03"], [])


def test_a_dry_run_changes_nothing(root: Path) -> None:
    catalog = sqlite3.connect(root / CATALOG)
    catalog.execute("UPDATE parts SET sip_octets = NULL, rtp_octets = NULL")
    catalog.commit()
    catalog.close()
    before = parts(root)
    planned = sweep(root, Retention(rtp_bytes=1, min_free=NO_GUARD)).plan()
    assert [step.octets for step in planned.steps] == [octets_of(root / part.path).rtp for part in before]
    assert parts(root) == before
    assert len(files(root)) == 2 * HOURS


class Dies(BaseException):
    """The process ends here."""


def test_a_crash_at_any_instant_leaves_buckets_whole_or_gone(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Retention(sip_age=4 * HOUR_US, rtp_age=2 * HOUR_US, min_free=NO_GUARD)
    instants = 0
    done = False
    while not done:
        root = tmp_path / f"root-{instants}"
        shutil.copytree(recorded, root)
        left = iter(range(instants))

        def live_on(left: Iterator[int] = left) -> bool:
            if next(left, None) is None:
                raise Dies
            return True

        with monkeypatch.context() as patch:
            for target, name in (
                (Path, "rename"), (Path, "rmdir"), (shutil, "rmtree"), (os, "truncate"), (Catalog, "deleted"),
                (Catalog, "deleting"), (Catalog, "erasing"), (Catalog, "counted"), (removal, "_sync"),
                (sweep_module, "erase_media"),
            ):  # fmt: skip
                real = getattr(target, name)
                patch.setattr(target, name, lambda *a, real=real, **k: live_on() and real(*a, **k))
            try:
                sweep(root, limits).run()
                done = True
            except Dies:
                instants += 1
        known = {part.path for part in parts(root)}
        standing = {path.as_posix() for path in find_buckets(root)}
        assert known <= standing | {part.path for part in parts(root) if not part.sealed}
        for path in known:
            assert (root / path / DATA).stat().st_size > 0
        sweep(root, limits).run()
        assert [part.path[-2:] for part in parts(root)] == ["02", "03", "04", "05"]
        assert {path.as_posix()[-2:] for path in find_buckets(root)} == {"02", "03", "04", "05"}
        assert not list(root.glob(".deleted*"))
        assert [part.rtp_octets == 0 for part in parts(root)] == [True, True, False, False]
        shutil.rmtree(root)
    assert instants > 20


def test_one_part_that_cannot_be_deleted_costs_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = removal.remove_bucket

    def refuse(base: Path, path: str, number: int) -> None:
        if path.endswith("/00"):
            raise StorageError("delete", path, "Input/output error")
        real(base, path, number)

    monkeypatch.setattr(sweep_module, "remove_bucket", refuse)
    limits = Retention(sip_age=4 * HOUR_US, min_free=NO_GUARD)
    _, failures = sweep(root, limits).run()
    assert failures == ["delete 2024/10/04/00: Input/output error"]
    assert [part.path[-2:] for part in parts(root)] == ["02", "03", "04", "05"]
    monkeypatch.undo()
    assert sweep(root, Retention(min_free=NO_GUARD)).run()[1] == []
    assert not (root / "2024/10/04/00").exists()


def test_only_one_at_a_time(root: Path) -> None:
    with sweep_lock(root), pytest.raises(RootBusy):
        sweep(root, Retention()).run()
    sweep(root, Retention()).run()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 24 MB; needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=24m", "none", place], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def free(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


def test_a_full_disk_is_given_room_media_first(small_disk: Path, tmp_path: Path) -> None:
    made = tmp_path / "root"
    record(made, hours(12, packets=4000))
    root = Path(shutil.copytree(made, small_disk / "root"))
    (small_disk / "ballast").write_bytes(bytes(free(small_disk) - (1 << 20)))
    readers = [os.open(root / path / DATA, os.O_RDONLY) for path in find_buckets(root)]
    media = sum(octets_of(root / path).rtp for path in find_buckets(root))
    assert media > 6 << 20
    for wanted in (3 << 20, 5 << 20):
        limits = Retention(min_free=Room(octets=wanted))
        decided, failures = sweep(root, limits, hour=12).run()
        assert failures == []
        assert {step.action for step in decided.steps} == {Action.ERASE_RTP}
        # Pages that media shares with messages stay: a little short at the first try, made up for by the next.
        sweep(root, limits, hour=12).run()
        assert free(small_disk) >= wanted
    assert len(parts(root)) == 12
    erased = [part.erased_us is not None for part in parts(root)]
    assert erased == sorted(erased, reverse=True)
    assert 0 < sum(erased) < 12
    # Even from under readers: with all media gone whole parts go, and their files are open.
    before = free(small_disk)
    limits = Retention(min_free=Room(octets=before + (4 << 20)))
    for _ in range(3):
        sweep(root, limits, hour=12).run()
    assert len(parts(root)) < 12
    assert free(small_disk) > before + (512 << 10)
    for reader in readers:
        os.close(reader)


def test_the_thread_applies_it_and_says_what_it_cannot(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    real = Sweeper.once

    def once(sweeper: Sweeper) -> None:
        real(sweeper)
        done.set()

    monkeypatch.setattr(Sweeper, "once", once)
    steady = [0]
    watch = ClockWatch(lambda: at(HOURS) + steady[0], lambda: steady[0])
    sweeper = Sweeper(root, Retention(rtp_bytes=1, sip_bytes=1 << 30, min_free=NO_GUARD), watch)
    sweeper.start()
    assert done.wait(30)
    assert sweeper.faults() == sweeper.notes() == []
    sweeper.stop()
    assert [part.rtp_octets for part in parts(root)] == [0] * HOURS


def test_what_failed_as_a_whole_is_no_fault_for_longer_than_it_lasts(root: Path) -> None:
    good = (root / CATALOG).read_bytes()
    (root / CATALOG).write_bytes(b"garbage" * 5000)
    sweeper = Sweeper(root, Retention(min_free=NO_GUARD), ClockWatch(lambda: at(HOURS), lambda: 0))
    sweeper.start()
    try:
        soon(lambda: sweeper.faults() != [])
        (root / CATALOG).write_bytes(good)
        soon(lambda: sweeper.faults() == [])
    finally:
        sweeper.stop()


def soon(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition, half as long as between two passes at most."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_after_a_leap_the_thread_deletes_nothing_for_its_age(root: Path) -> None:
    offset = [0]
    watch = ClockWatch(lambda: at(HOURS) + offset[0], lambda: 0)
    sweeper = Sweeper(root, Retention(sip_age=DAY_US, min_free=NO_GUARD), watch)
    offset[0] = 400 * DAY_US  # the machine's own clock, which the sweep goes by, is years ahead of the buckets anyway
    sweeper.once()
    assert len(parts(root)) == HOURS
    assert "leapt forward" in sweeper.notes()[0]
    assert Sweep(root, Retention(sip_age=DAY_US, min_free=NO_GUARD)).plan().steps != []


def test_a_root_without_catalog_is_left_alone(tmp_path: Path) -> None:
    sweeper = Sweeper(tmp_path, Retention(sip_age=DAY_US))
    sweeper.once()
    assert list(tmp_path.iterdir()) == []
