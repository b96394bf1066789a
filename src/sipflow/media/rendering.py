"""A compressed recording in a file without a name, so that its length is known and any range can be read."""

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Final

from av.error import FFmpegError

from sipflow.errors import StorageError
from sipflow.media.encoder import Form, encode
from sipflow.media.sounding import Sounding

PIECE_OCTETS: Final = 256 * 1024

Progress = Callable[[int, int], None]  # done, total


class Rendering:
    """Octets in an unlinked temporary file; the file goes when the last who holds this object lets go of it."""

    def __init__(self, descriptor: int) -> None:
        """Take ownership of an open file."""
        self._descriptor = descriptor
        self._closing = weakref.finalize(self, os.close, descriptor)
        self.length_octets = os.fstat(descriptor).st_size

    @classmethod
    def of(cls, sounding: Sounding, form: Form, call_id: str, progress: Progress | None = None) -> "Rendering":
        """Encode a recording, telling `progress` how many of its samples are done. Raises StorageError.

        The file lies in the directory for temporary files (TMPDIR), without a name.
        """
        try:
            with tempfile.TemporaryFile() as file:
                for done in encode(sounding, form, call_id, file):
                    if progress is not None:
                        progress(done, sounding.samples)
                file.flush()
                return cls(os.dup(file.fileno()))
        except (OSError, FFmpegError) as error:
            raise StorageError("write", tempfile.gettempdir(), _why(error)) from error

    def iterate(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Give octets [start, end) in pieces; may be read by several at once."""
        stop = self.length_octets if end is None else min(end, self.length_octets)
        while start < stop:
            piece = os.pread(self._descriptor, min(PIECE_OCTETS, stop - start), start)
            if not piece:
                raise StorageError("read", tempfile.gettempdir(), "a rendering lost its end")
            yield piece
            start += len(piece)


def _why(error: BaseException) -> str:
    """Say why a file could not be written; PyAV covers what its file raised with errors of its own."""
    under: BaseException | None = error
    while under is not None:
        if isinstance(under, OSError) and under.strerror:
            return f"{under.strerror}, while encoding"
        under = under.__cause__ or under.__context__
    return f"{error}, while encoding"
