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


# As version 2 made it, with checksums that hold.
VERSION_2 = """
CREATE TABLE parts (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
    state TEXT NOT NULL, owner INTEGER NOT NULL DEFAULT 0, t0_us INTEGER, t1_us INTEGER,
    calls INTEGER, sip_messages INTEGER, rtp_packets INTEGER, octets INTEGER,
    sip_octets INTEGER, rtp_octets INTEGER, imported_us INTEGER, erased_us INTEGER, deleted_us INTEGER, crc INTEGER
);
CREATE INDEX parts_time ON parts (t1_us);
CREATE INDEX parts_deleted ON parts (end_us) WHERE deleted_us IS NOT NULL;
CREATE TABLE call_prints (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, prints BLOB NOT NULL, crc INTEGER, PRIMARY KEY (shard, part)
) WITHOUT ROWID;
CREATE TABLE expired_filter (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, width INTEGER NOT NULL, prints BLOB NOT NULL, crc INTEGER,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
CREATE TRIGGER parts_changed
AFTER UPDATE OF path, start_us, end_us, state, owner, t0_us, t1_us, calls, sip_messages, rtp_packets, octets,
    sip_octets, rtp_octets, imported_us, erased_us, deleted_us ON parts
BEGIN UPDATE parts SET crc = NULL WHERE id = new.id; END;
INSERT INTO parts VALUES (7, '2024/10/04/00', 1, 2, 'sealed', 0, 1, 2, 0, 4, 5, 6, 7, 8, NULL, 9, NULL, 2957893358);
PRAGMA user_version = 2;
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


def test_version_2_keeps_its_checksums_when_it_is_brought_up_to_date(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / CATALOG)
    old.executescript(VERSION_2)
    old.close()
    expected = Part(7, "2024/10/04/00", 1, 2, "sealed", 0, 1, 2, 0, 4, 5, 6, 7, 8, None, 9, None)
    reader = Catalog(tmp_path, readonly=True)
    assert reader.parts() == [expected]
    writer = Catalog(tmp_path)
    assert reader.parts() == writer.parts() == [expected]
    assert writer.audit() == ""
    assert writer.archived(expected, "pbx/2024/10/04/00", 77)
    (found,) = writer.parts()
    assert found == expected._replace(archived_us=77, archive_key="pbx/2024/10/04/00")
    assert reader.parts() == [found]
    assert found.revision != expected.revision
    writer.close()
    reader.close()
    (tmp_path / "new").mkdir()
    Catalog(tmp_path / "new").close()
    old, new = sqlite3.connect(tmp_path / CATALOG), sqlite3.connect(tmp_path / "new" / CATALOG)
    for question in ("PRAGMA table_info(parts)", "SELECT name FROM sqlite_schema ORDER BY 1", "PRAGMA user_version"):
        assert sorted(row[:3] for row in old.execute(question)) == sorted(row[:3] for row in new.execute(question))
    changed = "SELECT sql FROM sqlite_schema WHERE name = 'parts_changed'"
    assert old.execute(changed).fetchall() == new.execute(changed).fetchall()
    old.execute("UPDATE parts SET archive_key = 'x'")
    old.execute("UPDATE parts SET crc = 5")
    old.commit()
    old.close()
    new.close()
    damaged = Catalog(tmp_path)
    with pytest.raises(StorageError, match="the checksum of a row does not hold"):
        damaged.parts()
    damaged.close()


def test_damage_of_version_2_is_not_made_good(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / CATALOG)
    old.executescript(VERSION_2.replace("2957893358", "2957893359"))
    old.close()
    for readonly in (True, False):
        catalog = Catalog(tmp_path, readonly=readonly)
        assert "checksum" in catalog.damage()
        catalog.close()


def test_what_changed_on_its_way_is_not_archived_and_what_is_not_archived_is_not_evicted(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    part = seal(catalog, ["a"])
    assert not catalog.evicting(part, 5)
    catalog.erasing(part, 4)
    assert not catalog.archived(part, "k", 5)
    (part,) = catalog.parts()
    assert catalog.packed(part, TOTALS._replace(octets=800), 500, 6)
    assert not catalog.archived(part, "k", 7)
    (part,) = catalog.parts()
    assert (part.packed_us, part.octets, part.sip_octets, part.rtp_octets) == (6, 800, 300, 500)
    assert catalog.archived(part, "k", 8)
    assert catalog.evicting(part, 9)
    assert not catalog.archived(part, "k", 10)
    assert not catalog.packed(part, TOTALS, 500, 11)
    (part,) = catalog.parts_with("a")
    assert (part.state, part.archived_us, part.evicted_us) == ("sealed", 8, 9)
    catalog.returned(part)
    catalog.unarchived(part)
    (part,) = catalog.parts()
    assert (part.archived_us, part.archive_key, part.evicted_us) == (None, None, None)
    catalog.close()


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    Catalog(tmp_path).close()
    later = sqlite3.connect(tmp_path / CATALOG)
    later.execute("PRAGMA user_version = 4")
    later.close()
    for readonly in (True, False):
        with pytest.raises(NewerFormat, match="catalog version 4 was written by a later sipflow, this one reads 3"):
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
