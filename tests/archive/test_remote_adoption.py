"""Parts that only the archive knows: found again, none twice, none over another."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from archived_root import NODE, archive_parts, everything
from buckets import T0_US, call, record
from sipflow.archive.archiver import Archiver
from sipflow.archive.manifest import MANIFEST, PRINTS
from sipflow.archive.objects import Objects
from sipflow.archive.remote_adoption import Adopted, adopt_missing
from sipflow.archive.remote_parts import ArchivedParts
from sipflow.destination import Upload
from sipflow.errors import ArchiveError, StorageError
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.layout import CACHE, CATALOG, DATA, HOUR_US
from sipflow.storage.listing import list_calls, renew_catalog, unlisted

HOUR = "2024/10/04/00"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    late = T0_US + HOUR_US - 1_000_000
    record(path, [*call("a@h", T0_US), *call("b@h", T0_US + HOUR_US + 60_000_000), *call("both@h", late, 150)])
    return path


@pytest.fixture
def place(tmp_path: Path) -> Objects:
    return Objects.local(tmp_path / "archive")


@contextmanager
def opened(root: Path, place: Objects) -> Iterator[History]:
    with closing(History.open(root, ArchivedParts(place, root / CACHE, 64 << 20))) as history:
        yield history


def parts(root: Path) -> list[Part]:
    with closing(Catalog(root)) as catalog:
        return catalog.parts()


def names(history: History) -> list[str]:
    return sorted(one.call_id for one in history.calls(Criteria()).calls)


def test_what_only_the_archive_has_is_listed_once(root: Path, place: Objects, tmp_path: Path) -> None:
    with opened(root, place) as history:
        before = everything(history)
    archive_parts(root, place)
    listed = parts(root)
    told: list[tuple[int, int]] = []
    new = tmp_path / "new"
    assert adopt_missing(new, place, NODE, lambda *done: told.append(done)) == Adopted(2, [])
    assert told == [(1, 2), (2, 2)]
    assert adopt_missing(new, place, NODE) == Adopted(0, [])
    assert adopt_missing(new, place, "another") == Adopted(0, [])
    kept = [(one.path, one.t0_us, one.t1_us, one.calls, one.archive_key, one.archived_us) for one in listed]
    assert [(one.path, one.t0_us, one.t1_us, one.calls, one.archive_key, one.archived_us) for one in parts(new)] == kept
    with closing(Catalog(new)) as catalog:
        assert catalog.audit() == ""
        assert [part.path for part in catalog.parts_with("a@h")] == [HOUR]
    with opened(new, place) as history:
        assert everything(history) == before


def test_files_that_are_here_are_not_listed_a_second_time(root: Path, place: Objects) -> None:
    with opened(root, place) as history:
        before = everything(history)
    archive_parts(root, place, evict=False)
    (root / CATALOG).unlink()
    renew_catalog(root)
    # Nothing is known of their content yet, and nothing is added beside them.
    assert adopt_missing(root, place, NODE) == Adopted(0, [])
    with closing(Catalog(root)) as catalog:
        assert list_calls(catalog, unlisted(catalog)) == []
    assert adopt_missing(root, place, NODE) == Adopted(0, [])
    assert {one.archive_key for one in parts(root)} == {f"{NODE}/{one.path}" for one in parts(root)}
    assert all(one.evicted_us is None for one in parts(root))
    with opened(root, place) as history:
        assert everything(history) == before


def test_another_machine_of_that_name_neither_hides_the_past_nor_overwrites_it(
    root: Path, place: Objects, tmp_path: Path
) -> None:
    archive_parts(root, place)
    new = tmp_path / "new"
    record(new, call("new@h", T0_US + 120_000_000))
    stored = {one.key: place.get(one.key) for one in place.walk(NODE)}
    archiver = Archiver(new, Upload("s3", pack_wait=0), NODE, place)
    archiver.turn()
    assert {one.key: place.get(one.key) for one in place.walk(NODE)} == stored
    assert "has another part of that name" in archiver.state.refused[0]
    assert sorted(one.path for one in parts(new)) == [HOUR, f"{HOUR}/part-0001", "2024/10/04/01"]
    with opened(new, place) as history:
        assert names(history) == ["a@h", "b@h", "both@h", "new@h"]
        assert [len(history.flow(name).messages) for name in names(history)] == [3, 3, 3, 3]
    assert (new / HOUR / DATA).exists()
    assert adopt_missing(new, place, NODE) == Adopted(0, [])


def test_a_part_without_its_filter_is_asked_for_every_call(root: Path, place: Objects, tmp_path: Path) -> None:
    with opened(root, place) as history:
        before = everything(history)
    archive_parts(root, place)
    hashes = place.get(f"{NODE}/{HOUR}/{PRINTS}")
    place.put(f"{NODE}/{HOUR}/{PRINTS}", hashes[:-1])
    new = tmp_path / "new"
    adopted = adopt_missing(new, place, NODE)
    assert adopted.parts == 2
    assert f"{NODE}/{HOUR}: " in adopted.faults[0]
    with opened(new, place) as history:
        assert everything(history) == before
    place.put(f"{NODE}/{HOUR}/{PRINTS}", hashes)
    assert adopt_missing(new, place, NODE) == Adopted(1, [])
    assert {one.state for one in parts(new)} == {"sealed"}
    with opened(new, place) as history:
        assert everything(history) == before


def test_a_manifest_that_cannot_be_believed_is_named_and_costs_no_other(
    root: Path, place: Objects, tmp_path: Path
) -> None:
    archive_parts(root, place)
    later = place.get(f"{NODE}/2024/10/04/01/{MANIFEST}")
    place.put(f"{NODE}/{HOUR}/{MANIFEST}", later)
    place.put(f"{NODE}/2024/10/04/02/{MANIFEST}", b"{}")
    new = tmp_path / "new"
    adopted = adopt_missing(new, place, NODE)
    assert adopted.parts == 1
    assert [fault.partition(": ")[0] for fault in adopted.faults] == [f"{NODE}/2024/10/04/02", f"{NODE}/{HOUR}"]
    with opened(new, place) as history:
        assert names(history) == ["b@h", "both@h"]


def test_what_was_deleted_stays_deleted(root: Path, place: Objects) -> None:
    archive_parts(root, place)
    with closing(Catalog(root)) as catalog:
        for part in catalog.parts():
            catalog.deleting(part, 5, None)
            catalog.deleted(part)
    assert adopt_missing(root, place, NODE) == Adopted(0, [])
    assert parts(root) == []


def test_an_archive_that_cannot_be_listed_is_an_error(place: Objects, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"make .*file/root: "):
        adopt_missing(tmp_path / "file" / "root", place, NODE)
    shutil.rmtree(tmp_path / "archive")
    (tmp_path / "archive").touch()
    with pytest.raises(ArchiveError):
        adopt_missing(tmp_path / "new", place, NODE)
