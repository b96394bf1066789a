"""What an archive can be asked, whatever keeps it: an object store, a directory, an HTTP server."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

# Pieces that large objects travel in: S3 takes none below 5 MiB but the last, and no more than 10,000 of one object.
PIECE = 8 << 20
PIECES_MAX = 10_000


class Stored(NamedTuple):
    """An object as its place lists it: key below the root, octets, and the place's own mark of its content, if any."""

    key: str
    octets: int
    etag: str | None


class Place(Protocol):
    """Objects by key. What fails raises ArchiveError; ObjectMissing when there is no such object."""

    where: str
    # Whether `walk` can be asked.
    lists: bool

    def walk(self, prefix: str = "") -> Iterator[Stored]:
        """Walk the objects whose keys begin with the segments of `prefix`."""
        ...

    def head(self, key: str) -> Stored:
        """Ask for size and mark of an object."""
        ...

    def get(self, key: str) -> bytes:
        """Fetch a whole object."""
        ...

    def stream(self, key: str, octets: int = PIECE) -> Iterator[bytes]:
        """Fetch an object piece by piece."""
        ...

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Fetch `length` octets from `start` on."""
        ...

    def get_ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Fetch several stretches."""
        ...

    def put(self, key: str, octets: bytes) -> Stored:
        """Put a small object."""
        ...

    def put_pieces(self, key: str, pieces: Iterable[bytes], octets: int, piece: int = PIECE) -> Stored:
        """Put a large object in pieces of `piece` octets; whole or not at all."""
        ...

    def delete(self, *keys: str) -> None:
        """Delete objects; those that are gone already are well."""
        ...


def piece_of(octets: int) -> int:
    """Choose in what pieces a large object of so many octets travels."""
    return PIECE * -(-octets // (PIECE * PIECES_MAX)) or PIECE
