"""One bucket: data.raw and the index beside it, written as one."""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from sipflow.errors import StorageError
from sipflow.storage.index import Index, Portion, Totals
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.seal import write_seal


class Bucket:
    """An open bucket: appends blocks and their index rows as one unit. One thread at a time."""

    def __init__(self, directory: Path) -> None:
        """Open or make the bucket in `directory` and cut what no index row knows. Raises StorageError."""
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(directory / DATA, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError("open", directory, error.strerror or str(error)) from None
        try:
            self._refuse_lost_index()
            self._index = Index(directory / DATABASE)
            self.end = self._cut_unknown_tail()
        except sqlite3.Error as error:
            os.close(self._file)
            raise StorageError("open", directory / DATABASE, str(error)) from None
        except BaseException:
            os.close(self._file)
            raise

    def _refuse_lost_index(self) -> None:
        # A new index would know none of the data, which would then be cut.
        database = self.directory / DATABASE
        if os.fstat(self._file).st_size > 0 and not (database.exists() and database.stat().st_size > 0):
            raise StorageError("open", database, "it is missing or empty, and its data is not; run `sipflow reindex`")

    def _cut_unknown_tail(self) -> int:
        end = self._index.end_of_blocks()
        if os.fstat(self._file).st_size > end:
            os.ftruncate(self._file, end)
        return end

    def known_chunks(self) -> set[int]:
        """Tell which pool chunks are committed here, so that a replay takes each exactly once."""
        return self._index.chunks()

    def append(self, portions: Iterable[Portion]) -> None:
        """Append blocks and commit their rows: all of them or, on StorageError, none.

        After a failure the same portions may be given again.
        """
        portions = list(portions)
        end = self.end
        starts = []
        try:
            for portion in portions:
                starts.append(end)
                self._write(portion.data, end)
                end += len(portion.data)
            self._index.commit(portions, starts)
        except (OSError, sqlite3.Error) as error:
            raise StorageError("append", self.directory, getattr(error, "strerror", None) or str(error)) from None
        self.end = end

    def _write(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, offset)
            view = view[written:]
            offset += written

    def totals(self) -> Totals:
        """Count what the bucket holds."""
        return self._index.totals()

    def call_ids(self) -> list[str]:
        """List the Call-IDs of the bucket."""
        return self._index.call_ids()

    def seal(self) -> None:
        """Complete the index, sync, append the seal and make both files read-only; the bucket is closed then."""
        try:
            blocks, records = self._index.count_blocks()
            self._index.seal()
            os.fsync(self._file)
            os.close(self._file)
            write_seal(self.directory, blocks, records)
            for name in (DATA, DATABASE):
                (self.directory / name).chmod(0o400)
        except (OSError, sqlite3.Error) as error:
            raise StorageError("seal", self.directory, str(error)) from None

    def close(self) -> None:
        """Close the files; a bucket that is not sealed is opened again later."""
        self._index.close()
        os.close(self._file)
