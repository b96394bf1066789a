"""What a sealed bucket says of itself as a whole; nothing here writes."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sipflow.errors import StorageError
from sipflow.storage.index import connect
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.span import Stretch, spans
from sipflow.storage.swap import pair_of

# The one kind that can be erased: that of stream blocks.
ERASED_KIND = 2


class Octets(NamedTuple):
    """What a bucket occupies: stream blocks, and the rest of data.raw with the index."""

    sip: int
    rtp: int


def is_sealed(directory: Path) -> bool:
    """Tell whether the bucket in a directory is sealed: its data is read-only then. False when there is none."""
    try:
        return (directory / DATA).stat().st_mode & 0o200 == 0
    except OSError:
        return False


def erased_us(directory: Path) -> int | None:
    """Tell when the media of a sealed bucket was erased, None when it was not. Raises StorageError."""
    when: int | None = _ask(directory, _erased_us)
    return when


def packed_us(directory: Path) -> int | None:
    """Tell when a sealed bucket was packed, None when it was not. Raises StorageError."""
    when: int | None = _ask(directory, _packed_us)
    return when


def octets_listed(directory: Path) -> Octets | None:
    """Count the octets of a sealed bucket by kind as its index counts its blocks; None when it cannot tell.

    Raises StorageError.
    """

    def add_up(index: sqlite3.Connection) -> Octets | None:
        if _erased_us(index) is not None:
            return None
        kept = "SELECT sum(length) FROM blocks WHERE kind = ?"
        if not has_table(index, "blocks"):
            kept = "SELECT value FROM state WHERE name = 'rtp_octets' AND ?"
        row = index.execute(kept, [ERASED_KIND]).fetchone()
        if row is None:
            return None
        rtp = row[0] or 0
        return Octets(sum((directory / name).stat().st_size for name in (DATA, DATABASE)) - rtp, rtp)

    found: Octets | None = _ask(directory, add_up)
    return found


def octets_of(directory: Path, pace: Callable[[], None] = lambda: None) -> Octets:
    """Count the octets of a sealed bucket by kind, from the headers of its blocks. Raises StorageError.

    What is erased counts as nothing, however long its span.
    """
    data = directory / DATA
    try:
        file = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sip = (directory / DATABASE).stat().st_size
            rtp = 0
            for span in spans(file, pace):
                if span.what is Stretch.STREAM:
                    rtp += span.length
                elif span.what is not Stretch.ERASED:
                    sip += span.length
        finally:
            os.close(file)
    except OSError as error:
        raise StorageError("read", data, error.strerror or str(error)) from None
    return Octets(sip, rtp)


def _erased_us(index: sqlite3.Connection) -> int | None:
    if not has_table(index, "erased"):
        return None
    row = index.execute("SELECT erased_us FROM erased WHERE kind = ?", [ERASED_KIND]).fetchone()
    return None if row is None else int(row[0])


def _packed_us(index: sqlite3.Connection) -> int | None:
    if not has_table(index, "state"):
        return None
    row = index.execute("SELECT value FROM state WHERE name = 'packed'").fetchone()
    return None if row is None else int(row[0])


def has_table(index: sqlite3.Connection, name: str, of: str = "main") -> bool:
    """Tell whether an open index, or one attached to it as `of`, has a table."""
    return bool(index.execute("SELECT 1 FROM pragma_table_info(?, ?)", [name, of]).fetchone())


def _ask(directory: Path, question: Callable[[sqlite3.Connection], Any]) -> Any:
    database = pair_of(directory).database
    index = connect(database, readonly=True, immutable=True)
    try:
        return question(index)
    except (sqlite3.Error, OSError) as error:
        raise StorageError("read", database, str(error)) from None
    finally:
        index.close()
