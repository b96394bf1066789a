"""Archived parts opened for questions: the index from a cache on disk, the data in spans, each as it is needed."""

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitedTooLong
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from sipflow._fast import crc32c
from sipflow.archive.cache import FileCache
from sipflow.archive.manifest import MANIFEST, ArchivedFile, Manifest, decode_manifest
from sipflow.archive.place import Place
from sipflow.archive.reading import new_digest
from sipflow.archive.remote_data import RemoteData
from sipflow.archive.remote_reader import SpanReader
from sipflow.archive.remote_ring import Ring
from sipflow.archive.remote_spans import PIECE_OCTETS
from sipflow.errors import ArchiveError, ObjectDamaged, StorageError
from sipflow.query.part_files import Opened
from sipflow.storage.catalog import Part
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.seal import checksum
from sipflow.storage.source import Span

# How long one question waits for the archive, all its parts together [s]: a page answers even so.
PATIENCE_S: Final = 10.0
# The last gigabytes of indexes are worth more than the last hundred megabytes of sound: most questions ask them alone.
_RING_SHARE: Final = 8
_RING_LEAST: Final = 4 * PIECE_OCTETS
# Parts whose indexes come side by side; each is read in several pieces.
_INDEXES_AT_ONCE: Final = 4
_WINDOW: Final = 4 * PIECE_OCTETS
_INDEX_PIECE: Final = 2 * PIECE_OCTETS
# How long one request may take before the fetching of an index gives up [s]; whoever asked has long been answered.
_INDEX_SECONDS: Final = 120.0
# What could not be had is not asked for again within so long [s]: a page asks several questions.
_FAILED_S: Final = 5.0


class _Index(NamedTuple):
    """The index of a part in the cache, what its manifest says of it, and the octets of the data."""

    path: Path
    file: ArchivedFile
    data_octets: int


class RemoteFiles:
    """The files of an archived part: PartFiles."""

    far = True

    def __init__(self, index: _Index, key: str, reader: SpanReader) -> None:
        """Take an index that was fetched, and the data at `key`."""
        self.database = index.path
        self.data_path = Path(key)
        self._index = index
        self._inode = _inode(index.path)
        self._data = RemoteData(reader, key, index.data_octets)

    def open_data(self) -> Opened:
        """Give the data; nothing is asked of the archive yet."""
        file = self._index.file
        return Opened(self._data, (str(self.data_path), file.crc32c, file.octets), file.octets)

    def damage(self) -> str:
        """Tell nothing: an index that is not as its manifest says is never opened."""
        return ""

    def withdrawn(self) -> bool:
        """Tell whether the cache has removed the index, or has it anew."""
        return _inode(self.database) != self._inode

    def allow(self, seconds: float) -> None:
        """Say how long may be waited for the data [s from now]."""
        self._data.allow(seconds)


