"""One bucket: data.raw and the index beside it, written as one."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sipflow._fast import Portion
from sipflow.errors import StorageError, UnfitBucket
from sipflow.storage.block import BlockHeader, Damage, iter_headers
from sipflow.storage.index import Index, Totals, call_ids, replay_window
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.seal import SEAL_LENGTH, write_seal


def committed_last(directory: Path) -> Iterator[BlockHeader | Damage]:
    """Walk the blocks of a bucket that is not sealed whose chunks might come again after a crash; nothing is written.

    These are all when the index is broken or gone: it will be made anew, of all of them. Raises StorageError when the
    index cannot be read now, NewerFormat.
    """
    data, database = directory / DATA, directory / DATABASE
    try:
        size = data.stat().st_size
        if size == 0:
            return
        known = database.exists() and database.stat().st_size > 0
        try:
            start, end = replay_window(database) if known else (0, size)
        except UnfitBucket:
            start, end = 0, size
        yield from iter_headers(data, *((start, end) if end <= size else (0, size)))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError("read", directory, error.strerror or str(error)) from None


class Bucket:
    """An open bucket: appends blocks and their index rows as one unit. One thread at a time."""

    def __init__(self, directory: Path, *, sync: bool = False) -> None:
        """Open or make the bucket in `directory` and cut what no index row knows.

        With `sync` what is appended is on the disk before `append` returns. Raises StorageError, UnfitBucket.
        """
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(directory / DATA, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError("open", directory, error.strerror or str(error)) from None
        try:
            self._refuse_lost_index()
            self._index = Index(directory / DATABASE, self._file, sync=sync)
            self._cut_unknown_tail()
        except BaseException:
            os.close(self._file)
            raise

    def _refuse_lost_index(self) -> None:
        # A new index would know none of the data, which would then be cut.
        database = self.directory / DATABASE
        if os.fstat(self._file).st_size > 0 and not (database.exists() and database.stat().st_size > 0):
            raise UnfitBucket("open", database, "it is missing or empty, and its data is not; run `sipflow reindex`")

    def _cut_unknown_tail(self) -> None:
        end, size = self._index.end, os.fstat(self._file).st_size
        if size < end:
            self._index.close()
            raise UnfitBucket(
                "open", self.directory / DATA, f"it ends at octet {size}; its index knows blocks up to {end}"
            )
        if size > end:
            os.ftruncate(self._file, end)

    @property
    def sip_rows(self) -> int:
        """Count the rows of SIP messages committed since it was opened."""
        return self._index.sip_rows

    @property
    def media_rows(self) -> int:
        """Count the rows of media committed since it was opened."""
        return self._index.media_rows

    @property
    def octets(self) -> int:
        """Tell how long data.raw is [octets]."""
        return self._index.end

    @property
    def replay_from(self) -> int:
        """Tell where the blocks begin whose chunks might come again after a crash [octets]."""
        return self._index.replay_from

    @property
    def rtp_octets(self) -> int:
        """Tell how much of data.raw its stream blocks take [octets]."""
        return self._index.rtp_octets

    @property
    def index_octets(self) -> int:
        """Tell how long the index is, its write-ahead log left out [octets]; 0 when it cannot be seen."""
        try:
            return (self.directory / DATABASE).stat().st_size
        except OSError:
            return 0

    @property
    def gone(self) -> bool:
        """Tell whether somebody removed the files: what is appended then would be lost."""
        try:
            return os.fstat(self._file).st_nlink == 0 or not (self.directory / DATABASE).exists()
        except OSError:
            return True

    def append(self, portions: Sequence[Portion], replay_from: int | None = None) -> None:
        """Append blocks and commit their rows: all of them or, on StorageError, none.

        After a failure the same portions may be given again. `replay_from` is where the blocks begin whose chunks
        might come again after a crash; by default those of this commit alone.
        """
        self._index.append(portions, self._index.end if replay_from is None else replay_from)

    def seal(self) -> Totals:
        """Complete the index, sync, append the seal and make both files read-only; the bucket is closed then.

        Raises StorageError; the bucket is closed all the same, and may be opened again.
        """
        end, blocks = self._index.end, self._index.blocks
        try:
            self._index.judge()
            totals = self._index.seal()
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        except OSError as error:
            raise StorageError("seal", self.directory, error.strerror or str(error)) from None
        finally:
            self.close()
        write_seal(self.directory, blocks, totals.sip_messages + totals.rtp_packets)
        try:
            for name in (DATA, DATABASE):
                (self.directory / name).chmod(0o400)
        except OSError as error:
            raise StorageError("seal", self.directory, error.strerror or str(error)) from None
        return totals._replace(octets=totals.octets + SEAL_LENGTH)

    def call_ids(self) -> list[str]:
        """List the Call-IDs of the bucket, once it is sealed. Raises StorageError."""
        return list(call_ids(self.directory / DATABASE))

    def close(self) -> None:
        """Close the files; a bucket that is not sealed is opened again later."""
        self._index.close()
        os.close(self._file)
