"""Media erased in place: packets gone, space free, signalling whole, at every instant of a crash."""

import ctypes
import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from buckets import T0_US, call, record
from older import write_v1
from portions import invite, media, portions_of
from reference import block as reference
from sipflow.errors import NewerFormat, StorageError
from sipflow.storage import erasure, index
from sipflow.storage.block import Block, Damage, iter_blocks
from sipflow.storage.bucket import Bucket
from sipflow.storage.contents import Contents
from sipflow.storage.erasure import erase_media
from sipflow.storage.layout import DATA, DATABASE, find_buckets
from sipflow.storage.reindex import reindex_bucket
from sipflow.storage.seal import broken_seal, read_seal
from sipflow.storage.sealed import erased_us, octets_listed, octets_of
from sipflow.storage.span import Span, Stretch, spans
from sipflow.storage.verify import verify_bucket

WHEN = T0_US + 1


class Dies(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bucket of ten calls whose messages and media lie between each other."""
    root = tmp_path_factory.mktemp("erasure") / "root"
    frames = [one for n in range(10) for one in call(f"call-{n}", T0_US + n * 7_000_000, packets=400)]
    record(root, frames)
    (path,) = find_buckets(root)
    return root / path


@pytest.fixture
def bucket(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "bucket"))


def walk(bucket: Path) -> list[Span]:
    with (bucket / DATA).open("rb") as file:
        return list(spans(file.fileno()))


def blocks(bucket: Path, kind: int) -> list[bytes]:
    found = list(iter_blocks(bucket / DATA))
    assert not [one for one in found if isinstance(one, Damage)]
    return [one.content for one in found if isinstance(one, Block) and one.header.kind == kind]


def rows(bucket: Path, question: str) -> list[Any]:
    database = sqlite3.connect(f"{(bucket / DATABASE).as_uri()}?immutable=1", uri=True)
    found = database.execute(question).fetchall()
    database.close()
    return found


def occupied(bucket: Path) -> int:
    return (bucket / DATA).stat().st_blocks * 512


def assert_erased(bucket: Path, before: Path) -> None:
    """Compare an erased bucket with what it was."""
    messages = blocks(before, 1)
    assert messages
    assert blocks(bucket, 1) == messages
    assert blocks(bucket, 2) == []
    assert (bucket / DATA).stat().st_size == walk(before)[-1].end + (0 if walk(before)[-1].what is Stretch.SEAL else 56)
    assert {one.what for one in walk(bucket)} == {Stretch.MESSAGES, Stretch.ERASED, Stretch.SEAL}
    assert broken_seal(bucket) == ""
    assert read_seal(bucket / DATA).records == len(rows(bucket, "SELECT * FROM sip_msgs"))
    octets = (bucket / DATA).read_bytes()
    for span in walk(bucket):
        if span.what is Stretch.ERASED:
            assert octets[span.offset + 8 : span.offset + 12] == b"SFER"
            assert not any(octets[span.offset + 12 : span.end])
    assert rows(bucket, "SELECT count(*) FROM media_msgs") == [(0,)]
    for same in ("SELECT * FROM call_meta ORDER BY id", "SELECT * FROM sip_msgs ORDER BY id"):
        assert rows(bucket, same) == rows(before, same)
    assert rows(bucket, "PRAGMA integrity_check") == [("ok",)]
    for name in (DATA, DATABASE):
        assert stat.S_IMODE((bucket / name).stat().st_mode) == 0o400
    assert sorted(file.name for file in bucket.iterdir()) == [DATA, DATABASE]


def test_media_is_gone_and_its_space_free(bucket: Path, recorded: Path) -> None:
    kept, media = octets_of(bucket)
    assert octets_listed(bucket) == (kept, media)
    assert media > 400_000
    holes = occupied(bucket)
    left = erase_media(bucket, WHEN)
    assert_erased(bucket, recorded)
    assert left == octets_of(bucket)
    assert octets_listed(bucket) is None  # what is erased still counts in the length of the file
    assert left.rtp == 0
    assert left.sip <= kept + 4096  # the note that it is erased
    # All but the pages that runs share with blocks of messages.
    assert holes - occupied(bucket) > media - 3 * 4096 * len(walk(bucket))
    assert erased_us(bucket) == WHEN
    assert erased_us(recorded) is None
    assert rows(bucket, "SELECT sum(rtp_packets) FROM call_meta") == [(4000,)]
    assert Contents(bucket, sealed=True).totals()[:5] == Contents(recorded, sealed=True).totals()[:5]


def test_stock_zstd_and_the_reference_reader_step_over_it(bucket: Path) -> None:
    expected = b"".join(blocks(bucket, 1))
    erase_media(bucket, WHEN)
    assert {one.kind for one in reference.read((bucket / DATA).read_bytes())} == {1}
    program = shutil.which("zstd")
    if program is None:
        pytest.skip("the zstd program is not installed: apt-get install zstd")
    subprocess.run([program, "-tq", "--format=zstd", bucket / DATA], check=True, timeout=60)
    unpacked = subprocess.run([program, "-dcq", bucket / DATA], check=True, timeout=60, capture_output=True).stdout
    assert unpacked == expected


def test_erasing_again_changes_nothing(bucket: Path, recorded: Path) -> None:
    erase_media(bucket, WHEN)
    before = {name: (bucket / name).stat().st_mtime_ns for name in (DATA, DATABASE)}
    assert erase_media(bucket, WHEN + 1).rtp == 0
    assert {name: (bucket / name).stat().st_mtime_ns for name in (DATA, DATABASE)} == before
    assert erased_us(bucket) == WHEN


def counted(monkeypatch: pytest.MonkeyPatch, last: int) -> Iterator[str]:
    """Let the process die at the `last` of its changes; gives what each change was."""
    made: list[str] = []

    def watch(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any) -> Any:
            if len(made) == last:
                raise Dies
            made.append(name)
            return real(*arguments)

        return change

    monkeypatch.setattr(os, "pwrite", watch("pwrite", os.pwrite))
    monkeypatch.setattr(erasure, "_free", watch("free", erasure._free))
    monkeypatch.setattr(erasure, "_copy", watch("copy", erasure._copy))
    monkeypatch.setattr(erasure, "_sync", watch("sync", erasure._sync))
    monkeypatch.setattr(Path, "chmod", watch("chmod", Path.chmod))
    monkeypatch.setattr(Path, "replace", watch("replace", Path.replace))
    yield from made


def test_a_crash_at_any_instant_loses_no_signalling_and_is_finished_later(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = blocks(recorded, 1)
    bucket, done, instant = tmp_path / "bucket", False, 0
    while not done:
        shutil.rmtree(bucket, ignore_errors=True)
        shutil.copytree(recorded, bucket)
        with monkeypatch.context() as patch:
            changes = counted(patch, instant)
            next(changes, None)
            try:
                erase_media(bucket, WHEN, longest=60_000)
                done = True
            except Dies:
                pass
        assert blocks(bucket, 1) == messages, instant
        assert {one.what for one in walk(bucket)} <= {Stretch.MESSAGES, Stretch.STREAM, Stretch.ERASED, Stretch.SEAL}
        assert (
            octets_of(bucket).sip - (bucket / DATABASE).stat().st_size
            == octets_of(recorded).sip - (recorded / DATABASE).stat().st_size
        )
        erase_media(bucket, WHEN, longest=60_000)
        assert_erased(bucket, recorded)
        instant += 1
    assert instant > 20


@pytest.mark.parametrize("longest", [1, 20_000, 100_000])
def test_long_runs_are_split_at_blocks(bucket: Path, recorded: Path, longest: int) -> None:
    ends = {span.end for span in walk(bucket)}
    erase_media(bucket, WHEN, longest=longest)
    assert_erased(bucket, recorded)
    erased = [span for span in walk(bucket) if span.what is Stretch.ERASED]
    assert {span.end for span in erased} <= ends
    biggest = max(span.length for span in walk(recorded))
    assert all(span.length <= max(longest, biggest) for span in erased)


def test_damaged_media_is_erased_too_and_damaged_messages_are_left(bucket: Path, recorded: Path) -> None:
    before = walk(bucket)
    streams = [span for span in before if span.what is Stretch.STREAM]
    (bucket / DATA).chmod(0o600)
    octets = bytearray((bucket / DATA).read_bytes())
    broken = next(span for span in before if span.what is Stretch.MESSAGES)
    # Damage that touches it could be of either.
    apart = [span for span in streams if broken.offset != span.end and broken.end != span.offset]
    octets[apart[3].offset + 9] ^= 0xFF  # its header
    octets[apart[5].offset + 90] ^= 0xFF  # its frame
    octets[broken.offset + 9] ^= 0xFF
    (bucket / DATA).write_bytes(octets)
    erase_media(bucket, WHEN)
    after = (bucket / DATA).read_bytes()
    assert after[broken.offset : broken.end] == octets[broken.offset : broken.end]
    for span in streams:
        assert not any(after[span.offset + 12 : span.end])
    found = [one.what for one in walk(bucket)]
    assert found.count(Stretch.DAMAGE) == 1
    assert Stretch.STREAM not in found


def test_damage_that_reaches_into_messages_is_erased_up_to_them(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    writer = Bucket(bucket)
    for packet in (invite("a", T0_US), media("a", T0_US + 1), invite("a", T0_US + 2, "BYE"), media("a", T0_US + 3, 2)):
        writer.append([portion for _, portion in portions_of([packet])])
    writer.seal()
    before = walk(bucket)
    stream, messages = next(
        (one, two) for one, two in pairwise(before) if (one.what, two.what) == (Stretch.STREAM, Stretch.MESSAGES)
    )
    (bucket / DATA).chmod(0o600)
    octets = bytearray((bucket / DATA).read_bytes())
    for span in (stream, messages):
        octets[span.offset + 9] ^= 0xFF
    (bucket / DATA).write_bytes(octets)
    assert [one.length for one in walk(bucket) if one.what is Stretch.DAMAGE] == [stream.length + messages.length]
    erase_media(bucket, WHEN)
    after = (bucket / DATA).read_bytes()
    assert not any(after[stream.offset + 12 : stream.end])
    assert after[messages.offset : messages.end] == octets[messages.offset : messages.end]


def test_a_file_system_without_holes_gets_zeros(bucket: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        ctypes.set_errno(95)
        return -1

    class Without:
        fallocate = staticmethod(refuse)

    monkeypatch.setattr(erasure, "_libc", Without)
    erase_media(bucket, WHEN)
    assert_erased(bucket, recorded)


def test_a_disk_that_fails_is_an_error_with_its_reason(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> int:
        ctypes.set_errno(5)
        return -1

    class Failing:
        fallocate = staticmethod(fail)

    monkeypatch.setattr(erasure, "_libc", Failing)
    with pytest.raises(StorageError, match="Input/output error"):
        erase_media(bucket, WHEN)
    assert erased_us(bucket) is None


@pytest.fixture
def bucket_of_version_1(bucket: Path) -> Path:
    """As version 0.1.0 left it: blocks are listed, every row repeats its stream, and there is no seal."""
    write_v1(bucket)
    return bucket


def test_an_index_of_version_1_loses_its_media_rows_only(bucket_of_version_1: Path, tmp_path: Path) -> None:
    bucket = bucket_of_version_1
    before = Path(shutil.copytree(bucket, tmp_path / "before"))
    assert octets_listed(bucket) == octets_of(bucket)
    assert octets_of(bucket).rtp > 400_000
    assert erase_media(bucket, WHEN) == octets_of(bucket)
    assert_erased(bucket, before)
    assert rows(bucket, "SELECT * FROM blocks") == rows(before, "SELECT * FROM blocks WHERE kind = 1") != []
    assert rows(bucket, "PRAGMA user_version") == [(1,)]
    names = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
    assert rows(bucket, names) == rows(before, names)
    assert verify_bucket(bucket.parent, Path(bucket.name)).findings == []
    reindex_bucket(bucket)
    assert rows(bucket, "PRAGMA user_version") == [(2,)]
    assert erased_us(bucket) == WHEN
    assert verify_bucket(bucket.parent, Path(bucket.name)).findings == []


def test_a_rebuilt_index_keeps_the_names_of_streams(bucket: Path, recorded: Path) -> None:
    names = (
        "SELECT call_id, leg, s.src, s.dst, ssrc FROM streams s JOIN call_meta c ON c.id = call ORDER BY 1, 2, 3, 4, 5"
    )
    erase_media(bucket, WHEN)
    assert rows(bucket, names) == rows(recorded, names) != []
    reindex_bucket(bucket)
    assert rows(bucket, names) == rows(recorded, names)


def test_an_erased_bucket_is_sound_and_damage_in_it_is_found(bucket: Path, recorded: Path) -> None:
    assert verify_bucket(recorded.parent, Path(recorded.name)).findings == []
    erase_media(bucket, WHEN)
    checked = verify_bucket(bucket.parent, Path(bucket.name))
    assert (checked.findings, checked.records) == ([], 30)
    assert broken_seal(bucket) == ""
    state = "SELECT name, value FROM state WHERE name <> 'replay_from' ORDER BY 1"
    stood = dict(rows(bucket, state))
    assert (stood["rtp_octets"], stood["blocks"]) == (0, checked.blocks)
    reindex_bucket(bucket)
    assert verify_bucket(bucket.parent, Path(bucket.name)).findings == []
    assert {**dict(rows(bucket, state)), "end": 0} == {**stood, "end": 0}
    (bucket / DATABASE).chmod(0o600)
    database = sqlite3.connect(bucket / DATABASE)
    database.execute("DELETE FROM sip_msgs WHERE id = (SELECT max(id) FROM sip_msgs)")
    database.commit()
    database.close()
    found = verify_bucket(bucket.parent, Path(bucket.name)).findings
    assert any("checksum" in one.what or "octets; when" in one.what for one in found)
    assert any("message rows" in one.what for one in found)


def test_an_index_that_was_damaged_before_is_not_sealed_as_sound(bucket: Path) -> None:
    (bucket / DATABASE).chmod(0o600)
    database = sqlite3.connect(bucket / DATABASE)
    database.execute("UPDATE sip_msgs SET position = position + 1 WHERE id = (SELECT max(id) FROM sip_msgs)")
    database.commit()
    database.close()
    assert broken_seal(bucket)
    erase_media(bucket, WHEN)
    assert octets_of(bucket).rtp == 0
    assert broken_seal(bucket)


def test_the_octets_of_streams_are_counted_as_they_are_written(bucket: Path) -> None:
    counted = "SELECT value FROM state WHERE name = 'rtp_octets'"
    assert rows(bucket, counted) == [(octets_of(bucket).rtp,)]
    reindex_bucket(bucket)
    assert rows(bucket, counted) == [(octets_of(bucket).rtp,)]


def test_an_index_of_a_later_version_is_refused_and_nothing_touched(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    octets = (bucket / DATA).read_bytes()
    (bucket / DATABASE).chmod(0o600)
    database = sqlite3.connect(bucket / DATABASE)
    database.execute("PRAGMA user_version = 3")
    database.close()
    with pytest.raises(NewerFormat):
        erase_media(bucket, WHEN)
    monkeypatch.setattr(index, "SCHEMA_VERSION", 3)
    with pytest.raises(NewerFormat, match="index version 3; this sipflow erases from"):
        erase_media(bucket, WHEN)
    assert (bucket / DATA).read_bytes() == octets


def test_a_rebuilt_index_still_says_what_was_erased(bucket: Path, recorded: Path) -> None:
    erase_media(bucket, WHEN)
    counts = rows(bucket, "SELECT call_id, first_us, last_us, rtp_packets, rtp_streams FROM call_meta ORDER BY 1")
    assert reindex_bucket(bucket).damage == []
    assert erased_us(bucket) == WHEN
    assert (
        rows(bucket, "SELECT call_id, first_us, last_us, rtp_packets, rtp_streams FROM call_meta ORDER BY 1") == counts
    )
    (bucket / DATABASE).chmod(0o600)
    (bucket / DATABASE).write_bytes(b"not a database" * 1000)
    (bucket / DATABASE).chmod(0o400)
    changed_ns = (bucket / DATA).stat().st_mtime_ns
    reindex_bucket(bucket)
    assert erased_us(bucket) == changed_ns // 1000
    assert sorted(Contents(bucket, sealed=True).call_ids()) == sorted(Contents(recorded, sealed=True).call_ids())
