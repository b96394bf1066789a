"""A file read once on its way to an archive: in pieces, at a limited rate, with the checksums that prove it later."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sipflow._fast import crc32c
from sipflow.errors import StorageError

# Called with the octets that were read, before they travel.
Pace = Callable[[int], None]
_TAIL = 64


class Reading:
    """Reads a file once, piece by piece; its checksums are those of what was handed out."""

    def __init__(self, file: Path, piece: int, pace: Pace = lambda _octets: None) -> None:
        """Look how long the file is. Raises StorageError."""
        self._file = file
        self._piece = piece
        self._pace = pace
        self._digests: list[bytes] = []
        self._whole = new_digest()
        self.crc32c = 0
        self.tail = b""
        try:
            self.octets = file.stat().st_size
        except OSError as error:
            raise StorageError("read", file, error.strerror or str(error)) from None

    @property
    def pieces(self) -> bool:
        """Tell whether the file is more than one piece."""
        return self.octets > self._piece

    def __iter__(self) -> Iterator[bytes]:
        """Hand out the file from its beginning. Raises StorageError, also when it is not as long as it was."""
        self._digests, self._whole, self.crc32c, self.tail = [], new_digest(), 0, b""
        read = 0
        try:
            with self._file.open("rb", buffering=0) as file:
                while read < self.octets:
                    octets = _fully(file.fileno(), min(self._piece, self.octets - read), read)
                    read += len(octets)
                    self.crc32c = crc32c(octets, self.crc32c)
                    self._whole.update(octets)
                    self._digests.append(hashlib.md5(octets, usedforsecurity=False).digest())
                    self.tail = (self.tail + octets[-_TAIL:])[-_TAIL:]
                    self._pace(len(octets))
                    yield octets
        except OSError as error:
            raise StorageError("read", self._file, error.strerror or str(error)) from None

    @property
    def digest(self) -> bytes:
        """Give the digest of what was read."""
        return self._whole.digest()

    @property
    def etags(self) -> tuple[str, ...]:
        """Give the marks that a store makes of an object put as this was read: in one request, or in pieces."""
        if len(self._digests) == 1:
            return (self._digests[0].hex(), _of_pieces(self._digests))
        return (_of_pieces(self._digests),)


def digest_of(pieces: Iterable[bytes]) -> tuple[int, int, bytes]:
    """Give octets, CRC-32C and digest of what pieces are together."""
    octets = crc = 0
    whole = new_digest()
    for piece in pieces:
        octets, crc = octets + len(piece), crc32c(piece, crc)
        whole.update(piece)
    return octets, crc, whole.digest()


def new_digest() -> "hashlib.blake2b":
    """Begin the digest that a manifest has of a file: BLAKE2b of 32 octets (RFC 7693)."""
    # A CRC-32C does not tell all files of ours apart: each header ends in its own, so that it is the same whatever the
    # headers and the seal say, as before and after packing.
    return hashlib.blake2b(digest_size=32)


def _of_pieces(digests: list[bytes]) -> str:
    # What S3 and those who speak like it make of a multipart upload: the MD5 of the MD5s, and how many they are.
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def _fully(file: int, length: int, offset: int) -> bytes:
    octets = os.pread(file, length, offset)
    if len(octets) != length:
        raise OSError(0, f"it ends at octet {offset + len(octets)}, and was longer when it was opened")
    return octets


class Throttle:
    """Holds a stream of octets to a rate, by waiting."""

    def __init__(
        self,
        octets_per_second: int | None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Take the rate; None for no limit."""
        self._rate = octets_per_second
        self._clock = clock
        self._wait = wait
        self._free_at = 0.0

    def __call__(self, octets: int) -> None:
        """Wait until so many octets more may go."""
        if self._rate is None:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now) + octets / self._rate
        # The first piece goes at once, what follows waits for those before it.
        due = self._free_at - octets / self._rate - now
        if due > 0:
            self._wait(due)
