"""Where the octets of a data.raw are read from: a file on this machine, or what stands for one elsewhere."""

import os
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from sipflow.errors import StorageError

# Between the tries of one read, and what all reads of a file may wait together: a dead disk is not waited for.
_WAITS_SECONDS = (0.0, 0.0, 0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.03)
PATIENCE_SECONDS = 2.0


class Span(NamedTuple):
    """Octets of a data.raw: where they begin and how many they are."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """Tell the octet behind the last one."""
        return self.offset + self.length


class DataSource(Protocol):
    """The octets of one data.raw, for as long as anybody holds it. Safe to read from several threads."""

    def read(self, offset: int, length: int) -> bytes:
        """Give the octets from `offset` on, fewer than `length` only where the data ends.

        Raises OSError, and StorageError when what stands for the file cannot be had.
        """
        ...

    def expect(self, spans: Sequence[Span]) -> None:
        """Be told what will be read next, so that what is far away comes in few pieces. Raises as `read` does."""
        ...

    def doubt(self, span: Span) -> None:
        """Be told that what was read there is damaged: whatever was kept of it is not given again."""
        ...


class DataFile:
    """A data.raw on this machine, open for as long as chunks of it are wanted, whatever becomes of its name."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises StorageError."""
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError("open", path, error.strerror or str(error)) from None
        weakref.finalize(self, os.close, self.descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Give the octets from `offset` on, fewer than `length` only at the end. Raises OSError."""
        return pread(self.descriptor, length, offset)

    def expect(self, spans: Sequence[Span]) -> None:
        """Do nothing: the kernel reads ahead by itself."""

    def doubt(self, span: Span) -> None:
        """Do nothing: it stands there as it was read."""


class PatientFile:
    """A file that is read again when that fails, as a disk in trouble answers the second time.

    For what must not take a passing trouble for damage: a start, and an index that is made anew. Once it has waited
    PATIENCE_SECONDS in all, it waits no more.
    """

    def __init__(self, descriptor: int) -> None:
        """Read from a descriptor, which stays the caller's."""
        self._descriptor = descriptor
        self._patience = PATIENCE_SECONDS

    def read(self, offset: int, length: int) -> bytes:
        """Give the octets from `offset` on, fewer than `length` only at the end. Raises OSError."""
        for wait in _WAITS_SECONDS:
            if self._patience < wait:
                break
            try:
                return pread(self._descriptor, length, offset)
            except OSError:
                self._patience -= wait
                time.sleep(wait)
        return pread(self._descriptor, length, offset)

    def expect(self, spans: Sequence[Span]) -> None:
        """Do nothing: the kernel reads ahead by itself."""

    def doubt(self, span: Span) -> None:
        """Do nothing: it stands there as it was read."""


def pread(file: int, length: int, offset: int) -> bytes:
    """Read from a descriptor, fewer octets only at the end of the file. Raises OSError."""
    parts = []
    while length > 0:
        part = os.pread(file, length, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)
