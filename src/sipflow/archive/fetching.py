"""A part brought back from an archive: fetched beside its place, proved, put there by rename, and listed."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from sipflow.archive.adoption import Archived, adopt
from sipflow.archive.manifest import ArchivedFile, Manifest
from sipflow.archive.place import Place
from sipflow.archive.reading import digest_of
from sipflow.archive.state import DIRECTORY
from sipflow.errors import ObjectDamaged, StorageError
from sipflow.storage.catalog import Catalog
from sipflow.storage.layout import DATA, DATABASE, HOLD, is_bucket
from sipflow.storage.seal import broken_seal
from sipflow.storage.sweep import sweep_lock

# Told after each piece: which file, and how many of its octets are here.
Progress = Callable[[str, int, int], None]


def fetch_part(
    root: Path, place: Place, found: Archived, progress: Progress | None = None, *, hold: bool = True
) -> int:
    """Bring a part back to `root`, where its files must not stand; gives the octets that were fetched.

    With `hold` a file keeps retention from evicting it again. Raises ArchiveError, ObjectDamaged when it is not what
    was put there; StorageError, also when its files stand here; RootBusy while somebody erases or deletes.
    """
    manifest = found.manifest
    if manifest is None or found.fault:
        raise ObjectDamaged(found.key, found.fault)
    directory = root / manifest.path
    if is_bucket(directory):
        raise StorageError("pull to", directory, "its files stand there already")
    beside = root / DIRECTORY / f"pull-{os.getpid()}"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(mode=0o700, parents=True)
        octets = _fetch(place, found.key, manifest, beside, progress)
        wrong = broken_seal(beside)
        if wrong:
            raise ObjectDamaged(found.key, wrong)
        _put(root, place, found, manifest, beside, hold=hold)
    except OSError as error:
        raise StorageError("pull to", directory, error.strerror or str(error)) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return octets


def _fetch(place: Place, key: str, manifest: Manifest, beside: Path, progress: Progress | None) -> int:
    octets = 0
    for name in (DATA, DATABASE):
        file = manifest.file(name)
        assert file is not None  # no manifest is read without both
        octets += _file(place, f"{key}/{name}", file, beside / name, progress)
    return octets


def _file(place: Place, key: str, file: ArchivedFile, target: Path, progress: Progress | None) -> int:
    def written(out: BinaryIO) -> Iterator[bytes]:
        octets = 0
        for piece in place.stream(key):
            out.write(piece)
            yield piece
            octets += len(piece)
            if octets > file.octets:
                break
            if progress is not None:
                progress(key, octets, file.octets)

    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
        found = digest_of(written(out))
        out.flush()
        os.fsync(out.fileno())
    if not file.is_of(*found):
        raise ObjectDamaged(key, "it is not what its manifest says: size or checksum are others")
    target.chmod(0o400)
    return file.octets


def _put(root: Path, place: Place, found: Archived, manifest: Manifest, beside: Path, *, hold: bool) -> None:
    directory = root / manifest.path
    catalog = Catalog(root)
    try:
        with sweep_lock(root):
            adopt(catalog, place, found)
            directory.mkdir(parents=True, exist_ok=True)
            if hold:
                (directory / HOLD).touch(mode=0o600)
            # The data first: an index without it would be a bucket that cannot be read.
            for name in (DATA, DATABASE):
                (beside / name).rename(directory / name)
            part = catalog.part_at(manifest.path)
            if part is None or not part.sealed:
                state = "it is gone" if part is None else f"it is {part.state}"
                raise StorageError("pull to", directory, f"the catalog does not take it back: {state}")
            catalog.returned(part)
    finally:
        catalog.close()
