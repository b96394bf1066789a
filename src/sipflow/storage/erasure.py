"""Erasing the media of a sealed bucket in place: its packets go, its calls and their signalling stay."""

import ctypes
import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sipflow.errors import DamagedSeal, NewerFormat, StorageError
from sipflow.storage.index import connect
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.seal import broken_seal, checksum, index_against, read_seal, write_seal
from sipflow.storage.sealed import ERASED_KIND, Octets, erased_us, has_table, octets_of
from sipflow.storage.span import ERASED_MAGIC, ERASED_NAME, FRAME, FRAME_MAX, Run, Stretch, spans, stream_runs

# What of each table stays, by version of the index; a table that is not named stays whole. call_meta goes on counting
# what was recorded.
_KEPT = {
    1: {"media_msgs": "0", "blocks": f"kind <> {ERASED_KIND}"},
    2: {"media_msgs": "0"},
}
# What version 2 counts of the blocks that stand.
_COUNTED = {
    1: (),
    2: (
        "UPDATE state SET value = (SELECT count(DISTINCT block) FROM sip_msgs) WHERE name = 'blocks'",
        "UPDATE state SET value = 0 WHERE name = 'rtp_octets'",
    ),
}
# Without those that are reckoned from others.
_STORED_COLUMNS = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0"
# Where the index knows blocks of streams, and of messages.
_STREAMS = "SELECT DISTINCT block FROM media_msgs ORDER BY block"
_MESSAGES = "SELECT DISTINCT block FROM sip_msgs ORDER BY block"
_ERASED_TABLE = "CREATE TABLE IF NOT EXISTS erased (kind INTEGER PRIMARY KEY, erased_us INTEGER NOT NULL)"
_CARRY_COUNTS = """
UPDATE call_meta SET rtp_packets = coalesce(o.rtp_packets, 0), rtp_streams = coalesce(o.rtp_streams, 0),
    first_us = min(call_meta.first_us, o.first_us), last_us = max(call_meta.last_us, o.last_us)
FROM old.call_meta o WHERE o.call_id = call_meta.call_id
"""
# Calls that were known by their media alone.
_CARRY_SILENT = """
INSERT INTO call_meta (call_id, first_us, last_us, rtp_packets, rtp_streams)
SELECT call_id, first_us, last_us, coalesce(rtp_packets, 0), coalesce(rtp_streams, 0) FROM old.call_meta o
WHERE sip_messages = 0 AND call_id NOT IN (SELECT call_id FROM call_meta)
"""
# How bad their media was; version 1 did not say.
_CARRY_WORST = """
UPDATE call_meta SET loss_percent = o.loss_percent, jitter_us = o.jitter_us, mos = o.mos, mos_scale = o.mos_scale,
    one_way = o.one_way
FROM old.call_meta o WHERE o.call_id = call_meta.call_id
"""
# Version 2 names streams apart from their chunks.
_CARRY_STREAMS = """
INSERT INTO streams (call, leg, src, dst, ssrc)
SELECT c.id, s.leg, s.src, s.dst, s.ssrc
FROM old.streams s JOIN old.call_meta o ON o.id = s.call JOIN call_meta c ON c.call_id = o.call_id
EXCEPT SELECT call, leg, src, dst, ssrc FROM streams
"""
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h
_ZEROS = bytes(1 << 20)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def erase_media(
    directory: Path, when_us: int, pace: Callable[[], None] = lambda: None, longest: int = FRAME_MAX
) -> Octets:
    """Erase every stream block of a sealed bucket and the rows about them; gives the octets that are left by kind.

    May be stopped at any instant and begun again. Every run of stream blocks becomes one skippable frame first, so that
    whoever walks data.raw steps over it; then its octets are given back to the file system; then the index is replaced
    by one without media, and the seal made anew. A reader that has the old index open finds frames where it looks for
    blocks: it must ask the catalog, which knows before anything here begins. Raises StorageError.
    """
    data = directory / DATA
    try:
        # An index that was damaged before keeps a seal that says so.
        sealable = erased_us(directory) is not None or not broken_seal(directory)
        if erased_us(directory) is None or octets_of(directory, pace).rtp:
            _erase_blocks(directory, pace, longest)
            _replace_index(directory / DATABASE, when_us)
        if sealable and not _seal_fits(directory):
            _seal_again(directory)
        return octets_of(directory, pace)
    except OSError as error:
        raise StorageError("erase", data, error.strerror or str(error)) from None
    except sqlite3.Error as error:
        raise StorageError("erase", directory / DATABASE, str(error)) from None


def _erase_blocks(directory: Path, pace: Callable[[], None], longest: int) -> None:
    """Erase the stream blocks of data.raw."""
    streams, messages = _known_blocks(directory / DATABASE)
    file = _open_sealed(directory / DATA)
    try:
        runs = [run for run in stream_runs(spans(file, pace), streams, messages, longest) if run.length >= FRAME.size]
        for run in runs:
            head = FRAME.pack(ERASED_MAGIC, run.length - 8, ERASED_NAME)
            if os.pread(file, FRAME.size, run.offset) != head:
                os.pwrite(file, head, run.offset)
        # All frames stand on the disk before the first octet behind one goes.
        os.fdatasync(file)
        for run in runs:
            pace()
            _free(file, run)
        os.fsync(file)
    finally:
        os.close(file)


