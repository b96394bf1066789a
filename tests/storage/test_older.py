"""Indexes of version 1, as sipflow 0.1.0 wrote them, are read like those of today, and never written."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from captures import SHARED, need
from older import write_v1
from sipflow.importer import import_files
from sipflow.query.answer import CallSummary, Criteria
from sipflow.query.history import History
from sipflow.storage.catalog import Catalog
from sipflow.storage.layout import DATA, DATABASE, find_buckets
from sipflow.storage.reindex import reindex
from sipflow.storage.sealer import Sealer

_FILES = ("sipp-g711a.pcap", "aaa.pcap", "proxy-two-legs.pcap")


def without_worst(found: list[Any]) -> list[Any]:
    """Leave out what an index of version 1 does not say: how bad the media of a call was."""

    def less(call: CallSummary) -> CallSummary:
        return msgspec.structs.replace(call, loss_percent=None, jitter_us=None, mos=None, mos_scale=None, one_way=None)

    calls, *whole = found
    return [[less(call) for call in calls], *((messages, chunks, less(call)) for messages, chunks, call in whole)]


def answers(root: Path) -> list[Any]:
    history = History.open(root)
    page = history.calls(Criteria(limit=500))
    assert page.faults == []
    found: list[Any] = [page.calls]
    for call in page.calls:
        flow, media = history.flow(call.call_id), history.media(call.call_id)
        assert not flow.faults
        assert not media.faults
        chunks = [(chunk.key, chunk.rows.tobytes(), chunk.data) for chunk in media.chunks]
        found.append((flow.messages, chunks, history.call(call.call_id)))
    history.close()
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    import_files([need(SHARED / name) for name in _FILES], tmp_path)
    return tmp_path


def test_an_older_index_gives_the_same_answers(root: Path) -> None:
    today = answers(root)
    assert len(today) > 5
    for path in find_buckets(root):
        write_v1(root / path)
    assert without_worst(answers(root)) == without_worst(today)
    reindex(root)
    for path in find_buckets(root):
        with closing(sqlite3.connect(root / path / DATABASE)) as index:
            assert index.execute("PRAGMA user_version").fetchone() == (2,)
    assert answers(root) == today


def test_a_newer_index_is_named_and_hides_no_other(root: Path) -> None:
    first, *others = find_buckets(root)
    assert others
    (root / first / DATABASE).chmod(0o600)
    with closing(sqlite3.connect(root / first / DATABASE)) as index:
        index.execute("PRAGMA user_version = 3")
    history = History.open(root)
    page = history.calls(Criteria(limit=500))
    assert page.calls
    (fault,) = page.faults
    assert (fault.where, "written by a later sipflow" in fault.what) == (first.as_posix(), True)
    history.close()


def test_a_bucket_begun_by_an_older_version_is_finished_by_this_one(root: Path) -> None:
    before = answers(root)
    catalog = Catalog(root)
    for part in catalog.parts():
        write_v1(root / part.path)
        for name in (DATA, DATABASE):
            (root / part.path / name).chmod(0o600)
        catalog.sealing(part)
    sealer = Sealer(root)
    sealer.start()
    for part in catalog.open_parts():
        sealer.put(part, None)
    sealer.stop()
    assert sealer.fault == ""
    assert [part.state for part in catalog.parts()] == ["sealed"] * len(catalog.parts())
    catalog.close()
    assert answers(root) == before
