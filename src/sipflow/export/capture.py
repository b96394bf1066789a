"""A call as a capture file that other tools read: pcapng, one interface of raw IP, in order of time.

draft-ietf-opsawg-pcapng; SIP and RTP as UDP, each datagram with its capture time in microseconds.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipflow.export.frame import PAYLOAD_MAX, is_ip, udp_packets
from sipflow.version import __version__
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Chunk, Message

_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_PACKET: Final = 6
_COMMENT: Final = 1
_APPLICATION: Final = 4
_RESOLUTION: Final = 9
_RAW_IP: Final = 101
_MICROSECONDS: Final = 6
_COMMENT_MAX: Final = 60_000
# So many chunks of media are laid out at once: some seconds of some streams, a few megabytes.
_CHUNKS_AT_ONCE: Final = 64
_NEVER: Final = np.iinfo(np.int64).max


class _Blocks(NamedTuple):
    """Packet blocks of equal length, one per row, and their times."""

    time_us: NDArray[np.int64]
    rows: NDArray[np.uint8]


def write_capture(messages: Sequence[Message], chunks: Sequence[Chunk], comment: str) -> Iterator[bytes]:
    """Give a capture file in parts.

    What UDP cannot carry (more than PAYLOAD_MAX octets, which came over TCP) is cut there; the comment of the section
    says what the file has, and what not.
    """
    long = sum(len(message.payload) > PAYLOAD_MAX for message in messages)
    said = comment + (f" {long} messages longer than {PAYLOAD_MAX} octets are cut." if long else "")
    yield _section(said) + _interface()
    pending = [_message(message) for message in messages if _has_place(message.src, message.dst)]
    ordered = sorted((each for each in chunks if each.packets), key=_begin_us)
    for at in range(0, len(ordered), _CHUNKS_AT_ONCE):
        some = ordered[at : at + _CHUNKS_AT_ONCE]
        pending += [blocks for chunk in some if _has_place(chunk.key.src, chunk.key.dst) for blocks in _media(chunk)]
        following = ordered[at + _CHUNKS_AT_ONCE : at + _CHUNKS_AT_ONCE + 1]
        until_us = _begin_us(following[0]) if following else _NEVER
        due, pending = _split(pending, until_us)
        yield _in_order(due)
    yield _in_order(pending)


def _begin_us(chunk: Chunk) -> int:
    return chunk.first_us()


def _has_place(src: Endpoint, dst: Endpoint) -> bool:
    return is_ip(src) and is_ip(dst)


def _message(message: Message) -> _Blocks:
    payload = np.frombuffer(message.payload[:PAYLOAD_MAX], np.uint8).reshape(1, -1)
    return _blocks(np.array([message.time_us], np.int64), udp_packets(message.src, message.dst, payload))


def _media(chunk: Chunk) -> Iterator[_Blocks]:
    """Lay out a chunk, datagrams of one length at a time."""
    every, octets = chunk.content()
    data = np.frombuffer(octets, np.uint8)
    lengths = every["length"].astype(np.int64)
    for length in np.unique(lengths).tolist():
        rows = every[lengths == length]
        payloads = data[rows["offset"].astype(np.int64)[:, None] + np.arange(length)]
        packets = udp_packets(chunk.key.src, chunk.key.dst, payloads[:, :PAYLOAD_MAX])
        yield _blocks(rows["time_us"].astype(np.int64), packets)


def _blocks(time_us: NDArray[np.int64], packets: NDArray[np.uint8]) -> _Blocks:
    count, length = packets.shape
    total = 32 + length + (-length % 4)
    rows = np.zeros((count, total), np.uint8)
    head = np.zeros((count, 7), "<u4")
    head[:, 0], head[:, 1] = _PACKET, total
    # Times before 1970 cannot be said: they become 1970.
    stamps = np.maximum(time_us, 0).astype(np.uint64)
    head[:, 3], head[:, 4] = stamps >> np.uint64(32), stamps & np.uint64(0xFFFFFFFF)
    head[:, 5] = head[:, 6] = length
    rows[:, :28] = head.view(np.uint8)
    rows[:, 28 : 28 + length] = packets
    rows[:, -4:] = np.frombuffer(struct.pack("<I", total), np.uint8)
    return _Blocks(time_us, rows)


def _split(pending: list[_Blocks], until_us: int) -> tuple[list[_Blocks], list[_Blocks]]:
    due, later = [], []
    for blocks in pending:
        now = blocks.time_us < until_us
        if now.any():
            due.append(_Blocks(blocks.time_us[now], blocks.rows[now]))
        if not now.all():
            later.append(_Blocks(blocks.time_us[~now], blocks.rows[~now]))
    return due, later


def _in_order(blocks: list[_Blocks]) -> bytes:
    """Write blocks of several lengths by time, without an object per packet."""
    if not blocks:
        return b""
    times = np.concatenate([each.time_us for each in blocks])
    widths = np.concatenate([np.full(len(each.rows), each.rows.shape[1], np.int64) for each in blocks])
    order = np.argsort(times, kind="stable")
    ends = np.cumsum(widths[order])
    starts = np.empty(len(order), np.int64)
    starts[order] = ends - widths[order]
    out = np.empty(int(ends[-1]), np.uint8)
    at = 0
    for each in blocks:
        places = starts[at : at + len(each.rows)]
        out[places[:, None] + np.arange(each.rows.shape[1])] = each.rows
        at += len(each.rows)
    return out.tobytes()


def _section(comment: str) -> bytes:
    options = _option(_COMMENT, comment.encode("utf-8", "replace")[:_COMMENT_MAX])
    options += _option(_APPLICATION, f"sipflow {__version__}".encode())
    return _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options + _option(0, b""))


def _interface() -> bytes:
    options = _option(_RESOLUTION, bytes([_MICROSECONDS])) + _option(0, b"")
    return _block(_INTERFACE, struct.pack("<HHI", _RAW_IP, 0, 0) + options)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
