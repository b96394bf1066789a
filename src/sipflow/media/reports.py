"""The RTCP of a call: found among its datagrams, read, and the delay between the parties reckoned from it.

The capturing side stands somewhere between the parties. It sees a sender report pass and later the report that answers
it, which says how long the far end waited: the rest is the way from here to that end and back. The ways to both ends
add up to the round trip between them, and no clock but the capturing side's is used.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sipflow.media.rtcp import PACKET_TYPES, Compound, Report, ReportBlock, parse_rtcp, seconds
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Chunk

# Nobody waits longer for an echo, and what is further below 0 is another clock.
_TRIP_MOST_MS: Final = 10_000.0
_TRIP_LEAST_MS: Final = -5.0
# A phone sends a report every few seconds; what is beyond this is not read.
MAX_REPORTS: Final = 100_000


class Captured(msgspec.Struct, frozen=True):
    """One datagram of RTCP as it passed."""

    time_us: int
    leg: int
    src: Endpoint
    dst: Endpoint
    compound: Compound


class RoundTrip(msgspec.Struct, frozen=True):
    """One measured way from the capturing side to the sender of a report and back.

    `reporter` is that sender's SSRC, `ssrc` the stream whose SR was answered, `host` where the report came from.
    """

    time_us: int
    leg: int
    host: str
    reporter: int
    ssrc: int
    milliseconds: float


class Heard(msgspec.Struct, frozen=True):
    """What a report said of a stream, and when: how it sounded at the far end."""

    time_us: int
    leg: int
    reporter: int
    block: ReportBlock

    @property
    def loss_percent(self) -> float:
        """Give the share lost since the report before."""
        return 100 * self.block.fraction / 256

    def jitter_ms(self, clock: int) -> float:
        """Give the jitter, by the clock of the stream [Hz]."""
        return 1000 * self.block.jitter / clock


def reports(chunks: Iterable[Chunk]) -> list[Captured]:
    """Find and read the RTCP among a call's datagrams, on ports of its own or on the media's, in order of capture.

    Datagrams that begin like RTCP and are not are given with their fault. At most MAX_REPORTS are read.
    """
    found: list[Captured] = []
    for chunk in chunks:
        rows = chunk.rows[_looks_like_rtcp(chunk)]
        for time_us, offset, length in zip(
            rows["time_us"].tolist(), rows["offset"].tolist(), rows["length"].tolist(), strict=True
        ):
            if len(found) == MAX_REPORTS:
                break
            compound = parse_rtcp(bytes(chunk.data[offset : offset + length]))
            found.append(Captured(time_us, chunk.key.leg, chunk.key.src, chunk.key.dst, compound))
    found.sort(key=lambda one: one.time_us)
    return found


def _looks_like_rtcp(chunk: Chunk) -> NDArray[np.int64]:
    rows = chunk.rows
    data = np.frombuffer(chunk.data, np.uint8)
    offset, length = rows["offset"].astype(np.int64), rows["length"].astype(np.int64)
    at = np.flatnonzero((length >= 8) & (offset + length <= len(data)))
    first, second = data[offset[at]], data[offset[at] + 1]
    looks = (first >> 6 == 2) & (second >= PACKET_TYPES.start) & (second < PACKET_TYPES.stop)
    return np.compress(looks, at)


def heard(captured: Iterable[Captured], ssrc: int) -> list[Heard]:
    """List what the far end reported of a stream, in order of capture; of sound datagrams only."""
    return [
        Heard(one.time_us, one.leg, report.ssrc, block)
        for one, report in _sound(captured)
        for block in report.blocks
        if block.ssrc == ssrc
    ]


def round_trips(captured: Iterable[Captured]) -> list[RoundTrip]:
    """Measure the way to the parties and back from each report that answers an SR which passed here."""
    passed: dict[tuple[int, int], int] = {}
    found: list[RoundTrip] = []
    for one, report in _sound(captured):
        if report.sender is not None:
            passed[report.ssrc, report.sender.ntp_middle] = one.time_us
        for block in report.blocks:
            since = passed.get((block.ssrc, block.lsr)) if block.lsr else None
            if since is None:
                continue
            trip = (one.time_us - since) / 1000 - 1000 * seconds(block.dlsr)
            if _TRIP_LEAST_MS <= trip <= _TRIP_MOST_MS:
                found.append(RoundTrip(one.time_us, one.leg, one.src.ip, report.ssrc, block.ssrc, max(trip, 0.0)))
    return found


def one_way_ms(trips: Iterable[RoundTrip]) -> float | None:
    """Give the delay from one party to the other: half the median ways to both and back.

    None where only one of the two was measured: the other half of the way is not known then.
    """
    by_stream: dict[tuple[int, int], list[float]] = {}
    for trip in trips:
        by_stream.setdefault((trip.reporter, trip.ssrc), []).append(trip.milliseconds)
    ways = [
        (float(np.median(there)) + float(np.median(back))) / 2
        for (reporter, ssrc), there in by_stream.items()
        if reporter < ssrc and (back := by_stream.get((ssrc, reporter))) is not None
    ]
    return float(np.median(ways)) if ways else None


def _sound(captured: Iterable[Captured]) -> Iterable[tuple[Captured, Report]]:
    # A datagram that does not fit together may be encrypted: the numbers before its fault are no numbers.
    return ((one, report) for one in captured if not one.compound.fault for report in one.compound.reports)
