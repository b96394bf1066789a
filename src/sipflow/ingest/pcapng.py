"""The block-structured capture file (draft-ietf-opsawg-pcapng).

Our own reader rather than dpkt's: that one takes link type and time resolution of the first interface for all.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from sipflow.ingest.frame import Frame
from sipflow.ingest.pcap import FRAME_LIMIT

SECTION = b"\x0a\x0d\x0d\x0a"
ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}

_SECTION_TYPE = 0x0A0D0D0A
_INTERFACE = 1
_OLD_PACKET = 2
_SIMPLE_PACKET = 3
_PACKET = 6
_PACKETS = frozenset({_OLD_PACKET, _SIMPLE_PACKET, _PACKET})

_OPTION_END = 0
_OPTION_RESOLUTION = 9
_OPTION_OFFSET = 14

INTERFACES_MAX = 65_536


class Interface(NamedTuple):
    """What an interface description says: `ticks` a second, `offset_s` to add, `snap` 0 means unlimited."""

    link: int
    snap: int
    ticks: int = 1_000_000
    offset_s: int = 0

    def time_us(self, stamp: int) -> int:
        """Turn a time stamp of this interface into microseconds since the epoch, cut, never rounded."""
        return stamp * 1_000_000 // self.ticks + self.offset_s * 1_000_000


class _BlockError(Exception):
    """A block that contradicts itself; the text says how."""


class PcapngFrames:
    """The frames of one block-structured capture file, once, in file order, of all sections and interfaces.

    `damage` is empty, or says after the last frame why the file ends there: nothing behind it can be found.
    """

    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        """Take a stream that stands behind `head`, its first octets, at least 12."""
        self._stream = stream
        self._ahead = head
        self._order = "<"
        self._interfaces: list[Interface] = []
        self.offset = 0
        self.damage = ""

    def __iter__(self) -> Iterator[Frame]:
        """Give frame after frame; ends at the end of the file or at the first block that cannot be read."""
        number = 0
        try:
            while block := self._block():
                kind, body = block
                if kind == _INTERFACE:
                    self._interface(body)
                elif kind in _PACKETS:
                    number += 1
                    yield self._frame(number, kind, body)
        except _BlockError as damage:
            self.damage = str(damage)

    def _read(self, count: int) -> bytes:
        ahead, self._ahead = self._ahead[:count], self._ahead[count:]
        return ahead + self._stream.read(count - len(ahead)) if len(ahead) < count else ahead

    def _block(self) -> tuple[int, bytes] | None:
        start = self.offset
        head = self._read(8)
        if not head:
            return None
        if len(head) < 8:
            raise _BlockError(f"cut short at octet {start}: {len(head)} of 8 octets of a block header")
        body = b""
        # A section says its byte order only behind its length.
        if head[:4] == SECTION:
            body = self._read(4)
            if body not in ORDERS:
                raise _BlockError(
                    f"damaged at octet {start + 8}: byte-order mark {body.hex()}; allowed: 1a2b3c4d, 4d3c2b1a"
                )
            self._order = ORDERS[body]
            self._interfaces = []
        kind, length = struct.unpack(self._order + "II", head)
        least = 28 if kind == _SECTION_TYPE else 12
        if length % 4 or length < least:
            raise _BlockError(
                f"damaged at octet {start}: a block of {length} octets; allowed: multiples of 4 from {least} on"
            )
        left = length - 12 - len(body)
        if kind in _PACKETS or kind == _INTERFACE:
            if length > FRAME_LIMIT:
                raise _BlockError(f"damaged at octet {start}: a block of {length} octets; allowed: up to {FRAME_LIMIT}")
            body += self._read(left)
            short = left - len(body)
        else:
            short = self._skip(left)
        tail = b"" if short else self._read(4)
        if short or len(tail) < 4:
            raise _BlockError(f"cut short at octet {start}: a block of {length} octets is not complete")
        if struct.unpack(self._order + "I", tail)[0] != length:
            raise _BlockError(f"damaged at octet {start}: the block's two lengths differ")
        self.offset += length
        return kind, body

    def _skip(self, count: int) -> int:
        while count:
            got = len(self._read(min(count, 65536)))
            if not got:
                break
            count -= got
        return count

    def _interface(self, body: bytes) -> None:
        if len(body) < 8 or len(self._interfaces) == INTERFACES_MAX:
            raise _BlockError(
                f"damaged at octet {self.offset}: an interface description that is too short, or too many"
            )
        link, snap = struct.unpack_from(self._order + "H2xI", body)
        interface = Interface(link, snap)
        at = 8
        while len(body) - at >= 4:
            code, length = struct.unpack_from(self._order + "HH", body, at)
            value = body[at + 4 : at + 4 + length]
            at += 4 + (length + 3 & ~3)
            if code == _OPTION_END or len(value) < length:
                break
            if code == _OPTION_RESOLUTION and length == 1:
                # Section 4.2: the upper bit chooses between powers of 2 and of 10.
                power = value[0] & 0x7F
                interface = interface._replace(ticks=2**power if value[0] & 0x80 else 10**power)
            elif code == _OPTION_OFFSET and length == 8:
                interface = interface._replace(offset_s=struct.unpack(self._order + "q", value)[0])
        self._interfaces.append(interface)

    def _frame(self, number: int, kind: int, body: bytes) -> Frame:
        if kind == _SIMPLE_PACKET:
            return self._simple(number, body)
        if len(body) < 20:
            raise _BlockError(
                f"damaged before octet {self.offset}: a packet block with {len(body)} octets; allowed: 20 and more"
            )
        form = "HxxIIII" if kind == _OLD_PACKET else "IIIII"
        which, high, low, captured, length = struct.unpack_from(self._order + form, body)
        if which >= len(self._interfaces):
            raise _BlockError(
                f"damaged before octet {self.offset}: interface {which} of {len(self._interfaces)} described ones"
            )
        if captured > len(body) - 20:
            raise _BlockError(
                f"damaged before octet {self.offset}: a frame of {captured} octets in a block of {len(body)}"
            )
        interface = self._interfaces[which]
        time_us = interface.time_us(high << 32 | low)
        return Frame(number, time_us, interface.link, body[20 : 20 + captured], max(length, captured))

    def _simple(self, number: int, body: bytes) -> Frame:
        if len(body) < 4 or not self._interfaces:
            raise _BlockError(f"damaged before octet {self.offset}: a simple packet block without length or interface")
        interface = self._interfaces[0]
        length = struct.unpack_from(self._order + "I", body)[0]
        captured = min(length, interface.snap or length, len(body) - 4)
        # A simple packet block has no time stamp (section 4.4): the epoch is all that can be said.
        return Frame(number, 0, interface.link, body[4 : 4 + captured], length)
