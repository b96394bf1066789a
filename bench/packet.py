"""What a G.711 packet costs on disk and in time: columns, companded delta and zstd on real captures.

The captures are the four files named below; a folder without them is an error.

Every 100 packets of a stream make a chunk, as in the pool. Captures know one time only, so arrival is capture plus a
delay drawn with a fixed seed (log-normal, median 0.3 ms).
"""

import random
import struct
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zstandard
from bench.figures import Column, Findings, Line, Row, Scale, written

from sipflow._fast import BLOCK_HEAD_LENGTH, blocks_assemble, columns_decode, columns_encode_batch
from sipflow.ingest.datagram import Datagram, datagrams
from sipflow.ingest.pcap import HEADER, PcapFrames

FILES = ("codec-g711", "subscribe-notify-call", "magicjack", "ssrc-change")
CHUNK_PACKETS = 100
G711 = (0, 8)
CALL_ID = b"3848276298220188511@atlanta.example.com"
COLUMNS = [
    Column("capture", "capture"),
    Column("packets", "packets", ","),
    Column("payload_ratio_plain", "zstd ratio", ".3f"),
    Column("payload_ratio", "+delta ratio", ".3f"),
    Column("columns_octets_per_packet", "columns B/pkt", ".2f"),
    Column("header_octets_per_packet", "header B/pkt", ".2f"),
    Column("stored_octets_per_packet", "stored B/pkt", ".1f"),
    Column("columns_mb_per_s", "columns MB/s"),
    Column("zstd_mb_per_s", "zstd MB/s"),
    Column("decode_mb_per_s", "decode MB/s"),
    Column("packets_per_s_per_core", "packets/s per core", ","),
]
IDENTITY = struct.Struct("=IiIHHBBBB16s16sH10x")
RECORD = struct.Struct("=qqHHI")


class Chunk(NamedTuple):
    """Pool memory of one chunk, and what it holds."""

    memory: bytes
    packets: int
    octets: int
    payload: bytes


class Batch(NamedTuple):
    """Chunks as the writer hands them to the encoder."""

    pool: bytes
    offsets: "array[int]"
    used: "array[int]"
    counts: "array[int]"
    ids: "array[int]"


