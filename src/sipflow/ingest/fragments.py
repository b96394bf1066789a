"""Puts fragmented datagrams together (RFC 791, section 3.2; RFC 8200, section 4.5) within fixed bounds."""

from collections import OrderedDict

from sipflow.ingest.ip import IpPacket

# In packet time. RFC 8200 gives up after 60 s; half of that keeps a reused identification apart (RFC 4963).
PATIENCE_US = 30_000_000
DATAGRAMS_MAX = 4096
OCTETS_MAX = 32 * 1024 * 1024
DATAGRAM_MAX = 65_535

_Key = tuple[bytes, bytes, int, int]


class _Pending:
    """The parts of one datagram that have come so far."""

    def __init__(self, time_us: int) -> None:
        self.first_us = time_us
        self.parts: dict[int, bytes] = {}
        self.total: int | None = None
        self.octets = 0
        self.frames = 0


class Fragments:
    """Datagrams that wait for their missing parts; the oldest go when the bounds are reached.

    `lost` counts the frames of datagrams that were given up.
    """

    def __init__(self) -> None:
        self._pending: OrderedDict[_Key, _Pending] = OrderedDict()
        self._octets = 0
        self.lost = 0

    def add(self, packet: IpPacket, time_us: int) -> tuple[IpPacket, int] | None:
        """Take one fragment; gives the whole packet and how many frames it came in once nothing is missing.

        Where parts overlap, the octets that came first stand.
        """
        assert packet.fragment is not None
        self._expire(time_us)
        part = packet.fragment
        key = (packet.src, packet.dst, packet.protocol, part.identity)
        waiting = self._pending.get(key)
        if waiting is None:
            waiting = self._pending[key] = _Pending(time_us)
        waiting.frames += 1
        end = part.offset + len(packet.payload)
        if end > DATAGRAM_MAX or packet.cut:
            self._drop(key)
            return None
        if not part.more:
            waiting.total = end
        if part.offset not in waiting.parts:
            waiting.parts[part.offset] = packet.payload
            waiting.octets += len(packet.payload)
            self._octets += len(packet.payload)
        whole = _join(waiting)
        if whole is None:
            while len(self._pending) > DATAGRAMS_MAX or self._octets > OCTETS_MAX:
                self._drop(next(iter(self._pending)))
            return None
        del self._pending[key]
        self._octets -= waiting.octets
        return packet._replace(payload=whole, fragment=None), waiting.frames

    def close(self) -> int:
        """Give up everything that still waits; gives the number of frames lost in all."""
        while self._pending:
            self._drop(next(iter(self._pending)))
        return self.lost

    def _expire(self, time_us: int) -> None:
        while self._pending:
            key, oldest = next(iter(self._pending.items()))
            if time_us - oldest.first_us <= PATIENCE_US:
                return
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        dropped = self._pending.pop(key)
        self._octets -= dropped.octets
        self.lost += dropped.frames


def _join(waiting: _Pending) -> bytes | None:
    if waiting.total is None or waiting.octets < waiting.total:
        return None
    whole = bytearray()
    for offset in sorted(waiting.parts):
        if offset > len(whole):
            return None
        whole += waiting.parts[offset][len(whole) - offset :]
    return bytes(whole[: waiting.total]) if len(whole) >= waiting.total else None
