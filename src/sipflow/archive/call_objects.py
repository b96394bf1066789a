"""The tables of calls that an archive holds: of all nodes, by the days a question is about."""

from collections.abc import Iterator
from typing import BinaryIO, Final

from sipflow.archive.call_files import ArchivedTable
from sipflow.archive.columns import TABLE, partition_at
from sipflow.archive.place import Place
from sipflow.clock import DAY_US, to_datetime
from sipflow.errors import ArchiveError
from sipflow.query.window import Window

# Days that are asked for one by one; of more, everything is listed at once.
_DAYS_MAX: Final = 400


class CallObjects:
    """Lists and fetches tables of calls."""

    def __init__(self, place: Place) -> None:
        """Read what lies under the root of `place`."""
        self._place = place
        self.where = place.where

    def tables(self, window: Window) -> Iterator[ArchivedTable]:
        """List the tables that may hold calls of a window. Raises ArchiveError."""
        if not self._place.lists:
            raise ArchiveError("", f"{self.where} cannot be asked which tables of calls it has")
        for prefix in _prefixes(window):
            for stored in self._place.walk(prefix):
                partition = partition_at(stored.key)
                if partition is not None:
                    yield ArchivedTable(partition, stored.etag or str(stored.octets), stored.octets)

    def fetch(self, table: ArchivedTable, target: BinaryIO) -> None:
        """Write the octets of a table. Raises ArchiveError, OSError."""
        for piece in self._place.stream(table.partition.key):
            target.write(piece)


def _prefixes(window: Window) -> list[str]:
    """Name the directories of the days of a window; the one above them when it has no bounds."""
    if window.start_us is None or window.end_us is None or window.end_us - window.start_us > _DAYS_MAX * DAY_US:
        return [TABLE]
    days = range(window.start_us // DAY_US, window.end_us // DAY_US + 1)
    return [f"{TABLE}/date={to_datetime(day * DAY_US):%Y-%m-%d}" for day in days]
