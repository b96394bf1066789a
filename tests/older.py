"""Buckets as earlier versions left them."""

import os
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import msgspec
import zstandard

from sipflow._fast import crc32c
from sipflow.storage.block import Block, iter_blocks
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.seal import read_seal
from sipflow.wire.packet import Message

_SCHEMA = Path(__file__).parent / "reference" / "index_v1.sql"
_MESSAGE = struct.Struct("<qqIiHHBBHI")


def message_v1(message: Message) -> bytes:
    """Write a message as version 0.1.0 did, with its head before it (transform 0)."""
    call_id, src, dst = message.call_id.encode(), message.src, message.dst
    flags = (message.leg is not None) + 2 * message.clock_skew
    head = _MESSAGE.pack(
        message.time_us, message.arrival_us, message.client_id, message.leg or 0, src.port, dst.port, src.family, flags,
        len(call_id), len(message.payload),
    )  # fmt: skip
    return head + src.packed + dst.packed + call_id + message.payload


def _write_data_v1(directory: Path) -> tuple[dict[int, int], dict[tuple[int, int], int]]:
    """Write data.raw anew as version 0.1.0 did; gives the new places of blocks, and of messages in them."""
    data = directory / DATA
    before = data.read_bytes()
    after, blocks, positions = b"", dict[int, int](), dict[tuple[int, int], int]()
    for block in iter_blocks(data):
        assert isinstance(block, Block)
        blocks[block.offset] = len(after)
        if block.header.kind != 1:
            after += before[block.offset :][: block.header.length]
            continue
        content = b""
        for position, message in block.messages():
            positions[block.offset, position] = len(content)
            content += message_v1(message)
        frame = zstandard.compress(content)
        after += msgspec.structs.replace(
            block.header, transform=0, raw_length=len(content), frame_length=len(frame), frame_crc=crc32c(frame)
        ).encoded
        after += frame
    data.chmod(0o600)
    data.write_bytes(after)
    data.chmod(0o400)
    return blocks, positions


def write_v1(directory: Path) -> None:
    """Make a sealed bucket one of version 0.1.0, with the same records: no seal, an index of version 1."""
    strip_seal(directory)
    offsets, positions = _write_data_v1(directory)
    database = directory / DATABASE
    database.chmod(0o600)
    database.rename(directory / "today.db")
    with closing(sqlite3.connect(database, isolation_level=None)) as old:
        old.executescript(_SCHEMA.read_text("utf-8"))
        old.execute("ATTACH ? AS today", [str(directory / "today.db")])
        columns = ", ".join(name for (name,) in old.execute("SELECT name FROM pragma_table_info('call_meta', 'main')"))
        old.execute(f"INSERT INTO call_meta ({columns}) SELECT {columns} FROM today.call_meta")
        for block in iter_blocks(directory / DATA):
            assert isinstance(block, Block)
            head = block.header
            row: list[object] = [block.offset, head.length, head.kind, head.records, head.t0_us, head.t1_us, head.chunk]
            old.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        old.execute(
            "INSERT INTO sip_msgs SELECT row_number() OVER (ORDER BY block, position), call, t0_us, "
            "src, dst, method, status, cseq, block, position "
            "FROM today.sip_msgs m JOIN today.paths p ON p.id = m.path"
        )
        old.execute(
            "INSERT INTO media_msgs SELECT m.id, call, t0_us, t0_us + span_us, leg, src, dst, ssrc, payload_type, "
            "packets, lost, jitter_us, first_seq, last_seq, block "
            "FROM today.media_msgs m JOIN today.streams s ON s.id = m.stream"
        )
        rows = old.execute("SELECT id, block, position FROM sip_msgs").fetchall()
        old.executemany(
            "UPDATE sip_msgs SET block = ?, position = ? WHERE id = ?",
            [(offsets[block], positions[block, position], number) for number, block, position in rows],
        )
        rows = old.execute("SELECT id, block FROM media_msgs").fetchall()
        old.executemany(
            "UPDATE media_msgs SET block = ? WHERE id = ?", [(offsets[block], number) for number, block in rows]
        )
        old.execute("PRAGMA user_version = 1")
    (directory / "today.db").unlink()
    database.chmod(0o400)


def strip_seal(directory: Path) -> None:
    """Take the seal off a bucket: version 0.1.0 had none."""
    end = read_seal(directory / DATA).end
    (directory / DATA).chmod(0o600)
    os.truncate(directory / DATA, end)
    (directory / DATA).chmod(0o400)