def g711_streams(path: Path) -> list[list[Datagram]]:
    """Read the RTP packets of one capture that carry G.711, by stream."""
    streams: dict[tuple[object, ...], list[Datagram]] = {}
    with path.open("rb") as file:
        for one in datagrams(PcapFrames(file, file.read(HEADER))):
            if not isinstance(one, Datagram) or len(one.payload) < 12 or one.payload[0] >> 6 != 2:
                continue
            if one.payload[1] & 0x7F in G711:
                streams.setdefault((one.src, one.dst, one.payload[8:12]), []).append(one)
    return [stream for stream in streams.values() if len(stream) >= CHUNK_PACKETS // 2]


def chunk_of(part: list[Datagram], delays: random.Random) -> Chunk:
    """Lay packets down as the receiver does (_fast/chunk.h)."""
    first = part[0]
    identity = IDENTITY.pack(
        7, 0, int.from_bytes(first.payload[8:12], "big"), first.src[1], first.dst[1],
        4, 1, 0, 1, first.src[0], first.dst[0], len(CALL_ID),
    )  # fmt: skip
    parts = [padded(identity + CALL_ID)]
    for one in part:
        delay_us = int(300 * delays.lognormvariate(0, 0.5))
        record = RECORD.pack(one.time_us, one.time_us + delay_us, len(one.payload), 0, 0)
        parts.append(padded(record + one.payload))
    octets = sum(len(one.payload) for one in part)
    return Chunk(b"".join(parts), len(part), octets, b"".join(one.payload[12:] for one in part))


def padded(octets: bytes) -> bytes:
    """Fill up to a multiple of eight octets."""
    return octets + bytes(-len(octets) % 8)


def batch_of(chunks: list[Chunk]) -> Batch:
    """Put chunks one behind the other."""
    used = [len(chunk.memory) for chunk in chunks]
    offsets = [sum(used[:i]) for i in range(len(used))]
    return Batch(
        b"".join(chunk.memory for chunk in chunks),
        array("Q", offsets),
        array("I", used),
        array("I", [chunk.packets for chunk in chunks]),
        array("Q", range(1, len(chunks) + 1)),
    )


def seconds(job: Callable[[], object], at_least: float = 0.4) -> float:
    """Measure the CPU time of one run of `job` [s]: the best of as many as fit into `at_least`."""
    best, spent = float("inf"), 0.0
    while spent < at_least:
        start = time.process_time()
        job()
        took = time.process_time() - start
        best, spent = min(best, took), spent + took
    return best


def _measured(name: str, chunks: list[Chunk]) -> Row:
    """Measure sizes and speeds over the chunks of one capture."""
    batch = batch_of(chunks)
    zstd = zstandard.ZstdCompressor(level=1)
    out, segments, heads, refused = columns_encode_batch(*batch)
    assert not refused
    spans = np.frombuffer(segments, np.uint64).reshape(-1, 2).tolist()
    contents = [out[start : start + length] for start, length in spans]
    for content, chunk in zip(contents, chunks, strict=True):
        data = columns_decode(content)[2]
        assert len(data) == chunk.octets

    def compress() -> list[zstandard.BufferSegment]:
        collection = zstd.multi_compress_to_buffer(zstandard.BufferWithSegments(out, segments), threads=0)
        return [collection[i] for i in range(len(collection))]

    frames = compress()
    packets = sum(chunk.packets for chunk in chunks)
    payload = sum(len(chunk.payload) for chunk in chunks)
    whole = sum(len(frame) for frame in frames)
    # The payload column stands last: alone it tells what of a frame it takes.
    delta = sum(
        len(zstd.compress(content[-len(chunk.payload) :])) for content, chunk in zip(contents, chunks, strict=True)
    )
    plain = sum(len(zstd.compress(chunk.payload)) for chunk in chunks)
    rtp_octets = sum(chunk.octets for chunk in chunks)
    encode_s = seconds(lambda: columns_encode_batch(*batch))
    compress_s = seconds(compress)
    assemble_s = seconds(lambda: blocks_assemble(heads, frames))
    decode_s = seconds(lambda: [columns_decode(content) for content in contents])
    return {
        "capture": name,
        "packets": packets,
        "chunks": len(chunks),
        "payload_ratio_plain": round(plain / payload, 4),
        "payload_ratio": round(delta / payload, 4),
        "columns_octets_per_packet": round((whole - delta) / packets, 3),
        "header_octets_per_packet": round(BLOCK_HEAD_LENGTH * len(chunks) / packets, 3),
        "stored_octets_per_packet": round((whole + BLOCK_HEAD_LENGTH * len(chunks)) / packets, 2),
        "stored_to_rtp": round((whole + BLOCK_HEAD_LENGTH * len(chunks)) / rtp_octets, 4),
        "columns_mb_per_s": round(rtp_octets / encode_s / 1e6),
        "zstd_mb_per_s": round(rtp_octets / compress_s / 1e6),
        "packets_per_s_per_core": round(packets / (encode_s + compress_s + assemble_s)),
        "decode_mb_per_s": round(rtp_octets / decode_s / 1e6),
    }


def measure(scale: Scale) -> Findings:
    """Measure all captures and all of them together. Raises FileNotFoundError when they are not there."""
    folder = scale.captures
    missing = [name for name in FILES if folder is None or not (folder / f"{name}.pcap").is_file()]
    if folder is None or missing:
        raise FileNotFoundError(f"looked for {', '.join(missing)}.pcap in {folder}; name a folder with --captures")
    delays = random.Random(7)
    everything: list[Chunk] = []
    rows = []
    for name in FILES:
        chunks = [
            chunk_of(stream[at : at + CHUNK_PACKETS], delays)
            for stream in g711_streams(folder / f"{name}.pcap")
            for at in range(0, len(stream), CHUNK_PACKETS)
        ]
        everything += chunks
        rows.append(_measured(name, chunks))
    rows.append(_measured("all", everything))
    ratio = written(rows[-1]["payload_ratio"], ".3f")
    heads = sum(float(str(rows[-1][key])) for key in ("columns_octets_per_packet", "header_octets_per_packet"))
    lines = [
        Line("G.711 of real captures: payload stored to captured", ratio, "0.66"),
        Line("G.711 of real captures: everything but payload and index [octets a packet]", f"{heads:.2f}", "2.1"),
    ]
    return Findings("G.711 of real captures", COLUMNS, rows, {"chunk_packets": CHUNK_PACKETS}, lines)
