"""AMR and AMR-WB payloads (RFC 4867) as the frames of their storage format, which decoders take."""

from dataclasses import dataclass
from typing import Final

from sipflow.errors import Undecodable
from sipflow.media.codec import Codec
from sipflow.media.parameters import parameter

NO_DATA: Final = 15
SPEECH_LOST: Final = 14  # AMR-WB only
# Bits of speech by frame type (3GPP TS 26.101, table 1a; TS 26.201, table 1a); types left out are of no use in RTP.
NARROW_BITS: Final = {**dict(enumerate((95, 103, 118, 134, 148, 159, 204, 244, 39))), NO_DATA: 0}
WIDE_BITS: Final = {
    **dict(enumerate((132, 177, 253, 285, 317, 365, 397, 461, 477, 40))),
    SPEECH_LOST: 0,
    NO_DATA: 0,
}
_GOOD: Final = 4  # the Q bit of a storage frame's header


@dataclass(frozen=True, slots=True)
class AmrPayload:
    """How the payloads of one stream are laid out: `bits` by frame type, and what a=fmtp chose."""

    bits: dict[int, int]
    octet_align: bool
    checksums: bool
    said: bool

    def __call__(self, payload: bytes) -> bytes | None:
        """Give the frames of a payload, each an octet with its type before its bits; None when it is malformed.

        Damaged frames (Q = 0) become frames without data, which a decoder conceals.
        """
        frames = self._aligned(payload) if self.octet_align else self._efficient(payload)
        if frames is None and not self.octet_align and not self.said:
            # Nothing was announced, and as the default of RFC 4867 it makes no sense.
            frames = self._aligned(payload)
        return frames

    def _aligned(self, payload: bytes) -> bytes | None:
        """Read RFC 4867, section 4.4: CMR, the table of contents, CRCs when there are any, frames on octets."""
        table = 1
        while table < len(payload) and payload[table] & 0x80:
            table += 1
        entries = payload[1 : table + 1]
        sizes = [self._octets(entry >> 3 & 15) for entry in entries]
        at = table + 1 + (sum(size > 0 for size in sizes) if self.checksums else 0)
        if not entries or min(sizes) < 0 or at + sum(sizes) != len(payload):
            return None
        frames = bytearray()
        for entry, size in zip(entries, sizes, strict=True):
            frames += _stored(entry >> 3 & 15, bool(entry & 4), payload[at : at + size])
            at += size
        return bytes(frames)

    def _efficient(self, payload: bytes) -> bytes | None:
        """Read RFC 4867, section 4.3: the same without padding, bit after bit; CMR has 4 bits and an entry 6."""
        left = 8 * len(payload) - 4
        value = int.from_bytes(payload)
        entries = []
        more = True
        while more:
            left -= 6
            if left < 0:
                return None
            entry = value >> left & 0x3F
            entries.append(entry)
            more = entry >= 0x20
        frames = bytearray()
        for entry in entries:
            kind = entry >> 1 & 15
            size = self.bits.get(kind, -1)
            if not 0 <= size <= left:
                return None
            left -= size
            octets = (size + 7) // 8
            speech = (value >> left & (1 << size) - 1) << 8 * octets - size
            frames += _stored(kind, bool(entry & 1), speech.to_bytes(octets))
        return bytes(frames) if left < 8 else None

    def _octets(self, kind: int) -> int:
        bits = self.bits.get(kind)
        return -1 if bits is None else (bits + 7) // 8


def _stored(kind: int, good: bool, speech: bytes) -> bytes:
    return bytes((kind << 3 | _GOOD,)) + speech if good else bytes((NO_DATA << 3 | _GOOD,))


def amr_payload(codec: Codec) -> AmrPayload:
    """Read a=fmtp of AMR or AMR-WB (RFC 4867, section 8). Raises Undecodable for what is not taken apart here."""
    if codec.channels > 1:
        raise Undecodable(f"{codec.name}: {codec.channels} channels in one payload are not decoded")
    align = parameter(codec.parameters, "octet-align")
    checksums = parameter(codec.parameters, "crc") == "1"
    if parameter(codec.parameters, "interleaving") is not None:
        raise Undecodable(f"{codec.name}: interleaving={parameter(codec.parameters, 'interleaving')} is not decoded")
    if parameter(codec.parameters, "robust-sorting") == "1":
        raise Undecodable(f"{codec.name}: robust-sorting=1 is not decoded")
    bits = WIDE_BITS if codec.name.upper() == "AMR-WB" else NARROW_BITS
    return AmrPayload(bits, align == "1" or checksums, checksums, align is not None)
