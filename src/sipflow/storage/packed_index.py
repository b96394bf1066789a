"""The index of a packed bucket: made of its data alone, dense, and held against the one it takes the place of."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from sipflow.errors import StorageError
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.index import Index
from sipflow.storage.layout import DATABASE
from sipflow.storage.reindex import fill

# Nothing grows any more, so rows need no room for it; a row of `state` says since when the bucket is packed.
_DENSE: Final = ("UPDATE call_meta SET spare = x''", "INSERT OR REPLACE INTO state (name, value) VALUES ('packed', ?)")
# What of call_meta may differ: numbers are given in the order of the file, and room to grow is given up.
_OWN: Final = ("id", "spare")
# Of the rows that point into data.raw, whose places are others now, everything else must add up to the same.
_SUMS: Final = {
    "sip_msgs": "count(*), sum(t0_us & 0xffffffff), count(status), sum(status), count(cseq), sum(cseq), "
    "sum(length(method))",
    "streams": "count(*), sum(leg), count(ssrc), sum(ssrc), sum(length(src)), sum(length(dst))",
    "media_msgs": "count(*), sum(t0_us & 0xffffffff), sum(span_us), sum(payload_type), sum(packets), sum(lost), "
    "sum(jitter_us), sum(first_seq), sum(last_seq)",
}
# SQLite asks whether to go on after so many of its instructions: some milliseconds.
_INSTRUCTIONS = 100_000


def make_index(beside: Path, old: Path, packed_us: int, turn: Callable[[int], None]) -> tuple[int, int]:
    """Make the index of the data.raw in `beside`; gives how many blocks and records it has.

    `old` is the index it takes the place of. Raises StorageError when the data cannot be read back, or when the two
    indexes do not say the same of any call; whatever `turn` raises ends it at once.
    """
    fresh = beside / DATABASE
    index = Index(fresh)
    try:
        at = 0

        def progress(_: Path, done: int, __: int) -> None:
            nonlocal at
            turn(done - at)
            at = done

        rebuilt = fill(index, beside, progress)
        if rebuilt.damage:
            raise StorageError("pack", beside, f"what was written cannot be read back: {rebuilt.damage[0].what}")
        index.judge()
        index.seal()
    finally:
        index.close()
    _Comparing(fresh, old, turn).run(packed_us)
    return rebuilt.blocks, rebuilt.records


class _Comparing:
    """The new index beside the old one."""

    def __init__(self, fresh: Path, old: Path, turn: Callable[[int], None]) -> None:
        self._fresh = fresh
        self._old = old
        self._turn = turn
        self._stopped: BaseException | None = None

    def run(self, packed_us: int) -> None:
        """Hold them against each other, then make the new one dense. Raises StorageError."""
        try:
            with closing(sqlite3.connect(self._fresh.resolve().as_uri(), uri=True, isolation_level=None)) as index:
                index.set_progress_handler(self._go_on, _INSTRUCTIONS)
                # It is nobody's yet: what a crash leaves of it is made anew.
                index.execute("PRAGMA journal_mode = OFF")
                index.execute("PRAGMA synchronous = OFF")
                index.execute("ATTACH ? AS old", [f"{self._old.resolve().as_uri()}?mode=ro&immutable=1"])
                self._compare(index)
                index.execute("DETACH old")
                index.execute(_DENSE[0])
                index.execute(_DENSE[1], [packed_us])
                index.execute("VACUUM")
        except UNREADABLE as error:
            if self._stopped is not None:
                raise self._stopped from None
            raise StorageError("pack", self._old, str(error)) from None

    def _go_on(self) -> int:
        try:
            self._turn(0)
        except BaseException as error:  # noqa: BLE001 - it goes on where SQLite gives control back
            self._stopped = error
            return 1
        return 0

    def _compare(self, index: sqlite3.Connection) -> None:
        columns = ", ".join(
            name
            for (name,) in index.execute("SELECT name FROM pragma_table_xinfo('call_meta') WHERE hidden = 0")
            if name not in _OWN
        )
        calls = [index.execute(f"SELECT count(*) FROM {of}.call_meta").fetchone() for of in ("old", "main")]
        odd = index.execute(
            f"SELECT call_id FROM (SELECT {columns} FROM old.call_meta EXCEPT SELECT {columns} FROM main.call_meta)"
        ).fetchone()
        if odd is not None or calls[0] != calls[1]:
            raise self._differs("" if odd is None else f", for instance of call {odd[0]!r}")
        for table, sums in _SUMS.items():
            was, now = (index.execute(f"SELECT {sums} FROM {of}.{table}").fetchone() for of in ("old", "main"))
            if was != now:
                raise self._differs(f" in the rows of {table}")

    def _differs(self, where: str) -> StorageError:
        return StorageError(
            "pack", self._old, f"it does not say what the data says{where}; `sipflow reindex` makes it anew"
        )
