"""Full chunks of the pool into blocks and index rows."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import zstandard

from sipflow._fast import (
    BLOCK_HEAD,
    CHUNK_FACTS,
    Pool,
    assemble_blocks,
    messages_encode,
)
from sipflow.storage.bucket import BlockRow, MediaRow, Portion, SipRow
from sipflow.storage.layout import Period, Subdirs, period_of
from sipflow.wire.dialog import CallDigest, digest_of
from sipflow.wire.endpoint import Endpoint, from_packed
from sipflow.wire.sip import parse_head

MESSAGES = 1
STREAM = 2
COMPANDED = 1
CLOCK_SKEW = 1

# Measured (bench/packet.py): after the companded delta higher levels cost CPU and gain nothing on audio.
AUDIO_LEVEL = 1
SIP_LEVEL = 3


class Encoded(NamedTuple):
    """What came of some chunks: portions by period, and the chunks to release once all are committed."""

    portions: list[tuple[Period, Portion]]
    chunks: list[int]
    sip_messages: int
    rtp_packets: int
    damaged: int


class Encoder:
    """Turns chunks into portions; one thread at a time, each thread its own.

    `is_known` tells whether a chunk id is already committed in the bucket of a period: a replay after a crash skips
    what was committed but not yet released.
    """

    def __init__(self, pool: Pool, subdirs: Subdirs, is_known: Callable[[Period, int], bool]) -> None:
        """Make an encoder over `pool`."""
        self._pool = pool
        self._subdirs = subdirs
        self._is_known = is_known
        self._audio = zstandard.ZstdCompressor(level=AUDIO_LEVEL, write_content_size=True)
        self._sip = zstandard.ZstdCompressor(level=SIP_LEVEL, write_content_size=True)

    def encode(self, chunks: list[int]) -> Encoded:
        """Encode chunks of one class, as `Pool.take` hands them out."""
        if self._pool.is_sip(chunks[0]):
            return self._encode_sip(chunks)
        return self._encode_streams(chunks)

    def _encode_streams(self, chunks: list[int]) -> Encoded:
        raw_facts, ids, octets, segments = self._pool.encode_streams(chunks)
        facts = np.frombuffer(raw_facts, CHUNK_FACTS)
        spans = np.frombuffer(segments, np.uint64).reshape(-1, 2)
        sound = spans[:, 1] > 0
        damaged = int(len(chunks) - sound.sum())
        periods = _periods(facts["filed_us"].tolist(), self._subdirs)
        by_period: dict[Period, list[int]] = {}
        for at, period in enumerate(periods):
            if sound[at] and not self._is_known(period, int(facts["id"][at])):
                by_period.setdefault(period, []).append(at)
        portions = [
            (period, self._stream_portion(facts[at], [ids[i] for i in at], octets, spans[at]))
            for period, at in by_period.items()
        ]
        packets = sum(block.records for _, portion in portions for block in portion.blocks)
        return Encoded(portions, chunks, 0, packets, damaged)

    def _stream_portion(
        self, facts: "np.ndarray[tuple[int], np.dtype[np.void]]", ids: Sequence[bytes], octets: bytearray,
        spans: "np.ndarray[tuple[int, int], np.dtype[np.uint64]]",
    ) -> Portion:
        frames = self._audio.multi_compress_to_buffer(
            zstandard.BufferWithSegments(octets, spans.tobytes()), threads=0
        )
        heads = np.zeros(len(facts), BLOCK_HEAD)
        heads["t0_us"], heads["t1_us"], heads["chunk"] = facts["t0_us"], facts["t1_us"], facts["id"]
        heads["records"], heads["raw_length"] = facts["packets"], spans[:, 1]
        heads["kind"], heads["transform"] = STREAM, COMPANDED
        heads["flags"] = np.where(facts["clock_skew"] != 0, CLOCK_SKEW, 0)
        data, offsets = assemble_blocks(heads, list(frames))
        blocks = block_rows(heads, offsets, len(data))
        media = [
            media_row(fact, call_id.decode("utf-8", "replace"), block.offset)
            for fact, call_id, block in zip(facts, ids, blocks, strict=True)
        ]
        return Portion(data, blocks, [], media, [])

    def _encode_sip(self, chunks: list[int]) -> Encoded:
        portions = []
        messages = damaged = 0
        for chunk in chunks:
            chunk_id = self._pool.chunk_id(chunk)
            arena = self._pool.octets_of(chunk)
            for period, some in split_arena(arena, self._subdirs):
                if self._is_known(period, chunk_id):
                    continue
                portion = self._sip_portion(some, chunk_id)
                messages += len(portion.sip)
                portions.append((period, portion))
        return Encoded(portions, chunks, messages, 0, damaged)

    def _sip_portion(self, arena: bytes, chunk_id: int) -> Portion:
        content, entries = messages_encode(arena)
        heads = np.zeros(1, BLOCK_HEAD)
        filed = [entry.arrival_us if entry.clock_skew else entry.time_us for entry in entries]
        heads["t0_us"], heads["t1_us"], heads["chunk"] = min(filed), max(filed), chunk_id
        heads["records"], heads["raw_length"], heads["kind"] = len(entries), len(content), MESSAGES
        data, offsets = assemble_blocks(heads, [self._sip.compress(content)])
        rows = []
        calls: dict[str, CallDigest] = {}
        for entry, filed_us in zip(entries, filed, strict=True):
            call_id = entry.call_id.decode("utf-8", "replace")
            head = parse_head(entry.payload)
            src, dst = endpoint(entry.src, entry.src_port), endpoint(entry.dst, entry.dst_port)
            rows.append(
                SipRow(
                    call_id, entry.time_us, str(src), str(dst), head.method or head.cseq_method, head.status,
                    head.cseq, 0, entry.position,
                )
            )
            digest = digest_of(call_id, head, filed_us, src, dst)
            if call_id in calls:
                calls[call_id].merge(digest)
            else:
                calls[call_id] = digest
        return Portion(data, block_rows(heads, offsets, len(data)), rows, [], list(calls.values()))