def _known_blocks(database: Path) -> tuple[list[int], list[int]]:
    index = connect(database, readonly=True, immutable=True)
    try:
        version = index.execute("PRAGMA user_version").fetchone()[0]
        if version not in _KEPT:
            raise NewerFormat("erase", database, f"index version {version}; this sipflow erases from {sorted(_KEPT)}")
        streams, messages = ([row[0] for row in index.execute(question)] for question in (_STREAMS, _MESSAGES))
    finally:
        index.close()
    return streams, messages


def _open_sealed(data: Path) -> int:
    """Open a sealed file for writing; nobody else can."""
    data.chmod(0o600)
    try:
        return os.open(data, os.O_RDWR | os.O_CLOEXEC)
    finally:
        data.chmod(0o400)


def _free(file: int, run: Run) -> None:
    """Give the octets of a run behind the head of its frame back to the file system; from then on they are zeros."""
    offset, length = run.offset + FRAME.size, run.length - FRAME.size
    if length == 0 or _libc.fallocate(file, _KEEP_SIZE | _PUNCH_HOLE, offset, length) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise OSError(code, os.strerror(code))
    # A file system without holes: the packets go all the same, the space only when the bucket does.
    while length > 0:
        written = os.pwrite(file, _ZEROS[: min(length, len(_ZEROS))], offset)
        offset, length = offset + written, length - written


def _replace_index(database: Path, when_us: int) -> None:
    """Put an index without media in the place of a sealed one, by rename; it says that and when media was erased."""
    fresh = database.with_name(f"{DATABASE}.erasing")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    new = sqlite3.connect(fresh.resolve().as_uri(), uri=True, isolation_level=None)
    try:
        # It is nobody's yet: what a crash leaves of it is made anew.
        new.execute("PRAGMA journal_mode = OFF")
        new.execute("PRAGMA synchronous = OFF")
        new.execute("ATTACH ? AS old", [f"{database.resolve().as_uri()}?mode=ro&immutable=1"])
        _copy(new)
        new.execute(_ERASED_TABLE)
        new.execute("INSERT OR IGNORE INTO erased VALUES (?, ?)", [ERASED_KIND, when_us])
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        new.close()
    _sync(fresh)
    fresh.chmod(0o400)
    fresh.replace(database)
    _sync(database.parent)


def _copy(new: sqlite3.Connection) -> None:
    version = new.execute("PRAGMA old.user_version").fetchone()[0]
    kept, counted = _KEPT[version], _COUNTED[version]
    new.execute(f"PRAGMA user_version = {version}")
    new.execute(f"PRAGMA application_id = {new.execute('PRAGMA old.application_id').fetchone()[0]}")
    schema = new.execute("SELECT type, name, sql FROM old.sqlite_schema WHERE sql IS NOT NULL").fetchall()
    tables = [(name, sql) for kind, name, sql in schema if kind == "table" and not name.startswith("sqlite_")]
    new.execute("BEGIN")
    for name, sql in tables:
        new.execute(sql)
        columns = ", ".join(f'"{column}"' for (column,) in new.execute(_STORED_COLUMNS, [name]))
        new.execute(
            f'INSERT INTO main."{name}" ({columns}) SELECT {columns} FROM old."{name}" WHERE {kept.get(name, "1")}'
        )
    for statement in counted:
        new.execute(statement)
    for kind, _, sql in schema:
        if kind != "table":
            new.execute(sql)
    new.execute("COMMIT")


def _seal_fits(directory: Path) -> bool:
    try:
        return not index_against(read_seal(directory / DATA), *checksum(directory / DATABASE))
    except DamagedSeal:
        return False


def _seal_again(directory: Path) -> None:
    index = connect(directory / DATABASE, readonly=True, immutable=True)
    try:
        blocks, records = index.execute("SELECT count(DISTINCT block), count(*) FROM sip_msgs").fetchone()
    finally:
        index.close()
    file = _open_sealed(directory / DATA)
    try:
        write_seal(directory, blocks, records, file)
    finally:
        os.close(file)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def carry_over(directory: Path, fresh: Path) -> None:
    """Let an index rebuilt from data.raw say what the one it replaces knew of media that is erased.

    Where the old one cannot be read, spans erased in data.raw still say that, and its last change when; how many
    packets there were is lost then. Raises StorageError.
    """
    data = directory / DATA
    try:
        since, known = erased_us(directory), True
    except StorageError:
        since, known = None, False
    try:
        if since is None and _has_erased(data):
            since = data.stat().st_mtime_ns // 1000
        if since is None:
            return
        index = sqlite3.connect(f"{fresh.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None)
        try:
            if known:
                index.execute("ATTACH ? AS old", [f"{(directory / DATABASE).resolve().as_uri()}?mode=ro&immutable=1"])
                index.execute(_CARRY_COUNTS)
                index.execute(_CARRY_SILENT)
                if all(has_table(index, "streams", of) for of in ("main", "old")):
                    index.execute(_CARRY_STREAMS)
                    index.execute(_CARRY_WORST)
            index.execute(_ERASED_TABLE)
            index.execute("INSERT OR IGNORE INTO erased VALUES (?, ?)", [ERASED_KIND, since])
        finally:
            index.close()
    except (sqlite3.Error, OSError) as error:
        raise StorageError("write", fresh, str(error)) from None


def _has_erased(data: Path) -> bool:
    file = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return any(span.what is Stretch.ERASED for span in spans(file))
    finally:
        os.close(file)
