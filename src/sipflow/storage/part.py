"""A part: the files of one bucket, as a row of catalog.db tells of them or as the files do themselves."""

from pathlib import Path
from typing import NamedTuple, TypeAlias

from sipflow.errors import StorageError
from sipflow.storage.layout import period_at
from sipflow.storage.sealed import erased_us, is_sealed, packed_us

# What changes whenever an opened part must be opened anew.
Revision: TypeAlias = tuple[bool, int | None, int | None, int | None, str | None, int | None, int | None]


class Part(NamedTuple):
    """One row of the catalog; times in microseconds, None while the part is open.

    A part is `unlisted` when nobody writes it and the filter does not know its calls: it is asked for every call.
    `octets` are those of data.raw and the index; `rtp_octets` those of its stream blocks, `sip_octets` the rest, None
    until somebody counted. `erased_us` is when its media was given up: with octets of RTP left, that is not done yet.

    `archived_us` is when its objects were all verified, `archive_key` what their names begin with. `evicted_us` is when
    its local files were given up after that: it stays sealed, and the archive has what it holds. `packed_us` is when it
    was packed.
    """

    id: int
    path: str
    start_us: int
    end_us: int
    state: str
    owner: int
    t0_us: int | None
    t1_us: int | None
    calls: int | None
    sip_messages: int | None
    rtp_packets: int | None
    octets: int | None
    sip_octets: int | None = None
    rtp_octets: int | None = None
    imported_us: int | None = None
    erased_us: int | None = None
    deleted_us: int | None = None
    archived_us: int | None = None
    archive_key: str | None = None
    evicted_us: int | None = None
    packed_us: int | None = None

    @property
    def sealed(self) -> bool:
        """Tell whether the part takes no packets any more; retention may still erase its media."""
        return self.state == "sealed"

    @property
    def period_us(self) -> int:
        """Tell how long the period is that the part covers."""
        return self.end_us - self.start_us

    @property
    def revision(self) -> Revision:
        """Give what tells this state of the part's files from another."""
        erased = None if self.erased_us is None else self.rtp_octets
        return self.sealed, self.erased_us, erased, self.archived_us, self.archive_key, self.evicted_us, self.packed_us


def found_part(root: Path, path: Path, number: int = 0) -> Part:
    """Describe a bucket by its files alone, as one that no catalog lists; `number` is its id where one does."""
    sealed = is_sealed(root / path)
    state, (start_us, end_us) = "sealed" if sealed else "open", period_at(path)
    try:
        erased, packed = (erased_us(root / path), packed_us(root / path)) if sealed else (None, None)
    except StorageError:
        erased = packed = None  # opening it says what is wrong
    return Part(
        number, path.as_posix(), start_us, end_us, state, 0, None, None, None, None, None, None,
        erased_us=erased, packed_us=packed,
    )  # fmt: skip
