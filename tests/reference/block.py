"""A plain reader of data.raw, written from docs/FORMAT.md alone: standard library and zstandard, nothing of sipflow.

It is slow and obvious on purpose: tests hold the C code against it. `read(octets)` gives the blocks of a sound file;
anything unsound raises ValueError.
"""

import struct
from ipaddress import ip_address
from typing import Any, NamedTuple

import zstandard

HEADER = struct.Struct("<II2sBBBBHIIIIQqqI")
ENDS = struct.Struct("<IiHHBBH16s16s")
IDENTITY = struct.Struct("<BBIiIHH")
NO_BLOCKS = ((0x184D2A51, b"SFER"), (0x184D2A52, b"SFSE"))
SEAL = struct.Struct("<II4sB3sQQQQII")
SIGN = {64: 1 << 63, 32: 1 << 31, 16: 1 << 15}


class Packet(NamedTuple):
    """One packet of a stream block; the arrival time is rounded to whole milliseconds after capture."""

    time_us: int
    arrival_us: int
    octets: bytes


class Block(NamedTuple):
    """One block: kind 1 has `messages`, kind 2 has `stream` and `packets`."""

    offset: int
    kind: int
    flags: int
    records: int
    chunk: int
    t0_us: int
    t1_us: int
    messages: list[tuple[int, dict[str, Any]]]
    stream: dict[str, Any]
    packets: list[Packet]


