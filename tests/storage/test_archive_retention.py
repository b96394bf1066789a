"""Retention where there is an archive: what is let go of, in which way, and what never is."""

from pathlib import Path

import pytest

from buckets import T0_US, hours, record
from sipflow.config import Retention
from sipflow.destination import Upload
from sipflow.errors import StorageError
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.disk import Disk
from sipflow.storage.hold import HOLDS, hold, holds, release
from sipflow.storage.layout import DATA, DATABASE, HOUR_US, find_buckets
from sipflow.storage.retention import Action, Holding, plan
from sipflow.storage.sweep import Sweep

DAY_US = 24 * HOUR_US
ROOMY = Disk(10**12, 10**12)
KEPT = Retention()
NOW_US = 1000 * DAY_US


def held(
    number: int, age_us: int, *, archived: bool, evicted: bool = False, octets: int = 1000, why: str = ""
) -> Holding:
    end_us = NOW_US - age_us
    part = Part(
        number, f"p{number}", end_us - HOUR_US, end_us, "sealed", 0, end_us - 1, end_us, 1, 1, 1, octets,
        archived_us=5 if archived else None, archive_key="k" if archived else None, evicted_us=6 if evicted else None,
    )  # fmt: skip
    size = (0, 0) if evicted else (octets // 4, octets * 3 // 4)
    return Holding(part, *size, why)


def steps(
    holdings: list[Holding], upload: Upload, limits: Retention = KEPT, disk: Disk = ROOMY
) -> list[tuple[int, str]]:
    return [(step.part.id, step.action.value) for step in plan(holdings, limits, disk, NOW_US, "", upload).steps]


def upload(local: int | None = None, archive: int | None = None) -> Upload:
    return Upload("s3", keep_local=local, keep_archive=archive)


def test_only_what_is_archived_and_old_enough_is_evicted() -> None:
    holdings = [
        held(1, 2 * DAY_US, archived=True),
        held(2, 2 * DAY_US, archived=False),
        held(3, DAY_US - 1, archived=True),
        held(4, 2 * DAY_US, archived=True, why="buckets with a held call"),
        held(5, 2 * DAY_US, archived=True, evicted=True),
    ]
    assert steps(holdings, upload(DAY_US)) == [(1, "evict")]
    assert steps(holdings, upload()) == []
    assert steps(holdings, upload(0)) == [(1, "evict"), (3, "evict")]


def test_archives_expire_by_their_age_whether_files_stand_here_or_not() -> None:
    holdings = [
        held(1, 401 * DAY_US, archived=True),
        held(2, 401 * DAY_US, archived=True, evicted=True),
        held(3, 401 * DAY_US, archived=False),
        held(4, 401 * DAY_US, archived=True, evicted=True, why="buckets with a held call"),
        held(5, 399 * DAY_US, archived=True, evicted=True),
    ]
    assert steps(holdings, upload(DAY_US, 400 * DAY_US)) == [(1, "expire"), (2, "expire")]


@pytest.mark.parametrize(
    ("limits", "disk"),
    [
        (Retention(sip_age=DAY_US), ROOMY),
        (Retention(rtp_age=DAY_US), ROOMY),
        (Retention(rtp_bytes=0 + 1), ROOMY),
        (Retention(sip_bytes=0 + 1), ROOMY),
        (Retention(), Disk(0, 10**12)),
    ],
)
def test_every_limit_evicts_what_is_archived_and_touches_nothing_else(limits: Retention, disk: Disk) -> None:
    holdings = [
        held(1, 3 * DAY_US, archived=True),
        held(2, 2 * DAY_US, archived=False),
        held(3, 2 * DAY_US, archived=True, evicted=True),
    ]
    assert steps(holdings, upload(), limits, disk) == [(1, "evict")]
    # As it was without an archive: the one that was never archived goes.
    without = plan(holdings[1:2], limits, disk, NOW_US).steps
    assert [step.action for step in without] in ([Action.DELETE], [Action.ERASE_RTP])


def test_a_clock_that_leapt_lets_nothing_expire() -> None:
    holdings = [held(1, 401 * DAY_US, archived=True)]
    decided = plan(holdings, Retention(), ROOMY, NOW_US, "the clock leapt", upload(DAY_US, 400 * DAY_US))
    assert decided == ([], ["the clock leapt"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    record(tmp_path / "root", hours(3))
    return tmp_path / "root"


def archived(root: Path, count: int) -> list[Part]:
    catalog = Catalog(root)
    parts = sorted(catalog.standing(), key=lambda part: part.path)
    for part in parts[:count]:
        assert catalog.archived(part, f"n/{part.path}", 7)
    catalog.close()
    return parts


def listed(root: Path) -> list[Part]:
    catalog = Catalog(root, readonly=True)
    try:
        return sorted(catalog.standing(), key=lambda part: part.path)
    finally:
        catalog.close()


def test_eviction_takes_the_files_and_leaves_what_is_known(root: Path) -> None:
    before = archived(root, 2)
    decided, failures = Sweep(root, Retention(), upload=upload(DAY_US)).run()
    assert failures == []
    assert [step.action for step in decided.steps] == [Action.EVICT] * 2
    assert sum(step.octets for step in decided.steps) == sum(part.octets or 0 for part in before[:2])
    assert [path.as_posix() for path in find_buckets(root)] == [before[2].path]
    catalog = Catalog(root)
    assert [part.state for part in catalog.standing()] == ["sealed"] * 3
    assert [part.path for part in catalog.parts_with("call-0@h")] == [before[0].path]
    assert catalog.expired_with("call-0@h") == []
    assert catalog.audit() == ""
    assert catalog.reconcile() == []
    catalog.close()
    assert Sweep(root, Retention(), upload=upload(DAY_US)).plan().steps == []


def test_an_eviction_that_was_interrupted_is_finished(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archived(root, 1)

    def broken(*_: object) -> None:
        raise StorageError("delete", "x", "the power is gone")

    monkeypatch.setattr("sipflow.storage.sweep.remove_bucket", broken)
    _, failures = Sweep(root, Retention(), upload=upload(DAY_US)).run()
    assert len(failures) == 1
    part = listed(root)[0]
    assert part.evicted_us is not None
    assert (root / part.path / DATA).exists()
    monkeypatch.undo()
    # Whatever the settings are by then: the archive answers for it.
    decided, failures = Sweep(root, Retention()).run()
    assert ([step.why for step in decided.steps], failures) == (["was begun and not finished"], [])
    assert not (root / part.path / DATABASE).exists()


def test_a_held_call_keeps_its_buckets_until_it_is_released(root: Path) -> None:
    parts = archived(root, 3)
    assert hold(root, "call-1@h", T0_US, "case 7")
    assert not hold(root, "call-1@h", T0_US + 1)
    assert [(one.call_id, one.since_us, one.why) for one in holds(root)] == [("call-1@h", T0_US, "case 7")]
    eager = Sweep(root, Retention(sip_age=HOUR_US), upload=upload(0, HOUR_US))
    eager.run()
    assert [step.part.path for step in eager.plan().steps] == [parts[0].path, parts[2].path]
    assert all(step.action is Action.EXPIRE for step in eager.plan().steps)
    assert Sweep(root, Retention(sip_age=HOUR_US)).plan().steps != []
    assert parts[1].path not in {step.part.path for step in Sweep(root, Retention(sip_age=HOUR_US)).plan().steps}
    assert release(root, "call-1@h")
    assert not release(root, "call-1@h")
    assert parts[1].path in {step.part.path for step in eager.plan().steps}


def test_while_the_holds_cannot_be_read_nothing_goes(root: Path) -> None:
    archived(root, 3)
    (root / HOLDS).write_text("[{]")
    with pytest.raises(StorageError, match="nothing is deleted until it is"):
        Sweep(root, Retention(sip_age=HOUR_US), upload=upload(0)).run()
    assert len(list(find_buckets(root))) == 3
