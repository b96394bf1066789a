"""What a commit leaves in an index: every row under its own call, whatever came together and whatever failed before."""

import sqlite3
from pathlib import Path

import pytest

from sipflow.storage import index as index_module
from sipflow.storage.index import BlockRow, Index, MediaRow, Portion, SipRow
from sipflow.wire.dialog import CallDigest

A, B = "192.0.2.1:5060", "192.0.2.2:5060"


def sip(call_ids: list[str], offset: int = 0, at_us: int = 1000) -> Portion:
    """Write a portion with one INVITE of each call."""
    rows = [SipRow(one, at_us, A, B, "INVITE", None, 1, offset, n) for n, one in enumerate(call_ids)]
    calls = [CallDigest(one, at_us, at_us, invite_us=at_us, method="INVITE", sip_messages=1) for one in call_ids]
    return Portion(b"", [BlockRow(offset, 10, 1, len(rows), at_us, at_us, 0)], rows, [], calls)


def media(call_ids: list[str], offset: int = 0) -> Portion:
    """Write a portion with one chunk of media of each call."""
    rows = [MediaRow(one, 500, 900, 0, A, B, 7, 0, 20, 0, 0, 1, 20, offset) for one in call_ids]
    return Portion(b"", [BlockRow(offset, 10, 2, 20, 500, 900, 0)], [], rows, [])


def rows_of(database: Path, table: str) -> dict[str, int]:
    """Count the rows of a table by the Call-ID they belong to."""
    with sqlite3.connect(database) as reader:
        found = reader.execute(
            f"SELECT c.call_id, count(*) FROM {table} t JOIN call_meta c ON c.id = t.call GROUP BY 1"
        )
        counts = dict(found.fetchall())
    reader.close()
    return counts


def test_many_calls_of_one_commit_keep_their_rows_apart(tmp_path: Path) -> None:
    names = [f"call-{n}" for n in range(3 * index_module._LOOK_UP + 5)] + ["nul\0in-it", "nul", "", "ü\U0001f600"]
    index = Index(tmp_path / "i.db")
    index.commit([sip(names), media(names[::2])], [0, 100])
    index.commit([sip(names[:200], at_us=2000), media(["media-only"])], [200, 300])
    index.close()
    messages, chunks = rows_of(tmp_path / "i.db", "sip_msgs"), rows_of(tmp_path / "i.db", "media_msgs")
    assert messages == {name: 2 if n < 200 else 1 for n, name in enumerate(names)}
    assert chunks == dict.fromkeys([*names[::2], "media-only"], 1)


def test_a_reopened_or_forgetful_index_finds_its_calls_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_CACHED_CALLS", 2)
    names = [f"call-{n}" for n in range(10)]
    index = Index(tmp_path / "i.db")
    index.commit([media(names)], [0])
    index.commit([sip(names, at_us=3000)], [100])
    index.close()
    index = Index(tmp_path / "i.db")
    index.commit([sip(names, at_us=2000)], [200])
    assert index.totals().calls == 10
    index.close()
    with sqlite3.connect(tmp_path / "i.db") as reader:
        found = set(reader.execute("SELECT sip_messages, first_us, last_us, invite_us, method FROM call_meta"))
    reader.close()
    assert found == {(2, 500, 3000, 2000, "INVITE")}


def test_a_failed_commit_leaves_nothing_and_may_be_tried_again(tmp_path: Path) -> None:
    index = Index(tmp_path / "i.db")
    index.commit([sip(["a"])], [0])
    again = sip(["a", "b"])
    with pytest.raises(sqlite3.IntegrityError):
        index.commit([again], [0])  # its block stands there already
    index.commit([again], [100])
    index.close()
    assert rows_of(tmp_path / "i.db", "sip_msgs") == {"a": 2, "b": 1}
    with sqlite3.connect(tmp_path / "i.db") as reader:
        assert dict(reader.execute("SELECT call_id, sip_messages FROM call_meta")) == {"a": 2, "b": 1}
    reader.close()
