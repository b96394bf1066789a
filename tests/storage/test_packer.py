"""Packing beside a recorder: one part after the other, only when there is time, and never in anybody's way."""

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from answers import ask_all
from buckets import hours, record
from sipflow.errors import PartBusy
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.idleness import Idleness
from sipflow.storage.layout import DATA, HOLD, PACKING
from sipflow.storage.packer import Packer
from sipflow.storage.packing import pack_part
from sipflow.storage.part_lock import copy_lock, swap_lock
from sipflow.storage.verify import find_all, verify_bucket

PATIENCE = 60.0


class Need:
    """What the recorder says it needs the machine for."""

    def __init__(self) -> None:
        self.why = ""

    def __call__(self) -> str:
        return self.why


def states() -> list[str]:
    """Tell what the children do: a letter each, as proc(5) has it."""
    found = []
    for pid in children():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0])
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    record(tmp_path / "root", hours(3))
    return tmp_path / "root"


@pytest.fixture
def need() -> Need:
    return Need()


@pytest.fixture
def packer(root: Path, need: Need, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packer]:
    # Whatever else this machine does at the moment.
    monkeypatch.setattr(Idleness, "look", lambda _: 1.0)
    made = Packer(root, lambda _: 0, need)
    yield made
    made.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.01)


def parts_of(root: Path) -> list[Part]:
    with closing(Catalog(root, readonly=True)) as catalog:
        return sorted(catalog.parts(), key=lambda part: part.start_us)


def packs(pid: str) -> bool:
    try:
        return b"sipflow.storage.packing_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def children() -> list[int]:
    """List the processes that pack for us; servers of other tests may be children too."""
    every: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        # A thread that has just ended has no children.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            every += (task / "children").read_text().split()
    return [int(one) for one in every if packs(one)]


def test_it_packs_all_that_is_sealed(root: Path, packer: Packer) -> None:
    before = ask_all(root)
    (root / parts_of(root)[1].path / HOLD).touch()
    packer.start()
    until(lambda: (packer.state.packed, packer.state.waiting, packer.state.left) == (2, 0, 1))
    assert [part.packed_us is not None for part in parts_of(root)] == [True, False, True]
    first, _, last = (part.packed_us or 0 for part in parts_of(root))
    assert first < last
    assert packer.faults() == []
    assert (packer.state.failures, packer.state.last_error) == (0, "")
    assert ask_all(root) == before
    assert [verify_bucket(root, path).findings for path in find_all(root, [])] == [[], [], []]


def test_a_part_that_is_copied_waits_and_holds_up_no_other(root: Path, packer: Packer) -> None:
    with copy_lock(root / parts_of(root)[0].path), copy_lock(root / parts_of(root)[0].path):
        packer.start()
        until(lambda: packer.state.packed == 2 and "packs or copies it" in packer.state.paused)
        assert [part.packed_us is not None for part in parts_of(root)] == [False, True, True]
    until(lambda: packer.state.packed == 3)
    assert (packer.state.failures, packer.state.last_error, packer.faults()) == (0, "", [])


def test_the_lock_of_a_file_that_was_exchanged_is_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = parts_of(root)[0]
    flock = fcntl.flock

    def late(file: int, kind: int) -> None:
        monkeypatch.undo()
        assert pack_part(root, first) is not None
        flock(file, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(PartBusy, match="just exchanged"), copy_lock(root / first.path):
        pass
    with copy_lock(root / first.path), pytest.raises(PartBusy), swap_lock(root / first.path):
        pass


def test_it_waits_while_the_recorder_needs_the_machine(root: Path, packer: Packer, need: Need) -> None:
    need.why = "half of the pool is filled"
    packer.start()
    until(lambda: packer.state.paused == need.why)
    assert [part.packed_us for part in parts_of(root)] == [None] * 3
    assert children() == []


def test_a_process_at_work_is_held_and_goes_on(root: Path, packer: Packer, need: Need) -> None:
    packer.start()
    until(lambda: bool(packer.state.now))
    need.why = "half of the pool is filled"
    # Unless it was done before that was said.
    until(lambda: "T" in states() or packer.state.packed > 0)
    need.why = ""
    until(lambda: packer.state.packed == 3)


def test_a_stop_ends_it_at_once_and_leaves_the_part_as_it_was(root: Path, packer: Packer, need: Need) -> None:
    need.why = ""
    packer.start()
    until(lambda: bool(packer.state.now))
    packer.stop()
    assert children() == []
    assert list(root.rglob(PACKING)) == []
    assert ask_all(root).calls.keys() == {f"call-{n}@h" for n in range(3)}


def test_a_process_that_is_killed_is_told_and_costs_no_other_part(root: Path, packer: Packer, need: Need) -> None:
    packer.start()
    until(lambda: bool(children()))
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    until(lambda: packer.state.failures == 1 or packer.state.packed == 3)
    until(lambda: packer.state.packed + packer.state.failures >= 3)
    if packer.state.failures:
        assert "ended with status -9" in packer.state.last_error
    assert packer.faults() == []


def test_a_damaged_part_is_named_once(root: Path, packer: Packer) -> None:
    damaged = root / parts_of(root)[0].path / DATA
    octets = bytearray(damaged.read_bytes())
    octets[70] ^= 1
    damaged.chmod(0o600)
    damaged.write_bytes(octets)
    damaged.chmod(0o400)
    packer.start()
    until(lambda: (packer.state.packed, packer.state.left) == (2, 1))
    assert packer.state.failures == 1
    assert "block at octet 0" in packer.state.last_error
    assert damaged.read_bytes() == octets


def test_without_room_for_a_copy_it_waits(root: Path, need: Need) -> None:
    packer = Packer(root, lambda total: total + shutil.disk_usage(root).free, need)
    packer.start()
    try:
        until(lambda: "no room for a copy" in packer.state.paused or "busy" in packer.state.paused)
    finally:
        packer.stop()
    assert [part.packed_us for part in parts_of(root)] == [None] * 3


def test_idle_time_is_what_nobody_needs(tmp_path: Path) -> None:
    stat = tmp_path / "stat"

    def tell(*ticks: int) -> None:
        stat.write_text(f"cpu  {' '.join(map(str, ticks))}\ncpu0 1 2 3\n")

    tell(100, 0, 50, 1000, 5, 0, 0, 0, 0, 0)
    idleness = Idleness(stat)
    tell(180, 0, 60, 1010, 5, 0, 0, 0, 0, 0)
    assert idleness.look() == pytest.approx(0.1)
    # What is niced can wait as well as we.
    tell(180, 90, 60, 1020, 5, 0, 0, 0, 0, 0)
    assert idleness.look() == pytest.approx(1.0)
    stat.unlink()
    assert Idleness(stat).look() == 1.0
