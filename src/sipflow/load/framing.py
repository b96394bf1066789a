"""How a packet stands in a datagram: as a SipFlow frame (docs/WIRE.md), or as one of HEP version 3.

Each framing gives a frame and tells where in it the parts stand that differ from call to call. The payload is last.
"""

import enum
import struct
from dataclasses import dataclass

from sipflow.wire.datagram import encode_packet
from sipflow.wire.packet import Kind, Packet

_HEP_FAMILY = {4: 2, 6: 10}  # as Linux numbers them
_HEP_UDP = 17
_HEP_PAYLOAD = {Kind.SIP: 1, Kind.RTP: 4}  # chunk 11
_CHUNK = 6  # octets of a chunk before its value


@dataclass(frozen=True)
class Frame:
    """A frame, and where parts of it begin: addresses and ports as (IP, port), time, client id, Call-ID, payload."""

    octets: bytes
    src_at: tuple[int, int]
    dst_at: tuple[int, int]
    time_at: int
    client_at: int
    call_id_at: int
    payload_at: int


class Framing(enum.StrEnum):
    """The forms in which packets are sent."""

    SF = "sf"
    HEP = "hep"

    def frame(self, packet: Packet) -> Frame:
        """Write a packet; HEP has no place for a leg. Raises ValueError when the frame would be too long."""
        return _hep_frame(packet) if self is Framing.HEP else _sf_frame(packet)

    def sized(self, frame: bytearray, payload_at: int, length: int) -> None:
        """Correct the frame's lengths for a payload of `length` octets."""
        if self is Framing.HEP:
            frame[4:6] = (payload_at + length).to_bytes(2)
            frame[payload_at - 2 : payload_at] = (_CHUNK + length).to_bytes(2)
        else:
            frame[payload_at - 4 : payload_at] = length.to_bytes(4)


def _sf_frame(packet: Packet) -> Frame:
    octets = encode_packet(packet)
    ip = 16 if packet.src.family == 6 else 4
    time_at = 5 + 2 * (ip + 2)
    payload_at = len(octets) - len(packet.payload)
    return Frame(
        octets,
        (5, 5 + ip),
        (7 + ip, 7 + 2 * ip),
        time_at,
        time_at + 8,
        payload_at - 4 - len(packet.call_id.encode()),
        payload_at,
    )


def _hep_frame(packet: Packet) -> Frame:
    """Write chunks of vendor 0 (HEP/EEP revision 37): client id as agent, Call-ID as correlation id.

    The chunk of the microseconds follows that of the seconds, where the C core writes both (talker.h).
    """
    family = packet.src.family
    if packet.dst.family != family:
        raise ValueError(f"HEP: found {packet.src} and {packet.dst}; allowed: two addresses of one family")
    frame = bytearray(b"HEP3\0\0")
    at: dict[int, int] = {}

    def chunk(number: int, value: bytes) -> None:
        frame.extend(struct.pack("!HHH", 0, number, _CHUNK + len(value)))
        at[number] = len(frame)
        frame.extend(value)

    v6 = family == 6
    src_ip, dst_ip = (5, 6) if v6 else (3, 4)
    seconds, micros = divmod(packet.time_us, 1_000_000)
    chunk(1, bytes([_HEP_FAMILY[family]]))
    chunk(2, bytes([_HEP_UDP]))
    chunk(src_ip, packet.src.packed)
    chunk(dst_ip, packet.dst.packed)
    chunk(7, packet.src.port.to_bytes(2))
    chunk(8, packet.dst.port.to_bytes(2))
    chunk(9, seconds.to_bytes(4))
    chunk(10, micros.to_bytes(4))
    chunk(11, bytes([_HEP_PAYLOAD[packet.kind]]))
    chunk(12, packet.client_id.to_bytes(4))
    chunk(17, packet.call_id.encode())
    chunk(15, packet.payload)
    if len(frame) > 0xFFFF:
        raise ValueError(f"HEP: found a frame of {len(frame)} octets; allowed: 65535")
    frame[4:6] = len(frame).to_bytes(2)
    return Frame(bytes(frame), (at[src_ip], at[7]), (at[dst_ip], at[8]), at[9], at[12], at[17], at[15])
