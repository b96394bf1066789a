"""What a commit leaves in an index: every row under its own call, whatever came together and whatever failed before."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from captures import SHARED, need
from portions import invite, media, portions_of
from sipflow.errors import StorageError, UnfitBucket
from sipflow.importer import import_files
from sipflow.storage.block import KIND_MESSAGES, Block, iter_blocks
from sipflow.storage.bucket import Bucket
from sipflow.storage.index import Index, read_digest
from sipflow.storage.layout import DATA, DATABASE, Subdirs, find_buckets
from sipflow.storage.reindex import reindex_bucket
from sipflow.wire.dialog import CallDigest, digest_of
from sipflow.wire.packet import Packet
from sipflow.wire.sip import parse_head

T0 = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
_STREAM_ROWS = (
    "SELECT c.call_id, count(*) FROM media_msgs m JOIN streams s ON s.id = m.stream JOIN call_meta c ON c.id = s.call "
    "GROUP BY 1"
)
_SIP_ROWS = "SELECT c.call_id, count(*) FROM sip_msgs t JOIN call_meta c ON c.id = t.call GROUP BY 1"


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    opened = Bucket(tmp_path)
    yield opened
    opened.close()


def append(bucket: Bucket, packets: list[Packet]) -> None:
    bucket.append([portion for _, portion in portions_of(packets, Subdirs.NONE)])


def ask(directory: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(directory / DATABASE)) as reader:
        return reader.execute(query).fetchall()


def test_many_calls_of_one_commit_keep_their_rows_apart(tmp_path: Path, bucket: Bucket) -> None:
    names = [f"call-{n}" for n in range(500)] + ["nul\0in-it", "nul", "ü\U0001f600", "CALL-1"]
    append(bucket, [invite(name, T0) for name in names] + [media(name, T0) for name in names[::2]])
    append(bucket, [invite(name, T0 + 9, "BYE") for name in names[:200]] + [media("media-only", T0 + 5)])
    expected = {name: 2 if n < 200 else 1 for n, name in enumerate(names)}
    assert dict(ask(tmp_path, _SIP_ROWS)) == expected
    assert dict(ask(tmp_path, _STREAM_ROWS)) == dict.fromkeys([*names[::2], "media-only"], 1)
    assert ask(tmp_path, "SELECT call_id, sip_messages, rtp_packets FROM call_meta WHERE call_id = 'media-only'") == [
        ("media-only", 0, 1)
    ]
    assert ask(tmp_path, "SELECT count(*), count(DISTINCT path) FROM sip_msgs") == [(704, 1)]


def test_a_reopened_index_finds_its_calls_again(tmp_path: Path) -> None:
    names = [f"call-{n}" for n in range(10)]
    for packets in (
        [media(name, T0 + 500) for name in names],
        [invite(name, T0 + 3000) for name in names],
        [invite(name, T0 + 2000) for name in names] + [media(name, T0 + 9000, 2) for name in names],
    ):
        bucket = Bucket(tmp_path)
        append(bucket, packets)
        bucket.close()
    found = ask(
        tmp_path,
        "SELECT DISTINCT sip_messages, rtp_packets, rtp_streams, first_us, last_us, invite_us, method FROM call_meta",
    )
    assert found == [(2, 2, 1, T0 + 500, T0 + 9000, T0 + 2000, "INVITE")]
    assert ask(tmp_path, "SELECT count(*) FROM streams") == [(10,)]


def test_more_calls_than_are_remembered_are_told_apart(tmp_path: Path, bucket: Bucket) -> None:
    names = [f"{n:05}" for n in range(70_000)]  # CALLS_MAX of index.c is 65,536
    for packets in ([invite(name, T0) for name in names], [invite(name, T0 + 1, "BYE") for name in names]):
        append(bucket, packets)
    rows = ask(tmp_path, "SELECT count(*), min(sip_messages), max(sip_messages), count(bye_us) FROM call_meta")
    assert rows == [(len(names), 2, 2, len(names))]


def test_a_failed_commit_leaves_nothing_and_may_be_tried_again(tmp_path: Path, bucket: Bucket) -> None:
    append(bucket, [invite("a", T0)])
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.execute(
            "CREATE TRIGGER no BEFORE INSERT ON sip_msgs WHEN new.method = 'BYE' "
            "BEGIN SELECT RAISE(ABORT, 'no BYE today'); END"
        )
    end = bucket.octets
    again = [portion for _, portion in portions_of([invite("b", T0), invite("a", T0 + 1, "BYE")], Subdirs.NONE)]
    with pytest.raises(StorageError, match="no BYE today"):
        bucket.append(again)
    assert bucket.octets == end
    assert ask(tmp_path, "SELECT call_id, sip_messages FROM call_meta") == [("a", 1)]
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.execute("DROP TRIGGER no")
    bucket.append(again)
    assert dict(ask(tmp_path, _SIP_ROWS)) == {"a": 2, "b": 1}
    assert dict(ask(tmp_path, "SELECT call_id, sip_messages FROM call_meta")) == {"a": 2, "b": 1}
    assert (tmp_path / DATA).stat().st_size == bucket.octets


def test_data_that_no_row_knows_is_cut_and_data_that_is_missing_is_refused(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path)
    append(bucket, [invite("a", T0)])
    end = bucket.octets
    bucket.close()
    with (tmp_path / DATA).open("ab") as file:
        file.write(b"a write that a crash cut short")
    Bucket(tmp_path).close()
    assert (tmp_path / DATA).stat().st_size == end
    os.truncate(tmp_path / DATA, end - 1)
    with pytest.raises(UnfitBucket, match=f"ends at octet {end - 1}"):
        Bucket(tmp_path)


@pytest.mark.parametrize(
    "garbage", [b"not a database, but as long as the header of one would be" * 40, b"SQLite format 3\0"]
)
def test_an_index_that_is_none_is_refused_by_name(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / DATABASE).write_bytes(garbage)
    with pytest.raises(UnfitBucket, match=str(tmp_path / DATABASE)):
        Index(tmp_path / DATABASE)


def test_an_older_index_is_not_written_any_further(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as old:
        old.execute("PRAGMA user_version = 1")
    with pytest.raises(UnfitBucket, match="version 1 is read, not written"):
        Index(tmp_path / DATABASE)


def digests_of(directory: Path) -> dict[str, CallDigest]:
    """Gather the messages of a bucket in plain Python, in the order they are stored in."""
    found: dict[str, CallDigest] = {}
    for block in iter_blocks(directory / DATA):
        assert isinstance(block, Block)
        if block.header.kind != KIND_MESSAGES:
            continue
        for _, message in block.messages():
            filed_us = message.arrival_us if message.clock_skew else message.time_us
            one = digest_of(message.call_id, parse_head(message.payload), filed_us, message.src, message.dst)
            if message.call_id in found:
                found[message.call_id].merge(one)
            else:
                found[message.call_id] = one
    return found


def test_calls_are_summed_up_in_c_as_in_python(tmp_path: Path) -> None:
    import_files(sorted(need(SHARED).glob("*.pcap*")), tmp_path, Subdirs.DAILY)
    columns = ", ".join(CallDigest.__struct_fields__)
    calls = 0
    for path in find_buckets(tmp_path):
        expected = digests_of(tmp_path / path)
        for row in ask(tmp_path / path, f"SELECT {columns} FROM call_meta WHERE sip_messages > 0"):
            found = read_digest(row)
            wanted = expected.pop(found.call_id)
            # Media widens the span; what the messages say is the rest.
            assert found.first_us <= wanted.first_us
            assert found.last_us >= wanted.last_us
            found.first_us, found.last_us = wanted.first_us, wanted.last_us
            assert found == wanted
            calls += 1
        assert expected == {}
    assert calls > 100


def test_a_reindexed_bucket_says_the_same(tmp_path: Path) -> None:
    import_files(sorted(need(SHARED).glob("*.pcap*")), tmp_path, Subdirs.DAILY)
    # Not its number, which is the bucket's own, nor what is spare, which tells how the row grew.
    columns = ", ".join(
        row[0]
        for row in ask(tmp_path / next(iter(find_buckets(tmp_path))), "SELECT name FROM pragma_table_info('call_meta')")
        if row[0] not in ("id", "spare")
    )
    queries = (
        f"SELECT {columns} FROM call_meta ORDER BY call_id",
        "SELECT c.call_id, m.t0_us, p.src, p.dst, m.method, m.status, m.cseq, m.block, m.position FROM sip_msgs m "
        "JOIN call_meta c ON c.id = m.call JOIN paths p ON p.id = m.path ORDER BY m.block, m.position",
        "SELECT c.call_id, s.leg, s.src, s.dst, s.ssrc, m.* FROM media_msgs m JOIN streams s ON s.id = m.stream "
        "JOIN call_meta c ON c.id = s.call ORDER BY m.block",
        "SELECT value FROM state WHERE name = 'end'",
    )
    for path in find_buckets(tmp_path):
        directory = tmp_path / path
        before = [ask(directory, query) for query in queries]
        (directory / DATABASE).unlink()
        assert reindex_bucket(directory).damage == []
        after = [ask(directory, query) for query in queries]
        for one in (before, after):
            # Numbers of calls and streams are the bucket's own.
            one[2] = [(*row[:5], *row[7:]) for row in one[2]]
        assert after == before
