"""catalog.db: which parts may hold a call, whichever version wrote the filter."""

import sqlite3
from hashlib import blake2b
from pathlib import Path

import pytest

from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.index import Totals
from sipflow.storage.layout import CATALOG, HOUR_US, Period

T0 = 480_000 * HOUR_US


def seal(catalog: Catalog, hour: int, call_ids: list[str]) -> Part:
    start = T0 + hour * HOUR_US
    part = catalog.claim(Period((start, start + HOUR_US)))
    catalog.made(part)
    catalog.sealed(part, Totals(len(call_ids), 0, 0, start, start + 1, 0), call_ids)
    return part


def paths(parts: list[Part]) -> set[str]:
    return {part.path for part in parts}


def test_every_call_is_found_in_each_of_its_parts_and_hardly_elsewhere(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    calls = [[f"{hour}-{n}@example.com" for n in range(3000)] + ["in-all", "grüße", "\udcff"] for hour in range(5)]
    parts = [seal(catalog, hour, some) for hour, some in enumerate(calls)]
    reader = Catalog(tmp_path, readonly=True)
    for part, some in zip(parts, calls, strict=True):
        for call_id in some:
            assert part.path in paths(reader.parts_with(call_id)), call_id
    assert paths(reader.parts_with("in-all")) == paths(parts)
    named = sum(len(reader.parts_with(f"unknown-{n}")) for n in range(3000))
    assert named <= 3
    reader.close()
    catalog.close()


def test_open_parts_are_always_named_and_parts_being_made_never(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    seal(catalog, 0, ["a"])
    growing, making = (catalog.claim(Period((T0 + n * HOUR_US, T0 + (n + 1) * HOUR_US))) for n in (1, 2))
    catalog.made(growing)
    reader = Catalog(tmp_path, readonly=True)
    assert paths(reader.parts_with("b")) == {growing.path}
    assert making.path not in paths(reader.parts())
    reader.close()
    catalog.close()


def test_a_reader_sees_what_the_writer_does_meanwhile(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    reader = Catalog(tmp_path, readonly=True)
    assert reader.parts() == []
    first = catalog.claim(Period((T0, T0 + HOUR_US)))
    catalog.made(first)
    assert [part.state for part in reader.parts_with("x")] == ["open"]
    catalog.sealed(first, Totals(1, 0, 0, T0, T0, 0), ["a"])
    assert reader.parts_with("x") == []
    assert [part.state for part in reader.parts_with("a")] == ["sealed"]
    reader.close()
    catalog.close()


def test_sealing_again_keeps_every_call_named(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    part = seal(catalog, 0, ["a"])
    catalog.sealed(part, Totals(2, 0, 0, T0, T0, 0), ["a", "b"])
    assert paths(catalog.parts_with("a")) == paths(catalog.parts_with("b")) == {part.path}
    catalog.sealed(part, Totals(0, 0, 0, None, None, 0), [])
    catalog.close()


# As version 1 made it; its filter is described in docs/FORMAT.md.
FIRST_VERSION = """
CREATE TABLE parts (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
    state TEXT NOT NULL, owner INTEGER NOT NULL DEFAULT 0, t0_us INTEGER, t1_us INTEGER, calls INTEGER,
    sip_messages INTEGER, rtp_packets INTEGER, octets INTEGER
);
CREATE TABLE call_filter (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, width INTEGER NOT NULL, prints BLOB NOT NULL,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


@pytest.mark.parametrize("width", [2, 4])
def test_the_filter_of_version_1_is_read_before_and_after_a_new_server_wrote(tmp_path: Path, width: int) -> None:
    old = sqlite3.connect(tmp_path / CATALOG, isolation_level=None)
    old.execute("PRAGMA journal_mode = WAL")
    old.executescript(FIRST_VERSION)
    row = (7, "2024/10/04/00", T0, T0 + HOUR_US, "sealed", 0, T0, T0, 1, 1, 0, 9)
    old.execute(f"INSERT INTO parts VALUES ({', '.join('?' * len(row))})", row)
    digest = blake2b(b"old", digest_size=8).digest()
    old.execute(
        "INSERT INTO call_filter VALUES (?, 7, ?, ?)", [digest[0], width, b"\0" * width + digest[1 : 1 + width]]
    )
    old.close()
    reader = Catalog(tmp_path, readonly=True)
    assert paths(reader.parts_with("old")) == {"2024/10/04/00"}
    assert reader.parts_with("new") == []
    catalog = Catalog(tmp_path)
    part = seal(catalog, 1, ["new", "old"])
    assert paths(reader.parts_with("old")) == {"2024/10/04/00", part.path}
    assert paths(reader.parts_with("new")) == {part.path}
    reader.close()
    catalog.close()
