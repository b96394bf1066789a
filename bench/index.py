"""What a bucket takes: encoding chunks of the pool, and appending them with their index rows, one thread alone.

PYTHONPATH=src python -m bench.index [--calls 2000] [--packets 100] [--repeat 3]

Calls of the load generator go into a real pool; its chunks are encoded and appended in batches as the recorder does.
Rows are index rows: one for a SIP message, one for a chunk of media.
"""

import argparse
import tempfile
import time
from pathlib import Path

from bench.calls import patterns, put
from bench.figures import Cell, Column, percentile, publish

from sipflow._fast import Intake, Pool, Portion
from sipflow.clock import SECOND_US, now_us
from sipflow.storage.bucket import Bucket
from sipflow.storage.encoder import Encoded, Encoder
from sipflow.storage.layout import Subdirs
from sipflow.storage.store import MIB

_POOL_MB = 512
_TAKE_CHUNKS = 128
_BATCH_OCTETS = 1 << 20  # as the committer gathers

COLUMNS = (
    Column("kind", "what"),
    Column("records", "records", ","),
    Column("rows", "rows", ","),
    Column("commits", "commits", ","),
    Column("encode_us", "encode us/rec", ".2f"),
    Column("append_us", "append us/rec", ".2f"),
    Column("append_us_row", "us/row", ".2f"),
    Column("rows_per_s", "rows/s", ",.0f"),
    Column("records_per_s", "records/s", ",.0f"),
    Column("commit_ms", "commit ms", ".2f"),
    Column("commit_p99_ms", "p99 ms", ".2f"),
)


class Stage:
    """Chunks taken from a pool, encoded; what it cost in processor time."""

    def __init__(self, pool: Pool) -> None:
        self.encode_s = 0.0
        self.encoded: list[Encoded] = []
        encoder = Encoder(pool, Subdirs.NONE)
        while chunks := pool.take(_TAKE_CHUNKS, 0):
            start = time.process_time()
            self.encoded.append(encoder.encode(chunks))
            self.encode_s += time.process_time() - start
            pool.release(chunks)

    def batches(self, *, media: bool) -> list[list[Portion]]:
        """Give the portions of one kind as the committer would gather them."""
        batches: list[list[Portion]] = [[]]
        for encoded in self.encoded:
            for _, portion in encoded.portions:
                if (portion.rtp_packets > 0) == media:
                    if sum(one.octets for one in batches[-1]) >= _BATCH_OCTETS:
                        batches.append([])
                    batches[-1].append(portion)
        return batches


def fill(pool: Pool, calls: int, packets: int, *, media: bool) -> None:
    """Put so many calls side by side into the pool: all of their media, or all of their signalling."""
    intake = Intake(pool, 0, 3600 * SECOND_US, 0, media=True, trust_time=True)
    some = patterns(50, packets)
    now = now_us()
    for number in range(calls):
        pattern = some[number % len(some)]
        written = pattern.again(f"{number:08x}-{pattern.call_id}", now + number * 1000)
        put((packet for packet in written if (packet.kind == 1) == media), intake, pool, now_us=now)
    intake.drain()


def append(batches: list[list[Portion]], directory: Path) -> list[float]:
    """Append the batches to a new bucket; gives the seconds of each commit."""
    bucket = Bucket(directory)
    took = []
    for batch in batches:
        start = time.perf_counter()
        bucket.append(batch)
        took.append(time.perf_counter() - start)
    bucket.close()
    return took


def measure(name: str, calls: int, packets: int, repeat: int, *, media: bool) -> dict[str, Cell]:
    """Measure one kind; the run with the median time counts."""
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-") as scratch:
        pool = Pool.open(str(Path(scratch) / "pool"), _POOL_MB * MIB, now_us())
        fill(pool, calls, packets, media=media)
        stage = Stage(pool)
        batches = stage.batches(media=media)
        runs = [append(batches, Path(scratch) / f"bucket-{run}") for run in range(repeat)]
    took = sorted(runs, key=sum)[len(runs) // 2]
    portions = [portion for batch in batches for portion in batch]
    rows = sum(portion.blocks if media else portion.sip_messages for portion in portions)
    records = sum(portion.rtp_packets + portion.sip_messages for portion in portions)
    return {
        "kind": name,
        "records": records,
        "rows": rows,
        "commits": len(took),
        "encode_us": stage.encode_s * 1e6 / records,
        "append_us": sum(took) * 1e6 / records,
        "append_us_row": sum(took) * 1e6 / rows,
        "rows_per_s": rows / sum(took),
        "records_per_s": records / sum(took),
        "commit_ms": percentile(took, 0.5) * 1e3,
        "commit_p99_ms": percentile(took, 0.99) * 1e3,
    }


def main() -> None:
    """Measure SIP and media, print one table and leave it as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=2000)
    options.add_argument("--packets", type=int, default=100, help="RTP packets of each stream")
    options.add_argument("--repeat", type=int, default=3, help="the median run counts")
    asked = options.parse_args()
    rows = [
        measure("sip", asked.calls, 0, asked.repeat, media=False),
        measure("media", asked.calls, asked.packets, asked.repeat, media=True),
        measure("media, chunks of 10", asked.calls, 10, asked.repeat, media=True),
    ]
    publish(
        "index",
        f"index: {asked.calls} calls, median of {asked.repeat}",
        COLUMNS,
        rows,
        calls=asked.calls,
        packets=asked.packets,
        repeat=asked.repeat,
    )


if __name__ == "__main__":
    main()
