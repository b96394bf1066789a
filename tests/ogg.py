"""Ogg pages (RFC 3533) and the Opus headers (RFC 7845), enough to hand RTP payloads to a program that reads files."""

import struct
from collections.abc import Sequence


def _checksum(octets: bytes) -> int:
    value = 0
    for octet in octets:
        value ^= octet << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
    return value


def _page(packet: bytes, flags: int, position: int, number: int) -> bytes:
    sizes = b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,))
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, 1, number, 0, len(sizes)) + sizes
    whole = head + packet
    return whole[:22] + struct.pack("<I", _checksum(whole)) + whole[26:]


def opus_file(packets: Sequence[bytes], samples_each: int) -> bytes:
    """Write Opus packets as a file that begins with the first sample: no pre-skip."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I4sI", 4, b"test", 0)
    pages = [_page(head, 2, 0, 0), _page(tags, 0, 0, 1)]
    for number, packet in enumerate(packets):
        last = 4 if number == len(packets) - 1 else 0
        pages.append(_page(packet, last, samples_each * (number + 1), number + 2))
    return b"".join(pages)
