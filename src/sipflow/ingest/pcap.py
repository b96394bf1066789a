"""The classic capture file (draft-ietf-opsawg-pcap): a header of 24 octets, then records.

Our own reader rather than dpkt's: that one gives times as binary fractions of a second, takes whatever is left of a
record cut short for a whole one, and knows neither the link type's upper bits nor big-endian nanoseconds.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from sipflow.ingest.frame import Frame

# As the first four octets stand in the file: byte order, nanoseconds, octets of a record header.
MAGICS: dict[bytes, tuple[str, bool, int]] = {
    b"\xa1\xb2\xc3\xd4": (">", False, 16),
    b"\xd4\xc3\xb2\xa1": ("<", False, 16),
    b"\xa1\xb2\x3c\x4d": (">", True, 16),
    b"\x4d\x3c\xb2\xa1": ("<", True, 16),
    # Kuznetzov's variant of 1999: 8 more octets (interface, protocol, packet type) in every record header.
    b"\xa1\xb2\xcd\x34": (">", False, 24),
    b"\x34\xcd\xb2\xa1": ("<", False, 24),
}
HEADER = 24
# libpcap's MAXIMUM_SNAPLEN; a larger length is taken for damage unless the file itself announces it.
FRAME_MAX = 262_144
FRAME_LIMIT = 16 * 1024 * 1024


class PcapFrames:
    """The frames of one classic capture file, once, in file order.

    `damage` is empty, or says after the last frame why the file ends there: nothing behind it can be found.
    """

    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        """Take a stream that stands behind `head`, its first 24 octets."""
        self._stream = stream
        order, self._nanoseconds, self._record = MAGICS[head[:4]]
        self._format = struct.Struct(order + "IIII")
        snap, link = struct.unpack(order + "16xII", head)
        # The upper bits say whether frames end with a checksum (draft, section 4); the type itself has 16.
        self.link = link & 0xFFFF
        self._longest = min(max(snap, FRAME_MAX), FRAME_LIMIT)
        self.offset = HEADER
        self.damage = ""

    def __iter__(self) -> Iterator[Frame]:
        """Give frame after frame; ends at the end of the file or at the first record that cannot be read."""
        number = 0
        divisor = 1000 if self._nanoseconds else 1
        while head := self._stream.read(self._record):
            if len(head) < self._record:
                self.damage = (
                    f"cut short at octet {self.offset}: {len(head)} of {self._record} octets of a record header"
                )
                return
            seconds, fraction, captured, length = self._format.unpack_from(head)
            if captured > self._longest:
                self.damage = (
                    f"damaged at octet {self.offset}: a frame of {captured} octets; allowed: up to {self._longest}"
                )
                return
            data = self._stream.read(captured)
            if len(data) < captured:
                self.damage = (
                    f"cut short at octet {self.offset}: {len(data)} of {captured} octets of frame {number + 1}"
                )
                return
            self.offset += self._record + captured
            number += 1
            yield Frame(number, seconds * 1_000_000 + fraction // divisor, self.link, data, max(length, captured))
