"""Full chunks of the pool into blocks and index rows."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray
from typing_extensions import Buffer

from sipflow._fast import Pool, arena_parts, blocks_assemble, messages_encode
from sipflow.storage.block import BLOCK_HEAD
from sipflow.storage.facts import CHUNK_FACTS, media_rows, sip_rows
from sipflow.storage.index import BlockRow, Portion
from sipflow.storage.layout import Period, Subdirs, period_of
from sipflow.storage.record import message_of

# Measured (bench/packet.py): behind the companded delta higher levels cost CPU and gain nothing on audio.
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
        self._audio = zstandard.ZstdCompressor(level=AUDIO_LEVEL)
        self._sip = zstandard.ZstdCompressor(level=SIP_LEVEL)

    def encode(self, chunks: list[int]) -> Encoded:
        """Encode chunks of one class, as `Pool.take` hands them out."""
        if self._pool.is_sip(chunks[0]):
            return self._encode_sip(chunks)
        return self._encode_streams(chunks)

    def _encode_streams(self, chunks: list[int]) -> Encoded:
        raw_facts, raw_heads, ids, octets, raw_spans = self._pool.encode_streams(chunks)
        facts = np.frombuffer(raw_facts, CHUNK_FACTS)
        heads = np.frombuffer(raw_heads, BLOCK_HEAD)
        spans = np.frombuffer(raw_spans, np.uint64).reshape(-1, 2)
        by_period: dict[Period, list[int]] = {}
        damaged = 0
        for at, (filed_us, chunk_id, length) in enumerate(
            zip(facts["filed_us"].tolist(), facts["id"].tolist(), spans[:, 1].tolist(), strict=True)
        ):
            period = period_of(filed_us, self._subdirs)
            if length == 0:
                damaged += 1
            elif not self._is_known(period, chunk_id):
                by_period.setdefault(period, []).append(at)
        portions = []
        packets = 0
        for period, some in by_period.items():
            frames = self._audio.multi_compress_to_buffer(
                zstandard.BufferWithSegments(octets, spans[some].tobytes()), threads=0
            )
            data, offsets, filled = _assemble(heads[some], [frames[i].tobytes() for i in range(len(frames))])
            call_ids = [ids[at].decode("utf-8", "replace") for at in some]
            blocks = _block_rows(filled, offsets, len(data))
            portions.append((period, Portion(data, blocks, [], media_rows(facts[some], call_ids, offsets), [])))
            packets += int(heads["records"][some].sum())
        return Encoded(portions, chunks, 0, packets, damaged)

    def _encode_sip(self, chunks: list[int]) -> Encoded:
        portions = []
        messages = damaged = 0
        for chunk in chunks:
            chunk_id, count = self._pool.chunk_id(chunk), self._pool.count_of(chunk)
            try:
                parts = list(self._by_period(self._pool.octets_of(chunk), count))
            except ValueError:
                damaged += 1
                continue
            for period, arena, some in parts:
                if not self._is_known(period, chunk_id):
                    portions.append((period, self._sip_portion(arena, some, chunk_id)))
                    messages += some
        return Encoded(portions, chunks, messages, 0, damaged)

    def _by_period(self, arena: bytes, count: int) -> Iterator[tuple[Period, bytes, int]]:
        """Split an arena by period; nearly always it is of one. Raises ValueError when it contradicts itself."""
        spans: dict[Period, list[tuple[int, int]]] = {}
        for start, end, filed_us in arena_parts(arena, count):
            spans.setdefault(period_of(filed_us, self._subdirs), []).append((start, end))
        if len(spans) == 1:
            yield next(iter(spans)), arena, count
            return
        for period, some in spans.items():
            yield period, b"".join(arena[start:end] for start, end in some), len(some)

    def _sip_portion(self, arena: bytes, count: int, chunk_id: int) -> Portion:
        content, raw_head, entries = messages_encode(arena, count)
        heads = np.frombuffer(bytearray(raw_head), BLOCK_HEAD)
        heads["chunk"] = chunk_id
        data, offsets, filled = _assemble(heads, [self._sip.compress(content)])
        rows, calls = sip_rows((position, message_of(fields)) for position, _, fields in entries)
        return Portion(data, _block_rows(filled, offsets, len(data)), rows, [], calls)


def _assemble(heads: NDArray[np.void], frames: Sequence[Buffer]) -> tuple[bytes, list[int], NDArray[np.void]]:
    data, places, filled = blocks_assemble(heads.tobytes(), frames)
    return data, np.frombuffer(places, np.uint64).tolist(), np.frombuffer(filled, BLOCK_HEAD)


def _block_rows(heads: NDArray[np.void], offsets: Sequence[int], total: int) -> list[BlockRow]:
    ends = [*offsets[1:], total]
    columns = (heads[name].tolist() for name in ("kind", "records", "t0_us", "t1_us", "chunk"))
    return [BlockRow(start, end - start, *values) for start, end, *values in zip(offsets, ends, *columns, strict=True)]