class ArchivedParts:
    """Parts that are in an archive: RemoteParts. Safe to ask from several threads."""

    def __init__(self, place: Place, directory: Path, octets: int, patience_s: float = PATIENCE_S) -> None:
        """Read from `place`; what was read is kept in `directory`, at most `octets` of it."""
        ring = max(_RING_LEAST, octets // _RING_SHARE)
        self.patience_s = patience_s
        self._place = place
        self._cache = FileCache(directory, max(0, octets - ring))
        self._reader = SpanReader(place, Ring(directory, ring))
        self._pool = ThreadPoolExecutor(_INDEXES_AT_ONCE, "archive-index")
        self._lock = threading.Lock()
        self._flights: dict[str, Future[_Index]] = {}
        self._failed: dict[str, tuple[float, StorageError]] = {}
        # Files of the cache whose checksum this process has seen to hold.
        self._sound: set[tuple[str, int]] = set()

    def close(self) -> None:
        """Fetch no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._reader.close()

    def open(self, part: Part, seconds: float) -> RemoteFiles:
        """Give the files of an evicted part, waiting at most so long [s]. Raises StorageError."""
        waited = self._reader.patience(seconds)
        try:
            index = self._begin(part).result(waited)
        except WaitedTooLong:
            self._reader.silent()
            raise StorageError(
                "read", _key(part, DATABASE), f"the archive did not give it within {waited:.0f} s; ask again in a while"
            ) from None
        return RemoteFiles(index, _key(part, DATA), self._reader)

    def expect(self, parts: Sequence[Part]) -> None:
        """Fetch the indexes of some parts beside whatever is done meanwhile."""
        for part in parts:
            with contextlib.suppress(StorageError):  # whoever opens it says so
                self._begin(part)

    def _begin(self, part: Part) -> "Future[_Index]":
        name = _name_of(part)
        with self._lock:
            flight = self._flights.get(name)
            if flight is None:
                self._recall(name)
                try:
                    flight = self._pool.submit(self._fly, part, name)
                except RuntimeError:
                    raise StorageError("read", _key(part, DATABASE), "the history is closed") from None
                self._flights[name] = flight
            return flight

    def _fly(self, part: Part, name: str) -> _Index:
        try:
            return self._index(part, name)
        except StorageError as error:
            with self._lock:
                self._failed[name] = time.monotonic(), error
            raise
        finally:
            with self._lock:
                del self._flights[name]

    def _recall(self, name: str) -> None:
        """Raise again what went wrong a moment ago."""
        failed = self._failed.get(name)
        if failed is not None:
            if time.monotonic() - failed[0] < _FAILED_S:
                raise failed[1]
            del self._failed[name]

    def _index(self, part: Part, name: str) -> _Index:
        try:
            manifest = self._manifest(part, name)
            index, data = manifest.file(DATABASE), manifest.file(DATA)
            assert index is not None, "decode_manifest looks for it"
            assert data is not None, "decode_manifest looks for it"
            path = self._cache.find(f"{name}.db")
            if path is None or not self._holds(path, index):
                path = self._fetched(part, name, index)
        except ArchiveError as error:
            raise StorageError("read", error.key or _key(part, DATABASE), f"in the archive: {error.reason}") from None
        return _Index(path, index, data.octets)

    def _holds(self, path: Path, index: ArchivedFile) -> bool:
        """Tell whether a file of the cache is still what was put there; it is read once by each process."""
        seen = path.name, _inode(path)
        if seen in self._sound:
            return True
        try:
            sound = checksum(path) == (index.octets, index.crc32c)
        except OSError:
            sound = False
        if sound:
            self._sound.add(seen)
        else:
            self._cache.drop(path.name)
        return sound

    def _manifest(self, part: Part, name: str) -> Manifest:
        key = _key(part, MANIFEST)
        kept = self._cache.find(f"{name}.json")
        if kept is not None:
            with contextlib.suppress(OSError, ObjectDamaged):  # damaged here: it is fetched anew
                return decode_manifest(kept.read_bytes(), key)
        octets = self._place.get(key)
        manifest = decode_manifest(octets, key)
        self._cache.put(f"{name}.json", len(octets), lambda file: _write(file, octets))
        return manifest

    def _fetched(self, part: Part, name: str, index: ArchivedFile) -> Path:
        key, octets = _key(part, DATABASE), index.octets

        def write(file: BinaryIO) -> None:
            crc, whole = 0, new_digest()
            for start in range(0, octets, _WINDOW):
                stop = min(octets, start + _WINDOW)
                spans = [Span(at, min(_INDEX_PIECE, stop - at)) for at in range(start, stop, _INDEX_PIECE)]
                for piece in self._reader.fetch(key, spans, _INDEX_SECONDS, keep=False):
                    crc = crc32c(piece, crc)
                    whole.update(piece)
                    _write(file, piece)
            if not index.is_of(octets, crc, whole.digest()):
                self._cache.drop(f"{name}.json")
                raise ObjectDamaged(key, "its checksum is not the one in its manifest")

        path = self._cache.put(f"{name}.db", octets, write)
        self._sound.add((path.name, _inode(path)))
        return path


def _write(file: BinaryIO, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[file.write(view) :]


def _key(part: Part, name: str) -> str:
    return f"{part.archive_key}/{name}"


def _name_of(part: Part) -> str:
    """Name what the cache keeps of a part: another when it was archived again."""
    return blake2b(f"{part.archived_us} {part.archive_key}".encode(), digest_size=16).hexdigest()


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116 - Path.stat raises as well
    except OSError:
        return 0
