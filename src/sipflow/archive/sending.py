"""A sealed part sent to an archive: its files, verified there one by one, and the manifest last."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from sipflow.archive.columns import partition_of
from sipflow.archive.manifest import (
    MANIFEST,
    PARQUET,
    PRINTS,
    ArchivedFile,
    Manifest,
    decode_manifest,
    encode_manifest,
    manifest_of,
    part_key,
)
from sipflow.archive.place import PIECE, Place, piece_of
from sipflow.archive.reading import Pace, Reading, digest_of
from sipflow.clock import now_us
from sipflow.errors import DamagedSeal, ObjectDamaged, ObjectMissing, StorageError
from sipflow.storage.call_hash import call_hash
from sipflow.storage.contents import Contents
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.part import Part
from sipflow.storage.seal import SEAL_LENGTH, decode_seal, index_against

Proof: TypeAlias = Literal["auto", "read", "size"]
_HASH_OCTETS = 8


class Artefact(NamedTuple):
    """A file on its way: the key of its object, and where it lies."""

    key: str
    file: Path


# Makes further files of a part in a directory gone afterwards; those below the part's key stand in its manifest.
Maker = Callable[[Path, Part, str, Path], list[Artefact]]


class Sent(NamedTuple):
    """A part that stands in an archive, verified: what its keys begin with, and its manifest."""

    key: str
    manifest: Manifest


class Sender:
    """Sends parts of one root to one place. One thread at a time."""

    def __init__(
        self,
        root: Path,
        place: Place,
        node: str,
        proof: Proof = "auto",
        pace: Pace = lambda _octets: None,
        makers: tuple[Maker, ...] = (),
    ) -> None:
        """Prepare; `pace` is told of all octets before they travel, and may wait. `makers` make further files."""
        self._root = root
        self._place = place
        self._node = node
        self._proof: Proof = proof
        self._pace = pace
        self._makers = (prints, *makers)

    def send(self, part: Part, scratch: Path) -> Sent:
        """Send a sealed part; files that stand there already as they should are not sent again.

        The caller keeps its files from being exchanged meanwhile (`copy_lock`). Raises StorageError when the part
        cannot be read here or changed meanwhile, ArchiveError for what the place did not take.
        """
        key = part_key(self._node, part.path)
        directory = self._root / part.path
        with _emptied(scratch):
            made = [one for maker in self._makers for one in maker(self._root, part, key, scratch)]
            data, seal = self._file(Artefact(f"{key}/{DATA}", directory / DATA))
            index, _ = self._file(Artefact(f"{key}/{DATABASE}", directory / DATABASE))
            _belong_together(directory, seal, index)
            further = [(one, self._file(one)[0]) for one in made]
        files = [data, index, *(file for one, file in further if one.key.startswith(f"{key}/"))]
        manifest = manifest_of(part, self._node, files, now_us())
        self._announce(f"{key}/{MANIFEST}", manifest)
        return Sent(key, manifest)

    def _file(self, artefact: Artefact) -> tuple[ArchivedFile, bytes]:
        """Put a file unless it stands there, and prove that it does; gives its last octets too."""
        size = Reading(artefact.file, PIECE).octets
        reading = Reading(artefact.file, piece_of(size), self._pace)
        # By its size alone nothing that stands is believed: it may be what was sent before the part was packed.
        if self._proof == "size" or not self._stands(artefact, size):
            self._hide(artefact.key.rpartition("/")[0])
            if reading.pieces:
                self._place.put_pieces(artefact.key, reading, size, piece_of(size))
            else:
                self._place.put(artefact.key, b"".join(reading))
        else:
            reading = Reading(artefact.file, piece_of(size))
            for _ in reading:
                pass
        name = artefact.key.rpartition("/")[2]
        file = ArchivedFile(name, reading.octets, reading.crc32c, reading.digest.hex())
        try:
            prove(self._place, artefact.key, file, self._proof, reading.etags)
        except ObjectDamaged:
            # So that the next attempt does not take it for one that stands.
            self._place.delete(artefact.key)
            raise
        return file, reading.tail

    def _stands(self, artefact: Artefact, size: int) -> bool:
        try:
            return self._place.head(artefact.key).octets == size
        except ObjectMissing:
            return False

    def _hide(self, key: str) -> None:
        """Take away the manifest of an earlier attempt: none may tell of files that are being replaced."""
        try:
            self._place.head(f"{key}/{MANIFEST}")
        except ObjectMissing:
            return
        self._place.delete(f"{key}/{MANIFEST}")

    def _announce(self, key: str, manifest: Manifest) -> None:
        octets = encode_manifest(manifest)
        self._place.put(key, octets)
        if self._place.get(key) != octets:
            self._place.delete(key)
            raise ObjectDamaged(key, "what was read back is not what was put")


def prove(
    place: Place,
    key: str,
    file: ArchivedFile,
    proof: Proof = "auto",
    etags: tuple[str, ...] = (),
    progress: Callable[[int], None] = lambda _octets: None,
) -> None:
    """Prove that an object is a file as it was read here, by its digest too where that is known.

    With "auto" a mark of the place that is one of `etags` is enough, else everything is read back; `progress` is told
    how many octets were. Raises ObjectDamaged, ArchiveError.
    """
    stored = place.head(key)
    if stored.octets != file.octets:
        raise ObjectDamaged(key, f"it has {stored.octets} octets; {file.octets} were put")
    if proof == "size" or (proof == "auto" and stored.etag is not None and stored.etag.strip('"').lower() in etags):
        return

    def pieces() -> Iterator[bytes]:
        read = 0
        for piece in place.stream(key):
            yield piece
            read += len(piece)
            progress(read)

    if not file.is_of(*digest_of(pieces())):
        raise ObjectDamaged(key, "what was read back is not what was put: its checksum is another")


def read_manifest(place: Place, key: str) -> Manifest:
    """Read the manifest of the part whose keys begin with `key`. Raises ObjectMissing, ObjectDamaged, ArchiveError."""
    name = f"{key}/{MANIFEST}"
    return decode_manifest(place.get(name), name)


def remove(place: Place, key: str) -> None:
    """Delete the objects of a part, its manifest first, so that it is out of sight before any of it is gone.

    Parts below its key, as those of late packets are, stay. Raises ArchiveError.
    """
    names = {DATA, DATABASE, PRINTS, PARQUET}
    with suppress(ObjectMissing, ObjectDamaged):  # of an earlier attempt
        names |= {file.name for file in read_manifest(place, key).files}
    place.delete(f"{key}/{MANIFEST}")
    found = {f"{key}/{name}" for name in names}
    node, _, path = key.partition("/")
    with suppress(ValueError):  # a root without directories has no partition
        found.add(partition_of(node, path).key)
    if place.lists:
        depth = key.count("/") + 1
        found |= {one.key for one in place.walk(key) if one.key.count("/") == depth}
    place.delete(*sorted(found))


def read_prints(place: Place, key: str) -> bytes:
    """Read the hashes of the calls of an archived part, sorted, one behind the other. Raises ArchiveError."""
    name = f"{key}/{PRINTS}"
    octets = place.get(name)
    if len(octets) % _HASH_OCTETS:
        raise ObjectDamaged(name, f"{len(octets)} octets are no list of hashes of {_HASH_OCTETS}")
    return octets


def prints(root: Path, part: Part, key: str, scratch: Path) -> list[Artefact]:
    """Write the call filter of a part: the hash of each of its Call-IDs, sorted. Raises StorageError."""
    calls = Contents(root / part.path, sealed=True).call_ids()
    target = scratch / PRINTS
    try:
        target.write_bytes(b"".join(sorted(map(call_hash, calls))))
    except OSError as error:
        raise StorageError("write", target, error.strerror or str(error)) from None
    return [Artefact(f"{key}/{PRINTS}", target)]


def _belong_together(directory: Path, tail: bytes, index: ArchivedFile) -> None:
    """Refuse an index that the data was not sealed with: one was replaced between the two. Raises StorageError."""
    try:
        seal = decode_seal(tail[-SEAL_LENGTH:], directory / DATA)
    except DamagedSeal:
        return  # sealed by a version that had no seals
    wrong = index_against(seal, index.octets, index.crc32c)
    if wrong:
        raise StorageError("archive", directory, wrong)


@contextmanager
def _emptied(scratch: Path) -> Iterator[None]:
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StorageError("make", scratch, error.strerror or str(error)) from None
    try:
        yield
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
