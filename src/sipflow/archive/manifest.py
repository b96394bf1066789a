"""The manifest of a part in an archive: what is written last, and makes the part visible."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

import msgspec

from sipflow.errors import ObjectDamaged
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.part import Part

VERSION: Final = 1
MANIFEST: Final = "manifest.json"
PRINTS: Final = "calls.prints"
PARQUET: Final = "calls.parquet"


class ArchivedFile(msgspec.Struct, frozen=True):
    """One file of a part: its name below the part's key, its octets, their CRC-32C and their digest.

    The digest is BLAKE2b of 32 octets (RFC 7693) in hexadecimal; empty in manifests of versions that wrote none.
    """

    name: str
    octets: int
    crc32c: int
    blake2b: str = ""

    def is_of(self, octets: int, crc: int, digest: bytes) -> bool:
        """Tell whether octets that were read are those of the file: by its digest too, where that is known."""
        return (octets, crc) == (self.octets, self.crc32c) and self.blake2b in ("", digest.hex())


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archived part holds; times in microseconds since the epoch, `path` as in catalog.db.

    `packed` tells whether its files were packed before they went; `erased_us` when its media was given up before.
    """

    version: int = VERSION
    node: str
    path: str
    start_us: int
    end_us: int
    t0_us: int | None
    t1_us: int | None
    calls: int
    sip_messages: int
    rtp_packets: int
    packed: bool
    erased_us: int | None = None
    files: list[ArchivedFile]
    written_us: int

    @property
    def octets(self) -> int:
        """Give the octets of all files."""
        return sum(file.octets for file in self.files)

    def file(self, name: str) -> ArchivedFile | None:
        """Find a file by its name."""
        return next((file for file in self.files if file.name == name), None)


def manifest_of(part: Part, node: str, files: Iterable[ArchivedFile], written_us: int) -> Manifest:
    """Describe a sealed part whose files were put into an archive."""
    return Manifest(
        node=node, path=part.path, start_us=part.start_us, end_us=part.end_us, t0_us=part.t0_us, t1_us=part.t1_us,
        calls=part.calls or 0, sip_messages=part.sip_messages or 0, rtp_packets=part.rtp_packets or 0,
        packed=part.packed_us is not None, erased_us=part.erased_us, files=list(files), written_us=written_us,
    )  # fmt: skip


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as its object holds it: JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode_manifest(octets: bytes, key: str) -> Manifest:
    """Read a manifest; `key` names its object in errors. Raises ObjectDamaged."""
    try:
        version = msgspec.json.decode(octets, type=_Versioned).version
        if version > VERSION:
            raise ObjectDamaged(key, f"its version {version} was written by a later sipflow, this one reads {VERSION}")
        manifest = msgspec.json.decode(octets, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ObjectDamaged(key, f"it is no manifest: {error}") from None
    # The names become files of this machine when the part is fetched: nothing leads out of its directory.
    if not _is_inside(manifest.path) or any(not _is_plain(file.name) for file in manifest.files):
        raise ObjectDamaged(key, "it names files outside of its part")
    if {DATA, DATABASE} - {file.name for file in manifest.files}:
        raise ObjectDamaged(key, f"it lists no {DATA} or no {DATABASE}")
    return manifest


def part_key(node: str, path: str) -> str:
    """Name what the objects of a part begin with, below the root of the destination."""
    return node if path == "." else f"{node}/{path}"


class _Versioned(msgspec.Struct):
    version: int


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and name.isprintable()


def _is_inside(path: str) -> bool:
    return path == "." or (not path.startswith("/") and ".." not in PurePosixPath(path).parts and path.isprintable())
