"""An archive compared with the catalog: parts that only the archive knows are listed again."""

from collections.abc import Iterator
from typing import NamedTuple

from sipflow.archive.manifest import MANIFEST, PRINTS, Manifest, part_key
from sipflow.archive.place import Place
from sipflow.archive.sending import read_manifest, read_prints
from sipflow.clock import now_us
from sipflow.errors import ObjectDamaged, ObjectMissing
from sipflow.storage.catalog import Catalog
from sipflow.storage.part import Part


class Archived(NamedTuple):
    """A part in an archive by its key, and its manifest; or why that cannot be read."""

    key: str
    manifest: Manifest | None
    fault: str = ""


def archived(place: Place, node: str, below: str = "") -> Iterator[Archived]:
    """Walk the parts of a node in an archive, those whose paths begin with the segments of `below`, in order of key.

    Raises ArchiveError.
    """
    prefix = f"{node}/{below}".rstrip("/")
    names = sorted(one.key for one in place.walk(prefix) if one.key.endswith(f"/{MANIFEST}"))
    for name in names:
        key = name.removesuffix(f"/{MANIFEST}")
        try:
            manifest = read_manifest(place, key)
        except ObjectDamaged as error:
            yield Archived(key, None, error.reason)
            continue
        except ObjectMissing:
            continue  # let go of meanwhile
        fault = "" if part_key(manifest.node, manifest.path) == key else f"its manifest is of {manifest.path}"
        yield Archived(key, manifest, fault)


def adopt(catalog: Catalog, place: Place, found: Archived) -> bool:
    """List an archived part in a catalog that does not know it; False when it does. Raises ArchiveError, StorageError.

    Its local files count as evicted: they are not here.
    """
    manifest = found.manifest
    if manifest is None or found.fault or catalog.part_at(manifest.path) is not None:
        return False
    now = now_us()
    part = Part(
        0, manifest.path, manifest.start_us, manifest.end_us, "sealed", 0, manifest.t0_us, manifest.t1_us,
        manifest.calls, manifest.sip_messages, manifest.rtp_packets, manifest.octets, erased_us=manifest.erased_us,
        archived_us=manifest.written_us, archive_key=found.key, evicted_us=now,
        packed_us=manifest.written_us if manifest.packed else None,
    )  # fmt: skip
    hashes = read_prints(place, found.key) if manifest.file(PRINTS) is not None else b""
    return catalog.adopt(part, hashes)
