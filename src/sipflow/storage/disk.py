"""The disk of a data root: how much room it has, and what is still recorded when there is little."""

import enum
import os
from pathlib import Path
from typing import NamedTuple

from sipflow.amount import size_text
from sipflow.errors import StorageError

# A commit of the highest rates and the write-ahead log of its index fit in; below it the next one may fail.
LAST_OCTETS = 64 << 20
# Recording goes on again only when there is so much more room than the line it stopped at.
RECOVERY = 1.25


class Disk(NamedTuple):
    """Room for us, and size of the whole, in octets."""

    free: int
    total: int


def disk_of(root: Path) -> Disk:
    """Ask the file system of `root`. Raises StorageError."""
    try:
        found = os.statvfs(root)
    except OSError as error:
        raise StorageError("read", root, error.strerror or str(error)) from None
    return Disk(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


class Pressure(enum.IntEnum):
    """What is given up while the disk is too full, in this order: media first, signalling last."""

    OK = 0
    NO_RTP = 1
    NOTHING = 2


class Lines(NamedTuple):
    """Where recording gives something up: below so many free octets."""

    no_rtp: int
    nothing: int


def lines_of(min_free: int, total: int) -> Lines:
    """Draw the lines on a disk of `total` octets of which retention keeps `min_free` free.

    Retention works at `min_free`; when it cannot keep up, at half of that, media is no longer recorded. Signalling goes
    on until commits may fail: at LAST_OCTETS, or 2 % of a disk that is hardly larger.
    """
    nothing = min(LAST_OCTETS, total // 50)
    return Lines(max(2 * nothing, min_free // 2), nothing)


def judge(before: Pressure, disk: Disk, min_free: int) -> Pressure:
    """Decide what is recorded with so much room; `before` is the last decision, so that it does not flutter."""
    lines = lines_of(min_free, disk.total)
    for pressure, line in ((Pressure.NOTHING, lines.nothing), (Pressure.NO_RTP, lines.no_rtp)):
        needed = line * RECOVERY if before >= pressure else line
        if disk.free < needed:
            return pressure
    return Pressure.OK


def complaint(pressure: Pressure, disk: Disk, min_free: int) -> str:
    """Say in a sentence for /health what is not recorded and why; empty when everything is."""
    if pressure is Pressure.OK:
        return ""
    lines = lines_of(min_free, disk.total)
    what, line = ("nothing is", lines.nothing) if pressure is Pressure.NOTHING else ("RTP is not", lines.no_rtp)
    left, again = size_text(disk.free), size_text(int(line * RECOVERY))
    return f"{what} recorded: {left} left on the disk of the data; it goes on from {again}"