def crc32c(octets: bytes) -> int:
    """Compute the Castagnoli checksum, bit by bit (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def signed(value: int, bits: int) -> int:
    """Reduce a number to a signed one of `bits`, as arithmetic that wraps does."""
    return (value + SIGN[bits]) % (1 << bits) - SIGN[bits]


class Reader:
    """Takes octets, little-endian numbers and varints from the front of a content."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.at = octets, 0

    def take(self, n: int) -> bytes:
        part = self.octets[self.at : self.at + n]
        if len(part) != n:
            raise ValueError("content ends too early")
        self.at += n
        return part

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self.take(layout.size))

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            octet = self.take(1)[0]
            value |= (octet & 0x7F) << shift
            if octet < 0x80:
                break
        else:
            raise ValueError("varint too long")
        if value >= 1 << 64:
            raise ValueError("varint too large")
        return value

    def varints(self, count: int) -> list[int]:
        return [self.varint() for _ in range(count)]

    def count(self) -> int:
        value = self.varint()
        if value > len(self.octets):
            raise ValueError("more than there are octets")
        return value

    def zigzag(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def deltas(self, count: int) -> list[int]:
        values, value = [], 0
        for _ in range(count):
            value = signed(value + self.zigzag(), 64)
            values.append(value)
        return values

    def steps(self, count: int, bits: int) -> list[int]:
        values, value, step = [], 0, 0
        for i in range(count):
            change = self.zigzag()
            if i > 0:
                step = signed(step + change, bits)
            value = signed(value + (step if i > 0 else change), bits)
            values.append(value)
        return values


def ends(reader: Reader) -> dict[str, Any]:
    """Read where a message came from and went."""
    client, leg, src_port, dst_port, family, flags, _, *addresses = reader.unpack(ENDS)
    if family not in (4, 6) or flags > 3:
        raise ValueError("not a message")
    src, dst = (str(ip_address(address[: 16 if family == 6 else 4])) for address in addresses)
    return {
        "client_id": client,
        "leg": leg if flags & 1 else None,
        "src": (src, src_port),
        "dst": (dst, dst_port),
        "clock_skew": bool(flags & 2),
    }


def messages(content: bytes) -> list[tuple[int, dict[str, Any]]]:
    """Read the content of a kind 1 block: each message with the place of its payload."""
    reader = Reader(content)
    (base,) = reader.unpack(struct.Struct("<q"))
    table = [ends(reader) for _ in range(reader.count())]
    calls = reader.count()
    counts, id_lengths, id_places = (reader.varints(calls) for _ in range(3))
    ids = [reader.take(n) if place == 0 else b"" for n, place in zip(id_lengths, id_places, strict=True)]
    total = sum(counts)
    if total > len(content) or any(n > 65535 for n in id_lengths):
        raise ValueError("more than there are octets")
    which = reader.varints(total)
    times, delays = ([reader.zigzag() for _ in range(total)] for _ in range(2))
    lengths, found = reader.varints(total), list[tuple[int, dict[str, Any]]]()
    for count, id_length, place, apart in zip(counts, id_lengths, id_places, ids, strict=True):
        call_id, time = apart, base
        if count == 0 or (place > 0 and place - 1 + id_length > lengths[len(found)]):
            raise ValueError("not a call")
        for n in range(count):
            number, position = len(found), reader.at
            payload = reader.take(lengths[number])
            if reader.take(1) != b"\n" or which[number] >= len(table):
                raise ValueError("not a message")
            if n == 0 and place > 0:
                call_id = payload[place - 1 :][:id_length]
            time = signed(time + times[number], 64)
            arrival = signed(time + delays[number] * 1000, 64)
            known = {"time_us": time, "arrival_us": arrival, "call_id": call_id, "payload": payload}
            found.append((position, known | table[which[number]]))
    if reader.at != len(content):
        raise ValueError("octets left over")
    return found


def stream(content: bytes) -> tuple[dict[str, Any], list[Packet]]:
    """Read the content of a kind 2 block: whose packets these are, and the packets."""
    reader = Reader(content)
    flags, family, client, leg, ssrc, src_port, dst_port = reader.unpack(IDENTITY)
    if flags > 15 or flags & 9 == 8 or family not in (4, 6):
        raise ValueError("not a stream")
    ip_octets = 16 if family == 6 else 4
    src, dst = (str(ip_address(reader.take(ip_octets))) for _ in range(2))
    call_id = reader.take(struct.unpack("<H", reader.take(2))[0])
    count = reader.varint()
    if count > len(content):
        raise ValueError("more packets than octets")
    times, delays, lengths = reader.steps(count, 64), reader.deltas(count), reader.deltas(count)
    if any(not 0 <= length <= 65535 for length in lengths):
        raise ValueError("not a length")
    split = [bool(flags & 8) and length >= 12 for length in lengths]
    first, second = reader.take(sum(split)), reader.take(sum(split))
    sequences, timestamps = reader.steps(sum(split), 16), reader.steps(sum(split), 32)
    packets, last, n = [], 128, 0
    for i in range(count):
        head = b""
        rest = reader.take(lengths[i] - 12 if split[i] else lengths[i])
        if split[i]:
            head = struct.pack(">BBHII", first[n], second[n], sequences[n] % (1 << 16), timestamps[n] % (1 << 32), ssrc)
            payload_type, octets = second[n] & 0x7F, bytearray(rest)
            for at in range(len(octets) if payload_type in (0, 8) else 0):
                last = (last + octets[at]) % 256
                octets[at] = mu_law(last) if payload_type == 0 else a_law(last)
            rest, n = bytes(octets), n + 1
        packets.append(Packet(times[i], signed(times[i] + delays[i] * 1000, 64), head + rest))
    if reader.at != len(content):
        raise ValueError("octets left over")
    identity = {
        "call_id": call_id,
        "leg": leg if flags & 2 else None,
        "client_id": client,
        "src": (src, src_port),
        "dst": (dst, dst_port),
        "ssrc": ssrc if flags & 1 else None,
        "clock_skew": bool(flags & 4),
    }
    return identity, packets


def mu_law(index: int) -> int:
    """Give the mu-law octet of a place in the order of levels."""
    return index if index < 128 else 383 - index


def a_law(index: int) -> int:
    """Give the A-law octet of a place in the order of levels."""
    return (index if index >= 128 else 127 - index) ^ 0x55


def block(octets: bytes, offset: int) -> tuple[Block, int]:
    """Read the block at `offset`; gives it and where the next one starts."""
    head = octets[offset : offset + HEADER.size]
    if len(head) != HEADER.size:
        raise ValueError("header ends too early")
    skippable, size, magic, version, kind, transform, flags, _, records, raw, length, crc, chunk, t0, t1, head_crc = (
        HEADER.unpack(head)
    )
    frame = octets[offset + HEADER.size : offset + HEADER.size + length]
    if (skippable, size, magic, version) != (0x184D2A50, HEADER.size - 8, b"SF", 1) or crc32c(head[:-4]) != head_crc:
        raise ValueError("not a header")
    if (kind, transform) not in ((1, 2), (2, 1)) or len(frame) != length or crc32c(frame) != crc:
        raise ValueError("not a block")
    content = zstandard.ZstdDecompressor().decompress(frame, max_output_size=raw)
    found = messages(content) if kind == 1 else []
    identity, packets = stream(content) if kind == 2 else ({}, [])
    if len(content) != raw or len(found or packets) != records:
        raise ValueError("content does not fit its header")
    return Block(offset, kind, flags, records, chunk, t0, t1, found, identity, packets), offset + HEADER.size + length


def read(octets: bytes) -> list[Block]:
    """Read all blocks of data.raw, stepping over its seal and over what retention erased."""
    blocks, offset = [], 0
    while offset < len(octets):
        skippable, size, name = struct.unpack("<II4s", octets[offset : offset + 12].ljust(12, b"\0"))
        if (skippable, name) in NO_BLOCKS:
            offset += 8 + size
            continue
        found, offset = block(octets, offset)
        blocks.append(found)
    return blocks


def seal(octets: bytes) -> dict[str, int]:
    """Read the seal that a sealed data.raw ends in."""
    last = octets[-SEAL.size :]
    skippable, size, name, version, _, blocks, records, end, length, crc, seal_crc = SEAL.unpack(last)
    if (skippable, size, name, version) != (0x184D2A52, SEAL.size - 8, b"SFSE", 1) or crc32c(last[:-4]) != seal_crc:
        raise ValueError("no seal")
    if end != len(octets) - SEAL.size:
        raise ValueError("the seal of another file")
    return {"blocks": blocks, "records": records, "end": end, "index_length": length, "index_crc": crc}
