"""The checksum of a row of catalog.db."""

from sipflow._fast import crc32c


def row_crc(*columns: object) -> int:
    """Compute the checksum of a row: CRC-32C of its columns, as UTF-8 text and blobs as they are, each ended by 0."""
    crc = 0
    for column in columns:
        octets = column if isinstance(column, bytes) else b"" if column is None else str(column).encode()
        crc = crc32c(octets + b"\0", crc)
    return crc


def prints_crc(shard: int, part: int, prints: bytes) -> int:
    """Compute what `row_crc` does for a row of call_prints, in one turn: an audit computes hundreds of thousands.

    Raises TypeError when a column is of another type.
    """
    return crc32c(b"%d\0%d\0%b\0" % (shard, part, prints))
