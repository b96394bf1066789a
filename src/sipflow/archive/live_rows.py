"""Calls that were just summed up, as rows of the table: they pass through the tables of an index, as all others do."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib import resources
from typing import BinaryIO, Final

from sipflow.archive.parquet import write_index
from sipflow.query.listed import Listed, Worst
from sipflow.storage.index import SCHEMA_VERSION
from sipflow.wire.dialog import CallDigest

_COLUMNS: Final = (*CallDigest.__struct_fields__, "rtp_packets", "rtp_streams", *Worst._fields)
_INSERT: Final = f"INSERT INTO call_meta ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def write_live(calls: Sequence[Listed], node: str, file: BinaryIO) -> int:
    """Write a row per call to an open Parquet file; gives how many. Their column `part` is empty."""
    with closing(sqlite3.connect(":memory:")) as index:
        index.executescript(resources.files("sipflow.storage").joinpath("schema.sql").read_text("utf-8"))
        index.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        index.executemany(_INSERT, (_row(one) for one in calls))
        return write_index(index, "", node, file)


def _row(call: Listed) -> tuple[object, ...]:
    digest = (getattr(call.digest, name) for name in CallDigest.__struct_fields__)
    return (*digest, call.rtp_packets, len(call.streams), *call.worst)
