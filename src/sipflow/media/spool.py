"""Files without a name that take what need not be in memory: rows of packets, and decoded samples."""

import mmap
import os
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

# Smaller than this it is cheaper in memory; a call of some minutes never touches a disk.
IN_MEMORY_OCTETS: Final = 4 << 20
SAMPLE: Final = np.dtype(np.int16)


def rows(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """Make an array of `count` zeroed rows, in a file without a name when it is large. Raises OSError."""
    kind = np.dtype(dtype)
    if count * kind.itemsize <= IN_MEMORY_OCTETS:
        return np.zeros(count, kind)
    with tempfile.TemporaryFile(prefix="sipflow-") as file:
        file.truncate(count * kind.itemsize)
        # The mapping keeps the file, the file keeps no name: both are gone with the last array that shows them.
        return _plain(np.memmap(file, kind, "r+", shape=(count,)))


def taken(source: NDArray[Any], index: NDArray[Any]) -> NDArray[Any]:
    """Copy the rows of `source` that an index or a mask names, in its order. Raises OSError."""
    place = np.flatnonzero(index) if index.dtype == np.bool_ else index
    out = rows(len(place), source.dtype)
    # In parts, because numpy buffers all of a take into a structured array.
    for at in range(0, len(place), _STEP):
        out[at : at + _STEP] = source[place[at : at + _STEP]]
    return out


_STEP: Final = 1 << 15


def _plain(mapped: NDArray[Any]) -> NDArray[Any]:
    # A memmap passes its class on to whatever is computed from it; a view of it as ndarray does not.
    return mapped.view(np.ndarray)


class Spool:
    """Samples (mono, 16 bit) in the order they were decoded; written by one thread, then read by any."""

    def __init__(self) -> None:
        """Make the file. Raises OSError."""
        handle, path = tempfile.mkstemp(prefix="sipflow-")
        Path(path).unlink()
        self._file = handle
        self._pending: list[NDArray[np.int16]] = []
        self._waiting = 0
        self._written = 0
        self._shown: memoryview | None = None
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, handle)

    def __len__(self) -> int:
        """Tell how many samples it holds."""
        return self._written + self._waiting

    def append(self, samples: NDArray[np.int16]) -> int:
        """Add samples; gives where the first of them is. Raises OSError."""
        at = len(self)
        self._pending.append(samples)
        self._waiting += len(samples)
        if self._waiting >= _STEP:
            self._flush()
        return at

    @property
    def data(self) -> memoryview:
        """Show the octets of all samples."""
        with self._lock:
            self._flush()
            if self._shown is None or len(self._shown) < self._written * SAMPLE.itemsize:
                size = self._written * SAMPLE.itemsize
                self._shown = memoryview(mmap.mmap(self._file, size, prot=mmap.PROT_READ) if size else b"")
            return self._shown

    def _flush(self) -> None:
        if not self._pending:
            return
        octets = memoryview(np.concatenate(self._pending).tobytes())
        while octets:
            octets = octets[os.write(self._file, octets) :]
        self._written += self._waiting
        self._pending, self._waiting = [], 0
