"""What a data root takes on disk, split: payload, columns and headers, index, signalling."""

import contextlib
import random
import sqlite3
from pathlib import Path
from typing import NamedTuple

import zstandard

from sipflow.clock import SECOND_US
from sipflow.storage.block import Block, read_block
from sipflow.storage.layout import DATA, DATABASE, find_buckets

_SAMPLED_BLOCKS = 500
_LEVEL = 1  # of zstd: what is packed so is small and hardly differs from level to level


class Disk(NamedTuple):
    """Octets on disk of all buckets, and how many packets, messages and minutes of calls with media they hold.

    `audio` are the payload octets the senders sent; `payload`, `columns` and `headers` are what became of their
    packets, reckoned up from a sample of blocks; `sip` is the rest of data.raw.
    """

    index_octets: int
    data_octets: int
    audio: float
    payload: float
    columns: float
    headers: float
    sip: float
    calls: int
    sip_messages: int
    rtp_packets: int
    minutes: float

    @property
    def octets(self) -> int:
        """Give the octets of all files."""
        return self.index_octets + self.data_octets


def measure(root: Path) -> Disk:
    """Measure a root that nobody writes."""
    found = [_bucket(root / path) for path in find_buckets(root)]
    return Disk(*(sum(values) for values in zip(*found, strict=True))) if found else Disk(*[0] * len(Disk._fields))


def _bucket(directory: Path) -> Disk:
    index_octets = sum(file.stat().st_size for file in directory.glob(DATABASE + "*"))
    data_octets = (directory / DATA).stat().st_size
    with contextlib.closing(sqlite3.connect(directory / DATABASE)) as index:
        calls, messages = index.execute("SELECT count(*), coalesce(sum(sip_messages), 0) FROM call_meta").fetchone()
        packets, rows = index.execute("SELECT coalesce(sum(packets), 0), count(*) FROM media_msgs").fetchone()
        low, high = index.execute("SELECT min(id), max(id) FROM media_msgs").fetchone()
        chance = random.Random(1)
        wanted = [] if low is None else [chance.randint(low, high) for _ in range(min(_SAMPLED_BLOCKS, rows))]
        offsets = [index.execute("SELECT block FROM media_msgs WHERE id >= ? LIMIT 1", [one]).fetchone()[0]
                   for one in wanted]  # fmt: skip
    audio = payload = columns = headers = 0.0
    sampled = 0
    span_us = 0
    with (directory / DATA).open("rb") as file:
        for offset in offsets:
            block: Block = read_block(file.fileno(), offset, directory / DATA)
            lengths = int(block.chunk().rows["payload_length"].sum())
            # The payload stands last: what is before it, packed alone, is what the columns take of the frame.
            ahead = len(zstandard.ZstdCompressor(_LEVEL).compress(block.content[: len(block.content) - lengths]))
            sampled += block.header.records
            if block.header.records > 1:
                span_us += (
                    (block.header.t1_us - block.header.t0_us) * block.header.records // (block.header.records - 1)
                )
            audio += lengths
            payload += block.header.frame_length - ahead
            columns += ahead
            headers += block.header.length - block.header.frame_length
    share = packets / sampled if sampled else 0.0
    # Each packet stands for the time to the next of its stream; two streams speak at once in a call of ours.
    minutes = span_us * share / SECOND_US / 60 / 2
    media = (payload + columns + headers) * share
    return Disk(
        index_octets, data_octets, audio * share, payload * share, columns * share, headers * share,
        data_octets - media, calls, messages, packets, minutes,
    )  # fmt: skip
