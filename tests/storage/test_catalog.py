"""catalog.db: older ones are brought up to date, later ones refused; what is deleted is still known, for a while."""

import sqlite3
from pathlib import Path

import pytest

from buckets import T0_US, hours, record
from sipflow.errors import NewerFormat, StorageError
from sipflow.storage.catalog import REMEMBERED_US, Catalog, Part, found_part
from sipflow.storage.catalog_file import CatalogFile
from sipflow.storage.erasure import erase_media
from sipflow.storage.index import Totals
from sipflow.storage.layout import CATALOG, HOUR_US, Period, find_buckets
from sipflow.storage.listing import list_calls, unlisted
from sipflow.storage.sealed import octets_of

HOUR = Period((T0_US, T0_US + HOUR_US))
TOTALS = Totals(2, 6, 100, T0_US, T0_US + 5, 1000)
VERSION_1 = """
CREATE TABLE parts (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
    state TEXT NOT NULL, owner INTEGER NOT NULL DEFAULT 0, t0_us INTEGER, t1_us INTEGER,
    calls INTEGER, sip_messages INTEGER, rtp_packets INTEGER, octets INTEGER
);
CREATE INDEX parts_time ON parts (t1_us);
CREATE TABLE call_filter (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, width INTEGER NOT NULL, prints BLOB NOT NULL,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
INSERT INTO parts VALUES (7, '2024/10/04/00', 1, 2, 'sealed', 0, 1, 2, 3, 4, 5, 6);
PRAGMA user_version = 1;
"""


def seal(catalog: Catalog, call_ids: list[str], period: Period = HOUR) -> Part:
    part = catalog.claim(period)
    catalog.made(part)
    catalog.sealed(part, TOTALS, call_ids, 700)
    found = catalog.part(part.id)
    assert found is not None
    return found


def test_version_1_is_read_as_it_stands_and_brought_up_to_date_by_a_writer(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / CATALOG)
    old.executescript(VERSION_1)
    old.close()
    expected = Part(7, "2024/10/04/00", 1, 2, "sealed", 0, 1, 2, 3, 4, 5, 6)
    reader = Catalog(tmp_path, readonly=True)
    assert reader.parts() == [expected]
    assert reader.expired_with("a") == []
    reader.close()
    for _ in range(2):
        writer = Catalog(tmp_path)
        assert writer.parts() == [expected]
        writer.close()
    (tmp_path / "new").mkdir()
    Catalog(tmp_path / "new").close()
    old, new = sqlite3.connect(tmp_path / CATALOG), sqlite3.connect(tmp_path / "new" / CATALOG)
    for question in ("PRAGMA table_info(parts)", "SELECT name FROM sqlite_schema ORDER BY 1", "PRAGMA user_version"):
        former = [("call_filter",)] if "sqlite_schema" in question else []
        found = [row[:3] for row in old.execute(question)]
        assert sorted(found) == sorted([row[:3] for row in new.execute(question)] + former)
    old.close()
    new.close()


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    Catalog(tmp_path).close()
    later = sqlite3.connect(tmp_path / CATALOG)
    later.execute("PRAGMA user_version = 3")
    later.close()
    for readonly in (True, False):
        with pytest.raises(NewerFormat, match="catalog version 3 was written by a later sipflow, this one reads 2"):
            Catalog(tmp_path, readonly=readonly)


