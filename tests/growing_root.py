"""A data root with a writer of its own, part by part, and calls of a few packets to write."""

from pathlib import Path

from portions import invite, media, portions_of
from sipflow.storage.bucket import Bucket
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.layout import HOUR_US
from sipflow.wire.packet import Packet

T0 = 480_000 * HOUR_US


def call(call_id: str, time_us: int, packets: int, method: str = "INVITE") -> list[Packet]:
    """One call of one message, with media when it has packets."""
    return [invite(call_id, time_us, method), *(media(call_id, time_us + 1 + n, n) for n in range(packets))]


class Root:
    """A root with a writer of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.catalog = Catalog(path)
        self.growing: dict[int, tuple[Part, Bucket]] = {}

    def write(self, hour: int, packets: list[Packet]) -> None:
        for period, portion in portions_of(packets):
            if hour not in self.growing:
                part = self.catalog.claim(period)
                self.growing[hour] = part, Bucket(self.path / part.path)
                self.catalog.made(part)
            self.growing[hour][1].append([portion])

    def seal(self, hour: int) -> None:
        part, bucket = self.growing.pop(hour)
        totals = bucket.seal()
        self.catalog.sealed(part, totals, bucket.call_ids())

    def close(self) -> None:
        for _, bucket in self.growing.values():
            bucket.close()
        self.catalog.close()
