"""Finds the calls that have ended, by the indexes of open buckets: each is taken once, whatever is killed meanwhile."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from sipflow.archive.call_upload_queue import UploadQueue
from sipflow.clock import SECOND_US
from sipflow.errors import StorageError
from sipflow.storage.contents import UNREADABLE
from sipflow.storage.index import connect
from sipflow.storage.layout import DATABASE
from sipflow.storage.part import Part

# What follows the end of a call on its way through the network: the answer to a BYE, the last of the media.
SETTLE_US: Final = 5 * SECOND_US
# A challenge is no end when credentials follow; a caller has 32 s to answer (RFC 3261, timer B).
_CHALLENGED_US: Final = 35 * SECOND_US
_CHALLENGES: Final = (401, 407)
# A call of which nothing came for so long has no end that anybody will see.
IDLE_US: Final = 3600 * SECOND_US
# What comes of a call for so long after it was taken is its tail, and no call of its own.
_TAIL_US: Final = 2 * 3600 * SECOND_US
_ROWS_AT_ONCE: Final = 500
_ROW: Final = (
    "id, call_id, first_us, last_us, invite_us IS NOT NULL OR bye_us IS NOT NULL OR method = '', bye_us IS NOT NULL, "
    "CASE WHEN answer_us IS NULL AND status >= 300 THEN status END"
)


class _Row(NamedTuple):
    """What an index says of a call: whether it is one (no REGISTER or such), and of its end."""

    number: int
    call_id: str
    first_us: int
    last_us: int
    is_call: int
    has_bye: int
    refused: int | None

    @property
    def settles_us(self) -> int | None:
        """Tell how long it has to be quiet after its end; None while it has none."""
        if self.has_bye:
            return SETTLE_US
        if self.refused is None:
            return None
        return _CHALLENGED_US if self.refused in _CHALLENGES else SETTLE_US


Take = Callable[[sqlite3.Connection, str, int], None]  # within a change: Call-ID, when it began


class CallEnds:
    """Follows the parts of a data root. One thread."""

    def __init__(self, root: Path, queue: UploadQueue, take: Take) -> None:
        """Keep what is known in the file of `queue`; each call that has ended is given to `take`, within a change."""
        self._root = root
        self._queue = queue
        self._take = take

    def look(self, parts: Sequence[Part], now_us: int) -> list[str]:
        """Look through parts that stand here, oldest first; gives in sentences what could not be read.

        The first look of a data root takes nothing that has ended already: an archive of years is not uploaded because
        somebody wrote a line into a file. Raises StorageError when the queue cannot be written.
        """
        faults = []
        followed = {str(row[0]): row for row in self._queue.rows("SELECT part, number, ended FROM followed")}
        ((begun,),) = self._queue.rows("PRAGMA user_version")
        # What is imported has ended whenever it did, and was not seen to end here.
        for part in sorted((one for one in parts if one.imported_us is None), key=lambda one: one.start_us):
            _, number, ended = followed.get(part.path, ("", 0, 0))
            if ended:
                continue
            try:
                self._follow(part, int(number), now_us, begun=bool(begun))
            except StorageError as error:
                faults.append(str(error))
        self._take_idle(now_us)
        self._forget({part.path for part in parts}, now_us)
        with self._queue.changing() as queue:
            queue.execute("PRAGMA user_version = 1")
        return faults

    def _follow(self, part: Part, number: int, now_us: int, *, begun: bool) -> None:
        database = self._root / part.path / DATABASE
        if not begun and part.sealed:
            with self._queue.changing() as queue:
                _note(queue, part.path, 0, ended=True)
            return
        try:
            with closing(connect(database, readonly=True, immutable=part.sealed)) as index:
                for rows in _known(index, self._numbers(part.path)):
                    with self._queue.changing() as queue:
                        for row in rows:
                            self._seen(queue, part.path, row, now_us)
                while rows := _after(index, number):
                    with self._queue.changing() as queue:
                        for row in rows:
                            self._enter(queue, part.path, row, now_us, begun=begun)
                        number = rows[-1].number
                        _note(queue, part.path, number, ended=False)
        except UNREADABLE as error:
            raise StorageError("read", database, str(error)) from None
        with self._queue.changing() as queue:
            # What is under way in a part that takes nothing more may go on in another; what is over has to settle.
            settling = queue.execute(
                "SELECT 1 FROM under_way WHERE part = ? AND ended_us IS NOT NULL LIMIT 1", (part.path,)
            ).fetchone()
            _note(queue, part.path, number, ended=part.sealed and settling is None)

    def _numbers(self, part: str) -> list[int]:
        return [int(row[0]) for row in self._queue.rows("SELECT number FROM under_way WHERE part = ?", (part,))]

    def _enter(self, queue: sqlite3.Connection, part: str, row: _Row, now_us: int, *, begun: bool) -> None:
        """Take in a row that is new."""
        known = queue.execute("SELECT 1 FROM under_way WHERE call_id = ?", (row.call_id,)).fetchone()
        if known is None:
            if not row.is_call or (not begun and row.settles_us is not None):
                return
            if queue.execute("SELECT 1 FROM taken WHERE call_id = ?", (row.call_id,)).fetchone():
                return
            queue.execute(
                "INSERT INTO under_way VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (row.call_id, part, row.number, row.first_us, row.last_us, now_us),
            )
        else:
            queue.execute(
                "UPDATE under_way SET part = ?, number = ? WHERE call_id = ?", (part, row.number, row.call_id)
            )
        self._seen(queue, part, row, now_us)

    def _seen(self, queue: sqlite3.Connection, part: str, row: _Row, now_us: int) -> None:
        """Note what a row says now of a call that is under way, and take the call when it has been over for a while."""
        known = queue.execute(
            "SELECT start_us, last_us, ended_us FROM under_way WHERE call_id = ? AND part = ?", (row.call_id, part)
        ).fetchone()
        if known is None:
            return
        start_us, last_us, ended_us = known
        settles_us = row.settles_us
        if row.last_us != last_us:
            # By our clock: that of a sender may be off by any time.
            queue.execute(
                "UPDATE under_way SET last_us = ?, changed_us = ? WHERE call_id = ?", (row.last_us, now_us, row.call_id)
            )
        if settles_us is None:
            ended = None
        elif ended_us is None or (row.last_us != last_us and settles_us == _CHALLENGED_US):
            ended = now_us
        else:
            ended = ended_us
        if ended is not None and settles_us is not None and now_us - ended >= settles_us:
            self._finish(queue, row.call_id, min(start_us, row.first_us), now_us)
        elif ended != ended_us:
            queue.execute("UPDATE under_way SET ended_us = ? WHERE call_id = ?", (ended, row.call_id))

    def _take_idle(self, now_us: int) -> None:
        with self._queue.changing() as queue:
            idle = queue.execute(
                "SELECT call_id, start_us FROM under_way WHERE changed_us <= ?", (now_us - IDLE_US,)
            ).fetchall()
            for call_id, start_us in idle:
                self._finish(queue, call_id, start_us, now_us)

    def _finish(self, queue: sqlite3.Connection, call_id: str, start_us: int, now_us: int) -> None:
        queue.execute("DELETE FROM under_way WHERE call_id = ?", (call_id,))
        queue.execute("INSERT OR REPLACE INTO taken VALUES (?, ?)", (call_id, now_us))
        self._take(queue, call_id, start_us)

    def _forget(self, standing: set[str], now_us: int) -> None:
        with self._queue.changing() as queue:
            queue.execute("DELETE FROM taken WHERE at_us < ?", (now_us - _TAIL_US,))
            gone = [part for (part,) in queue.execute("SELECT part FROM followed") if part not in standing]
            queue.executemany("DELETE FROM followed WHERE part = ?", [(part,) for part in gone])


def _note(queue: sqlite3.Connection, part: str, number: int, *, ended: bool) -> None:
    queue.execute("INSERT OR REPLACE INTO followed VALUES (?, ?, ?)", (part, number, ended))


def _after(index: sqlite3.Connection, number: int) -> list[_Row]:
    rows = index.execute(f"SELECT {_ROW} FROM call_meta WHERE id > ? ORDER BY id LIMIT {_ROWS_AT_ONCE}", (number,))
    return [_Row(*row) for row in rows]


def _known(index: sqlite3.Connection, numbers: Sequence[int]) -> Iterator[list[_Row]]:
    for at in range(0, len(numbers), _ROWS_AT_ONCE):
        some = numbers[at : at + _ROWS_AT_ONCE]
        marks = ", ".join("?" * len(some))
        yield [_Row(*row) for row in index.execute(f"SELECT {_ROW} FROM call_meta WHERE id IN ({marks})", some)]
