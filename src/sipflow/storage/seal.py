"""The seal of a bucket: the last frame of data.raw, which tells whether both files are as they were when sealed."""

import os
import struct
from pathlib import Path
from typing import Final

import msgspec

from sipflow._fast import crc32c
from sipflow.errors import DamagedSeal, NewerFormat, StorageError
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.swap import pair_of

SKIPPABLE: Final = 0x184D2A52  # RFC 8878, section 3.1.2: zstd steps over it
MAGIC: Final = b"SFSE"
VERSION: Final = 1
_LAYOUT = struct.Struct("<II4sB3sQQQQI")
_CRC = struct.Struct("<I")
SEAL_LENGTH: Final = _LAYOUT.size + _CRC.size
# Where each field starts, by the names of docs/FORMAT.md.
SEAL_FIELDS: Final = {
    "skippable": 0, "size": 4, "magic": 8, "version": 12, "reserved": 13, "blocks": 16, "records": 24, "end": 32,
    "index_length": 40, "index_crc": 48, "seal_crc": 52,
}  # fmt: skip
_PIECE = 1 << 20


class Seal(msgspec.Struct, frozen=True):
    """What a sealed bucket held; lengths and offsets in octets.

    `end` is where the seal stands: behind the last block. `index_length` and `index_crc` are those of sipflow.db.
    """

    blocks: int
    records: int
    end: int
    index_length: int
    index_crc: int


def encode_seal(seal: Seal) -> bytes:
    """Write a seal as it stands in data.raw."""
    octets = _LAYOUT.pack(
        SKIPPABLE, SEAL_LENGTH - 8, MAGIC, VERSION, bytes(3), seal.blocks, seal.records, seal.end, seal.index_length,
        seal.index_crc,
    )  # fmt: skip
    return octets + _CRC.pack(crc32c(octets))


def decode_seal(octets: bytes, path: Path) -> Seal:
    """Read a seal; `path` names the file in errors. Raises DamagedSeal, NewerFormat."""
    if len(octets) != SEAL_LENGTH:
        raise DamagedSeal(path, "it is too short to end in a seal")
    skippable, size, magic, version, _, *fields = _LAYOUT.unpack_from(octets)
    if (skippable, size, magic) != (SKIPPABLE, SEAL_LENGTH - 8, MAGIC):
        raise DamagedSeal(path, "it does not end in a seal")
    if crc32c(octets[: -_CRC.size]) != _CRC.unpack_from(octets, _LAYOUT.size)[0]:
        raise DamagedSeal(path, "its seal is damaged")
    if version > VERSION:
        raise NewerFormat("read", path, f"its seal is of version {version}; this sipflow reads {VERSION}")
    return Seal(*fields)


def read_seal(data: Path) -> Seal:
    """Read the seal at the end of a data.raw. Raises DamagedSeal when it ends otherwise, NewerFormat, StorageError."""
    try:
        with data.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = max(0, size - SEAL_LENGTH)
            seal = decode_seal(os.pread(file.fileno(), SEAL_LENGTH, start), data)
    except OSError as error:
        raise StorageError("read", data, error.strerror or str(error)) from None
    if seal.end != start:
        raise DamagedSeal(data, f"its seal belongs to a file of {seal.end} octets; found {start} before it")
    return seal


def write_seal(directory: Path, blocks: int, records: int, opened: int | None = None) -> Seal:
    """Append a seal to the data.raw of a bucket whose index is complete and closed, in place of an earlier one.

    `opened` is the descriptor of data.raw, for one that is read-only already; it stays the caller's. Both files are
    synced. Raises StorageError, also when a write-ahead log shows that the index is not complete.
    """
    data, database = directory / DATA, directory / DATABASE
    log = Path(f"{database}-wal")
    if log.exists() and log.stat().st_size > 0:
        raise StorageError("seal", database, "its write-ahead log is not folded in yet: somebody reads it")
    try:
        length, crc = checksum(database, sync=True)
        file = os.open(data, os.O_RDWR | os.O_CLOEXEC) if opened is None else opened
        try:
            end = _end_of_blocks(file)
            seal = Seal(blocks, records, end, length, crc)
            # Over the earlier one: no instant without any.
            os.pwrite(file, encode_seal(seal), end)
            os.ftruncate(file, end + SEAL_LENGTH)
            os.fsync(file)
        finally:
            if opened is None:
                os.close(file)
    except OSError as error:
        raise StorageError("seal", directory, error.strerror or str(error)) from None
    return seal


def _end_of_blocks(file: int) -> int:
    """Tell where a seal belongs: over the one that stands there, sound or damaged, else at the end of the file."""
    size = os.fstat(file).st_size
    start = size - SEAL_LENGTH
    if start < 0:
        return size
    skippable, length, magic, *_ = _LAYOUT.unpack_from(os.pread(file, SEAL_LENGTH, start))
    is_seal = ((skippable == SKIPPABLE) + (length == SEAL_LENGTH - 8) + (magic == MAGIC)) >= 2
    return start if is_seal else size


def checksum(path: Path, *, sync: bool = False) -> tuple[int, int]:
    """Give length and CRC-32C of a file, read in pieces; `sync` has it written out first. Raises OSError."""
    length = crc = 0
    room = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        if sync:
            os.fsync(file.fileno())
        while octets := file.readinto(room):
            length += octets
            crc = crc32c(room[:octets], crc)
    return length, crc


def broken_seal(directory: Path) -> str:
    """Tell in a sentence how the index of a sealed bucket differs from what its seal says; empty when it does not.

    A bucket without a readable seal says nothing of its index: that is for `sipflow verify` to report.
    """
    pair = pair_of(directory)
    try:
        seal = read_seal(pair.data)
        found = checksum(pair.database)
    except DamagedSeal:
        return ""
    except StorageError as error:
        return str(error)
    except OSError as error:
        return f"read {pair.database}: {error.strerror or error}"
    return index_against(seal, *found)


def index_against(seal: Seal, length: int, crc: int) -> str:
    """Tell in a sentence how the length and checksum of an index differ from its seal; empty when they do not."""
    if length != seal.index_length:
        return f"{DATABASE} has {length} octets; when it was sealed it had {seal.index_length}"
    if crc != seal.index_crc:
        return f"{DATABASE} is damaged: its checksum is not the one it was sealed with"
    return ""