def test_a_deleted_part_tells_only_what_expired(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    first = seal(catalog, ["a", "b"])
    second = seal(catalog, ["b", "c"], Period((HOUR.end_us, HOUR.end_us + HOUR_US)))
    assert (first.sip_octets, first.rtp_octets, first.imported_us) == (300, 700, None)
    catalog.deleting(first, 99, ["a", "b"])
    for gone in (False, True):
        if gone:
            catalog.deleted(first)
        assert catalog.parts() == catalog.parts_with("b") == [second]
        assert catalog.parts_with("a") == []
        assert [part.deleted_us for part in catalog.expired_with("a")] == [99]
        assert catalog.expired_with("c") == []
        assert [part.id for part in catalog.expired_with("b", (second.start_us, second.start_us))] == [first.id]
        assert catalog.expired_with("b", (second.end_us, second.end_us)) == []
    assert [part.state for part in catalog.standing()] == ["sealed"]
    catalog.close()


def test_without_its_calls_a_deleted_part_keeps_the_filter_it_had(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    part = seal(catalog, ["a"])
    catalog.deleting(part, 99, None)
    assert len(catalog.expired_with("a")) == 1
    assert catalog.expired_with("b") == []
    catalog.close()


def test_many_calls_of_deleted_parts_are_told_apart(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    many = [f"call-{n}" for n in range(50_000)]
    catalog.deleting(seal(catalog, many), 99, many)
    assert all(catalog.expired_with(one) for one in many[::1000])
    assert sum(bool(catalog.expired_with(f"other-{n}")) for n in range(3000)) == 0
    catalog.close()


def test_late_packets_of_a_deleted_hour_get_a_part_of_their_own(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    part = seal(catalog, ["a"])
    catalog.deleting(part, 99, None)
    late = catalog.claim(HOUR)
    assert (late.id != part.id, late.state, late.path) == (True, "making", f"{part.path}/part-0001")
    catalog.deleted(part)
    assert catalog.claim(HOUR) == late
    catalog.close()


def test_what_is_deleted_is_forgotten_one_day(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    part = seal(catalog, ["a"])
    catalog.deleting(part, 99, ["a"])
    assert catalog.forget_expired(100 + REMEMBERED_US) == 0
    catalog.deleted(part)
    assert catalog.forget_expired(99 + REMEMBERED_US) == 0
    assert catalog.forget_expired(100 + REMEMBERED_US) == 1
    assert catalog.expired_with("a") == []
    assert catalog.part(part.id) is None
    assert catalog.claim(HOUR).path == part.path
    catalog.close()


def test_a_lost_catalog_is_made_anew_with_what_was_erased(tmp_path: Path) -> None:
    root = tmp_path / "root"
    record(root, hours(3))
    catalog = Catalog(root)
    before = {part.path: part for part in catalog.parts()}
    catalog.close()
    paths = list(find_buckets(root))
    erase_media(root / paths[0], 77)
    assert found_part(root, paths[0]).erased_us == 77
    assert found_part(root, paths[1]).erased_us is None
    for name in root.glob(f"{CATALOG}*"):
        name.unlink()
    catalog = Catalog(root)
    assert sorted(catalog.reconcile()) == sorted(paths)
    assert {part.state for part in catalog.parts()} == {"unlisted"}
    assert list_calls(catalog, unlisted(catalog)) == []
    for part in catalog.parts():
        known = before[part.path]
        assert part.sealed
        assert (part.calls, part.sip_messages, part.rtp_packets) == (1, 3, 100)
        assert (part.t0_us, part.t1_us) == (known.t0_us, known.t1_us)
        octets = octets_of(root / part.path)
        if part.erased_us is None:
            assert (part.octets, part.sip_octets, part.rtp_octets) == (known.octets, known.sip_octets, known.rtp_octets)
        assert (part.octets, part.sip_octets, part.rtp_octets) == (sum(octets), *octets)
        assert part.erased_us == (77 if part.path == paths[0].as_posix() else None)
    assert [part.path for part in catalog.parts_with("call-1@h")] == [paths[1].as_posix()]
    assert catalog.reconcile() == []
    catalog.close()


def test_a_bucket_that_was_put_back_is_known_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    record(root, hours(1))
    catalog = Catalog(root)
    (part,) = catalog.parts()
    catalog.deleting(part, 99, ["call-0@h"])
    assert catalog.reconcile() == []  # it is on its way out
    catalog.deleted(part)
    assert [path.as_posix() for path in catalog.reconcile()] == [part.path]
    assert [one.path for one in catalog.parts_with("call-0@h")] == [part.path]
    assert catalog.expired_with("call-0@h") == []
    catalog.close()


def test_a_transaction_that_is_given_up_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    file = CatalogFile(tmp_path, readonly=False)
    insert = "INSERT INTO parts (path, start_us, end_us, state) VALUES ('one', 0, 1, 'open')"

    def give_up() -> None:
        with file.transaction():
            file.write(insert)
            raise StorageError("add part", tmp_path, "no room")

    with pytest.raises(StorageError, match="no room"):
        give_up()
    assert file.read("SELECT path FROM parts") == []
    with file.transaction():
        file.write(insert)
    assert file.read("SELECT path FROM parts") == [("one",)]
    file.close()


def test_a_root_that_is_gone_is_never_made_again(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        Catalog(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()
