"""One media stream of a call: its packets in order of capture, numbered, each with a verdict."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.media.codec import RTCP_TYPES
from sipflow.media.numbering import MAX_MISORDER, STRAY, number
from sipflow.media.spool import rows as spooled_rows
from sipflow.media.spool import taken
from sipflow.wire.packet import ROW_VALID, Chunk, StreamKey


class Verdict(enum.IntEnum):
    """What the numbering says of a packet."""

    IN_ORDER = 0
    REORDERED = 1  # behind the highest number by less than MAX_MISORDER
    LATE = 2  # further behind, but its place was still empty
    DUPLICATE = 3  # its number has been seen in this segment
    STRAY = 4  # a lone number from elsewhere, or from before the segment: neither received nor lost


# One RTP packet of a Stream; chunk is the index in Stream.chunks, offset and length the payload in that chunk's data.
PACKET: Final = np.dtype(
    [
        ("time_us", "<i8"),
        ("extended", "<i8"),
        ("timestamp", "<u4"),
        ("chunk", "<u4"),
        ("offset", "<u4"),
        ("length", "<u4"),
        ("segment", "<i4"),
        ("payload_type", "u1"),
        ("verdict", "u1"),
    ]
)
_SEGMENT_SHIFT: Final = 40
_BIAS: Final = 1 << 39


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The packets (PACKET) of one StreamKey in order of capture.

    `segments` counts the numberings (1 + restarts), `expected` the numbers they span, `received` how many of those
    came, `other` the datagrams that are not RTP.
    """

    key: StreamKey
    chunks: tuple[Chunk, ...]
    packets: NDArray[np.void]
    segments: int
    expected: int
    received: int
    other: int

    @property
    def unique(self) -> NDArray[np.void]:
        """Give the packets that count as received, each number once, by segment and extended number."""
        kept = self.packets
        received = kept["verdict"] <= Verdict.LATE
        if not received.all():
            kept = taken(kept, received)
        place = _places(kept["segment"], kept["extended"])
        return kept if _rises(place) else taken(kept, np.argsort(place, kind="stable"))

    def count(self, verdict: Verdict) -> int:
        """Count the packets with this verdict."""
        return int(np.count_nonzero(self.packets["verdict"] == verdict))


def streams(chunks: Iterable[Chunk], *, by_arrival: bool = False, merge_clients: bool = False) -> list[Stream]:
    """Group chunks into streams, in order of their first packet.

    `by_arrival` takes the collector's clock instead of the capturing side's. `merge_clients` makes one stream of what
    several capture points saw of the same packets; the second sight of a packet is then a duplicate.
    """
    groups: dict[StreamKey, list[Chunk]] = {}
    for chunk in chunks:
        if chunk.packets:
            key = msgspec.structs.replace(chunk.key, client_id=0) if merge_clients else chunk.key
            groups.setdefault(key, []).append(chunk)
    found = [_stream(key, members, by_arrival=by_arrival) for key, members in groups.items()]
    return sorted(found, key=lambda stream: int(stream.packets["time_us"][0]) if len(stream.packets) else 1 << 62)


def _stream(key: StreamKey, members: list[Chunk], *, by_arrival: bool) -> Stream:
    column = "arrival_us" if by_arrival else "time_us"
    chunks = tuple(sorted(members, key=lambda chunk: chunk.first_us(by_arrival=by_arrival)))
    total = sum(chunk.packets for chunk in chunks)
    packets = spooled_rows(total, PACKET)
    valid = np.zeros(total, bool)
    sequence = np.zeros(total, np.uint16)
    start = 0
    for index, chunk in enumerate(chunks):
        rows, data = chunk.content()
        part = slice(start, start + len(rows))
        into = packets[part]
        into["time_us"] = rows[column]
        into["timestamp"] = rows["timestamp"]
        into["chunk"] = index
        into["offset"] = rows["payload_offset"]
        into["length"] = rows["payload_length"]
        into["payload_type"] = rows["payload_type"]
        inside = rows["payload_offset"].astype(np.int64) + rows["payload_length"] <= len(data)
        valid[part] = inside & ((rows["flags"] & ROW_VALID) != 0)
        sequence[part] = rows["sequence"]
        start += len(rows)
    valid &= (packets["payload_type"] < RTCP_TYPES.start) | (packets["payload_type"] >= RTCP_TYPES.stop)
    if key.ssrc is None:
        valid[:] = False
    if not valid.all():
        packets, sequence = taken(packets, valid), sequence[valid]
    if not _rises(packets["time_us"], strictly=False):
        order = np.argsort(packets["time_us"], kind="stable")
        packets, sequence = taken(packets, order), sequence[order]
    segments = expected = received = 0
    if len(packets):
        packets["extended"], packets["segment"] = number(sequence, packets["timestamp"], packets["payload_type"])
        segments = int(packets["segment"].max()) + 1
        expected = _judge(packets, segments)
        received = int(np.count_nonzero(packets["verdict"] <= Verdict.LATE))
    return Stream(key, chunks, packets, segments, expected, received, total - len(packets))


def _judge(packets: NDArray[np.void], segments: int) -> int:
    """Fill in the verdicts; gives how many packets the segments span. Drops each column as soon as it is spent."""
    strays = packets["segment"] == STRAY
    counted = packets[~strays] if strays.any() else packets
    numbers, home = counted["extended"], counted["segment"]
    # Segments follow each other in time, so one running maximum over (segment, number) serves them all.
    place = _places(home, numbers)
    behind = np.maximum.accumulate(place)
    behind -= place
    judged = np.zeros(len(counted), np.uint8)
    judged[behind > 0] = Verdict.REORDERED
    judged[behind >= MAX_MISORDER] = Verdict.LATE
    del behind
    if not _rises(place):
        order = np.argsort(place, kind="stable")
        again = place[order[1:]] == place[order[:-1]]
        judged[order[1:][again]] = Verdict.DUPLICATE
        del order, again
    del place
    base = np.full(segments, np.iinfo(np.int64).max)
    top = np.full(segments, np.iinfo(np.int64).min)
    late = judged > Verdict.REORDERED
    prompt: NDArray[np.bool_] | slice = ~late if late.any() else slice(None)
    np.minimum.at(base, home[prompt], numbers[prompt])
    np.maximum.at(top, home[prompt], numbers[prompt])
    if not isinstance(prompt, slice):
        judged[(judged == Verdict.LATE) & (numbers < base[home])] = Verdict.STRAY
    verdict = np.full(len(packets), Verdict.STRAY, np.uint8)
    verdict[~strays] = judged
    packets["verdict"] = verdict
    return int((top - base + 1).sum())


def _places(segment: NDArray[np.int32], extended: NDArray[np.int64]) -> NDArray[np.int64]:
    return (segment.astype(np.int64) << _SEGMENT_SHIFT) + extended + _BIAS


def _rises(values: NDArray[np.int64], *, strictly: bool = True) -> bool:
    steps = np.diff(values)
    return bool((steps > 0).all() if strictly else (steps >= 0).all())
