"""Where a bucket lies: ROOT/2026/06/01/00/ (UTC), by hour, by day or not at all."""

import enum
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sipflow.clock import SECOND_US, to_datetime

DATABASE = "sipflow.db"
DATA = "data.raw"
CATALOG = "catalog.db"
LOCK = ".lock"
# Held by whoever erases or deletes; the name of what is being deleted; a file that keeps retention away from a part.
SWEEP_LOCK = ".retention.lock"
DELETED = ".deleted-"
HOLD = "hold"
# Inside a bucket: a new pair of its files in the making, and one that counts (storage/swap.py).
PACKING = ".packing"
PACKED = ".packed"
POOL_DIRECTORY = ".pool"
# What was fetched from an archive; can be removed at any time.
CACHE = ".archive/cache"
# Sealed buckets that were given up instead of being archived.
GIVEN_UP = ".archive/given-up.json"
PART = "part-"

HOUR_US = 3600 * SECOND_US
_TREE = re.compile(r"(?:\d{4}/\d\d/\d\d(?:/\d\d)?/)?(?:part-\d{4,})?\Z")


class Subdirs(enum.StrEnum):
    """How a data root is divided."""

    NONE = "none"
    DAILY = "daily"
    HOURLY = "hourly"


class Period(tuple[int, int]):
    """The stretch of filing time [start, end) in microseconds that one bucket covers."""

    __slots__ = ()

    @property
    def start_us(self) -> int:
        """Tell the first microsecond of the period."""
        return self[0]

    @property
    def end_us(self) -> int:
        """Tell the first microsecond after the period."""
        return self[1]


# One bucket for ever: bounds that every 64-bit time lies within.
ENDLESS = Period((-(1 << 63), (1 << 63) - 1))


def period_length(subdirs: Subdirs) -> int:
    """Tell how long the period of a bucket is [us]; 0 when there is one bucket for ever."""
    return {Subdirs.NONE: 0, Subdirs.DAILY: 24 * HOUR_US, Subdirs.HOURLY: HOUR_US}[subdirs]


def period_of(filed_us: int, subdirs: Subdirs) -> Period:
    """Find the period that a filing time belongs to."""
    length = period_length(subdirs)
    if length == 0:
        return ENDLESS
    start = filed_us // length * length
    return Period((start, start + length))


def directory_of(period: Period) -> Path:
    """Name the directory of a period, relative to the root."""
    if period == ENDLESS:
        return Path()
    moment = to_datetime(period.start_us)
    hourly = period.end_us - period.start_us == HOUR_US
    return Path(moment.strftime("%Y/%m/%d/%H" if hourly else "%Y/%m/%d").replace(" ", "0"))


def period_at(directory: Path) -> Period:
    """Tell the period of a bucket directory relative to the root; the inverse of `directory_of`."""
    names = [name for name in directory.parts if not name.startswith(PART)]
    if not names:
        return ENDLESS
    year, month, day, *hour = (int(name) for name in names)
    start = datetime(year, month, day, hour[0] if hour else 0, tzinfo=UTC)
    start_us = int((start - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    return Period((start_us, start_us + (HOUR_US if hour else 24 * HOUR_US)))


def find_buckets(root: Path, *names: str, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Walk a root for directories that hold one of `names` (sipflow.db), oldest period first; paths are relative to it.

    A directory that cannot be read is told to `on_error`, and passed over.
    """
    wanted = set(names or (DATABASE,))
    found = []
    for directory, below, files in os.walk(root, onerror=on_error):
        below[:] = [name for name in below if not name.startswith(".")]
        if wanted.intersection(files):
            relative = Path(directory).relative_to(root)
            text = relative.as_posix()
            if _TREE.match("" if text == "." else text if PART in text else text + "/") and _is_dated(relative):
                found.append(relative)
    yield from sorted(found)


def is_bucket(directory: Path) -> bool:
    """Tell whether a directory holds a file of a bucket."""
    return any((directory / name).exists() for name in (DATA, DATABASE))


def _is_dated(directory: Path) -> bool:
    try:
        period_at(directory)
    except ValueError:
        return False
    return True
