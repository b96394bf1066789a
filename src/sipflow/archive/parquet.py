"""The calls of a sealed part as a Parquet file: typed, compressed, in order of time."""

import contextlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Final

from sipflow.archive.call_rows import arrow_schema, batches
from sipflow.archive.columns import partition_of
from sipflow.archive.extra import extra
from sipflow.errors import StorageError
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.index import connect

FILE: Final = "calls.parquet"
# Engines skip groups by the times they hold, and read several at once; one is held in memory while it is written.
ROWS_A_GROUP: Final = 65_536
# Parts of a path, last to first, that may belong to a part of a data root: YYYY/MM/DD/HH/part-NNNN.
_DEPTHS: Final = (5, 4, 3)


def write_calls(database: Path, node: str, target: Path) -> int:
    """Write a row per call of a sealed index to `target`, which appears whole, by rename; gives how many there are.

    `node` goes into the metadata of the file. Needs memory for a group of rows, however many calls there are. Raises
    StorageError, MissingExtra without pyarrow.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            rows = write_table(database, node, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        raise StorageError("write", target, error.strerror or str(error)) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return rows


def write_table(database: Path, node: str, file: BinaryIO, *, sealed: bool = True) -> int:
    """Write a row per call of an index to an open file; the rest as `write_calls`. Raises OSError besides."""
    try:
        with closing(connect(database, readonly=True, immutable=sealed)) as index:
            return write_index(index, part_of(database.parent), node, file)
    except UNREADABLE as error:
        raise StorageError("read", database, str(error)) from None


def write_index(index: sqlite3.Connection, part: str, node: str, file: BinaryIO) -> int:
    """Write a row per call of an open index to an open file; gives how many. Raises what UNREADABLE lists, OSError."""
    arrow, parquet = extra("pyarrow"), extra("pyarrow.parquet")
    rows = 0
    with parquet.ParquetWriter(file, arrow_schema(node), compression="zstd", version="2.6") as writer:
        group: list[Any] = []
        held = 0
        for batch in batches(index, part):
            group.append(batch)
            held += batch.num_rows
            if held >= ROWS_A_GROUP:
                writer.write_table(arrow.Table.from_batches(group), row_group_size=held)
                rows, held, group = rows + held, 0, []
        if group:
            writer.write_table(arrow.Table.from_batches(group), row_group_size=held)
    return rows + held


def part_of(directory: Path) -> str:
    """Tell which part a directory is by its last names, wherever its root lies; empty when it is none."""
    for depth in _DEPTHS:
        part = "/".join(directory.parts[-depth:])
        try:
            partition_of("", part)
        except ValueError:
            continue
        return part
    return ""
