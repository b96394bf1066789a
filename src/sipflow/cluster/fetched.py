"""What was fetched of other nodes' media, kept for a while in files without a name, so that it is fetched once."""

import os
import tempfile
import threading
import weakref
from collections.abc import Hashable
from pathlib import Path
from typing import Final

import numpy as np

from sipflow.query.stored_chunk import Content
from sipflow.wire.packet import RTP_ROW

# An hour of a call is some 60 MB.
KEPT_OCTETS: Final = 512 << 20


class _Generation:
    """Contents one behind the other in a file that is gone with the last who reads it."""

    def __init__(self) -> None:
        self._descriptor, path = tempfile.mkstemp(prefix="sipflow-fetched-")
        Path(path).unlink()
        weakref.finalize(self, os.close, self._descriptor)
        self._places: dict[Hashable, tuple[int, int, int]] = {}
        self.octets = 0

    def get(self, key: Hashable) -> Content | None:
        place = self._places.get(key)
        if place is None:
            return None
        offset, rows, data = place
        octets = os.pread(self._descriptor, rows + data, offset)
        return np.frombuffer(octets[:rows], RTP_ROW), octets[rows:]

    def put(self, key: Hashable, rows: bytes, data: bytes) -> None:
        os.pwrite(self._descriptor, rows + data, self.octets)
        self._places[key] = (self.octets, len(rows), len(data))
        self.octets += len(rows) + len(data)


class Fetched:
    """Keeps the latest contents, half of `octets` at least and all of it at most. Safe to use from several threads."""

    def __init__(self, octets: int = KEPT_OCTETS) -> None:
        """Keep nothing yet; no file is made before there is something."""
        self._half = octets // 2
        self._lock = threading.Lock()
        self._young: _Generation | None = None
        self._old: _Generation | None = None

    def get(self, key: Hashable) -> Content | None:
        """Give what is kept under a key. Raises OSError."""
        with self._lock:
            both = self._young, self._old
        return next((found for one in both if one is not None and (found := one.get(key)) is not None), None)

    def put(self, key: Hashable, rows: bytes, data: bytes) -> None:
        """Keep a content. Raises OSError."""
        with self._lock:
            if self._young is not None and self._young.octets + len(rows) + len(data) > self._half:
                self._young, self._old = None, self._young
            if self._young is None:
                self._young = _Generation()
            self._young.put(key, rows, data)
