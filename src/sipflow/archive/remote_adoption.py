"""Parts that an archive has and the catalog of a root lacks are listed: after the loss of a machine or of a catalog."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from sipflow.archive.manifest import MANIFEST, PRINTS, Manifest, part_key
from sipflow.archive.place import Place
from sipflow.archive.sending import read_manifest, read_prints
from sipflow.clock import now_us
from sipflow.errors import ObjectDamaged, ObjectMissing, StorageError
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.index import Totals
from sipflow.storage.layout import DATA, DATABASE, PART
from sipflow.storage.seal import read_seal

# Parts whose manifests and filters come side by side, and the most whose filters are in memory at once.
_AT_ONCE: Final = 16
# Late parts of one period: what Catalog.claim allows.
_PATHS_MOST: Final = 10_000

Progress = Callable[[int, int], None]


class Adopted(NamedTuple):
    """How many parts were listed, and what could not be, in sentences."""

    parts: int
    faults: list[str]


class _Found(NamedTuple):
    """A part of the archive: its key, its manifest and the hashes of its calls; or why they cannot be read.

    Without hashes it is asked for every call.
    """

    key: str
    manifest: Manifest | None
    hashes: bytes | None
    fault: str


def adopt_missing(root: Path, place: Place, node: str, progress: Progress = lambda _done, _all: None) -> Adopted:
    """List the parts of a node that its archive has and the catalog does not, the newest first; makes the root.

    What was deleted here stays deleted. A part whose path another part has meanwhile gets a path of its own. `progress`
    is told how many are done of how many. Raises ArchiveError when the archive cannot be listed, StorageError.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError("make", root, error.strerror or str(error)) from None
    catalog = Catalog(root)
    try:
        return _Adoption(catalog, place, node).run(progress)
    finally:
        catalog.close()


class _Adoption:
    """One comparison of an archive with a catalog."""

    def __init__(self, catalog: Catalog, place: Place, node: str) -> None:
        self._catalog = catalog
        self._place = place
        self._node = node
        self._done = 0
        self._faults: list[str] = []

    def run(self, progress: Progress) -> Adopted:
        known = {part.archive_key for part in self._catalog.standing() if part.state != "unlisted"}
        suffix = f"/{MANIFEST}"
        names = [one.key for one in self._place.walk(self._node) if one.key.endswith(suffix)]
        missing = sorted({name.removesuffix(suffix) for name in names} - known, reverse=True)
        for done, found in enumerate(self._read(missing), 1):
            if found.fault:
                self._faults.append(f"{found.key}: {found.fault}")
            if found.manifest is not None:
                self._list(found.key, found.manifest, found.hashes)
            progress(done, len(missing))
        return Adopted(self._done, self._faults)

    def _read(self, keys: Sequence[str]) -> Iterator[_Found]:
        with ThreadPoolExecutor(_AT_ONCE, "adoption") as threads:
            for at in range(0, len(keys), _AT_ONCE):
                yield from threads.map(self._found, keys[at : at + _AT_ONCE])

    def _found(self, key: str) -> _Found:
        try:
            manifest = read_manifest(self._place, key)
        except ObjectMissing:
            return _Found(key, None, None, "")  # let go of meanwhile
        except ObjectDamaged as error:
            return _Found(key, None, None, error.reason)
        if part_key(manifest.node, manifest.path) != key:
            return _Found(key, None, None, f"its manifest is of {part_key(manifest.node, manifest.path)}")
        try:
            hashes = read_prints(self._place, key) if manifest.file(PRINTS) is not None else None
        except (ObjectMissing, ObjectDamaged) as error:
            return _Found(key, manifest, None, f"{error.reason}: it is asked for every call")
        return _Found(key, manifest, hashes, "")

    def _list(self, key: str, manifest: Manifest, hashes: bytes | None) -> None:
        here = self._catalog.part_at(manifest.path)
        if here is None:
            self._adopt(key, manifest, hashes, manifest.path)
        elif here.archive_key == key:
            if here.evicted_us is not None and here.state == "unlisted" and hashes is not None:
                self._catalog.filtered(here, _totals(manifest), hashes, here.rtp_octets)
                self._done += 1
        elif here.deleted_us is not None or here.state == "unlisted":
            return  # it is no longer wanted, or looked at when its files have been
        elif _same(here, manifest):
            if self._is_copy(here, manifest):
                self._catalog.archived(here, key, manifest.written_us)
        else:
            self._beside(key, manifest, hashes)

    def _beside(self, key: str, manifest: Manifest, hashes: bytes | None) -> None:
        """List a part whose path is another's: of a machine that bore this name before."""
        if any(part.archive_key == key for part in self._catalog.standing()):
            return
        directory = re.sub(rf"/?{PART}\d+\Z", "", manifest.path) or "."
        for number in range(1, _PATHS_MOST):
            path = (Path(directory) / f"{PART}{number:04d}").as_posix()
            if not (self._catalog.root / path).exists() and self._catalog.part_at(path) is None:
                self._adopt(key, manifest, hashes, path)
                return
        self._faults.append(f"{key}: {_PATHS_MOST} parts of one period exist")

    def _adopt(self, key: str, manifest: Manifest, hashes: bytes | None, path: str) -> None:
        part = Part(
            0, path, manifest.start_us, manifest.end_us, "unlisted" if hashes is None else "sealed", 0, manifest.t0_us,
            manifest.t1_us, manifest.calls, manifest.sip_messages, manifest.rtp_packets, _totals(manifest).octets,
            erased_us=manifest.erased_us, archived_us=manifest.written_us, archive_key=key, evicted_us=now_us(),
            packed_us=manifest.written_us if manifest.packed else None,
        )  # fmt: skip
        self._done += self._catalog.adopt(part, hashes or b"")

    def _is_copy(self, part: Part, manifest: Manifest) -> bool:
        """Tell whether the files here are those in the archive: their seal names the index that was put there."""
        index = manifest.file(DATABASE)
        try:
            seal = read_seal(self._catalog.root / part.path / DATA)
        except StorageError:
            return False
        return index is not None and (seal.index_length, seal.index_crc) == (index.octets, index.crc32c)


def _totals(manifest: Manifest) -> Totals:
    octets = sum(file.octets for file in manifest.files if file.name in (DATA, DATABASE))
    return Totals(manifest.calls, manifest.sip_messages, manifest.rtp_packets, manifest.t0_us, manifest.t1_us, octets)


def _same(part: Part, manifest: Manifest) -> bool:
    """Tell whether a part here and one in the archive hold the same packets, as far as counts and times tell."""
    counts = part.t0_us, part.t1_us, part.calls, part.sip_messages, part.rtp_packets
    return counts == (manifest.t0_us, manifest.t1_us, manifest.calls, manifest.sip_messages, manifest.rtp_packets)


def another_has(catalog: Catalog, part: Part, key: str) -> bool:
    """Tell whether the objects under a key belong to another part than the one that is about to be put there."""
    return any(one.archive_key == key and one.id != part.id for one in catalog.standing())
