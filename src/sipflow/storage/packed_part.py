"""What speaks against packing a part, and what becomes of one whose packing a process had begun when it ended."""

from collections.abc import Iterator
from pathlib import Path

from sipflow.errors import DamagedSeal
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.contents import Contents
from sipflow.storage.index import SCHEMA_VERSION, connect, version_of
from sipflow.storage.layout import DATA, DATABASE, HOLD
from sipflow.storage.seal import read_seal
from sipflow.storage.sealed import Octets, erased_us, is_sealed, octets_listed, packed_us
from sipflow.storage.swap import discard, settle


def unfit(root: Path, part: Part) -> str:
    """Tell in a sentence why a part is not packed; empty when nothing speaks against it.

    No data is read for it: damage is found by packing alone. Raises StorageError.
    """
    return next(_against(root / part.path, part), "")


def _against(directory: Path, part: Part) -> Iterator[str]:
    if part.evicted_us is not None:
        yield "its files are in the archive alone"
    if part.archived_us is not None:
        yield "it is archived as it is"
    if not part.sealed or not is_sealed(directory):
        yield "it is not sealed: packets may still come"
    if (directory / HOLD).exists():
        yield f"it is held by a file named {HOLD}: its files stay as they are"
    index = connect(directory / DATABASE, readonly=True, immutable=True)
    try:
        version = version_of(index)
    finally:
        index.close()
    if version != SCHEMA_VERSION:
        yield f"its index is of version {version}; `sipflow reindex` makes it anew"
    if part.packed_us is not None or packed_us(directory) is not None:
        yield "it is packed"
    if part.erased_us is not None or erased_us(directory) is not None:
        yield "its media is erased: nothing is left to put together"
    try:
        read_seal(directory / DATA)
    except DamagedSeal as error:
        yield f"{error.hint}: it was cut off, or sealed by a version that had no seals; `sipflow reindex` seals it"


def tell_packed(catalog: Catalog, part: Part, when_us: int) -> None:
    """Record in the catalog that a part is packed, and what it takes now. Raises StorageError."""
    directory = catalog.root / part.path
    octets = octets_listed(directory) or Octets(0, 0)
    catalog.packed(part, Contents(directory, sealed=True).totals(), octets.rtp, when_us)


def settle_part(catalog: Catalog, part: Part) -> bool:
    """Finish an exchange of files that was begun; tells whether there was one. To be called with the sweep lock.

    Raises StorageError.
    """
    if not settle(catalog.root / part.path):
        return False
    _tell_if_packed(catalog, part)
    return True


def take_over(catalog: Catalog) -> list[str]:
    """Finish what was begun in all parts, throw away what was in the making; gives the paths. With the sweep lock.

    Nobody else may be packing there. Raises StorageError.
    """
    found = []
    for part in catalog.standing():
        directory = catalog.root / part.path
        if settle(directory) | discard(directory):
            found.append(part.path)
        if part.sealed and part.packed_us is None and is_sealed(directory):
            _tell_if_packed(catalog, part)
    return found


def _tell_if_packed(catalog: Catalog, part: Part) -> None:
    when_us = packed_us(catalog.root / part.path)
    if when_us is not None and part.sealed and part.packed_us is None:
        tell_packed(catalog, part, when_us)
