"""Buckets as earlier versions left them."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sipflow.storage.block import Block, iter_blocks
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.seal import read_seal

_SCHEMA = Path(__file__).parent / "reference" / "index_v1.sql"


def write_v1(directory: Path) -> None:
    """Put an index of version 1 in the place of the one that stands there, with the same rows."""
    database = directory / DATABASE
    database.chmod(0o600)
    database.rename(directory / "today.db")
    with closing(sqlite3.connect(database, isolation_level=None)) as old:
        old.executescript(_SCHEMA.read_text("utf-8"))
        old.execute("ATTACH ? AS today", [str(directory / "today.db")])
        old.execute("INSERT INTO call_meta SELECT * FROM today.call_meta")
        for block in iter_blocks(directory / DATA):
            assert isinstance(block, Block)
            head = block.header
            row = [block.offset, head.length, head.kind, head.records, head.t0_us, head.t1_us, head.chunk]
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
        old.execute("PRAGMA user_version = 1")
    (directory / "today.db").unlink()
    database.chmod(0o400)


def strip_seal(directory: Path) -> None:
    """Take the seal off a bucket: version 0.1.0 had none."""
    end = read_seal(directory / DATA).end
    (directory / DATA).chmod(0o600)
    os.truncate(directory / DATA, end)
    (directory / DATA).chmod(0o400)
