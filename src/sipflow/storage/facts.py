"""What the index says of a stream chunk, as C gathers it while encoding."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sipflow.storage.index import MediaRow
from sipflow.wire.endpoint import from_packed

# struct sf_chunk_facts (facts.h); times in microseconds.
CHUNK_FACTS = np.dtype(
    [
        ("id", "<u8"),
        ("filed_us", "<i8"),
        ("t0_us", "<i8"),
        ("t1_us", "<i8"),
        ("chunk", "<u4"),
        ("packets", "<u4"),
        ("lost", "<u4"),
        ("jitter_us", "<u4"),
        ("ssrc", "<u4"),
        ("client_id", "<u4"),
        ("leg", "<i4"),
        ("first_seq", "<u2"),
        ("last_seq", "<u2"),
        ("src_port", "<u2"),
        ("dst_port", "<u2"),
        ("call_id_length", "<u2"),
        ("payload_type", "u1"),
        ("family", "u1"),
        ("has_ssrc", "u1"),
        ("clock_skew", "u1"),
        ("src", "S16"),
        ("dst", "S16"),
        ("pad", "S6"),
    ]
)


@lru_cache(maxsize=65536)
def endpoint_text(packed: bytes, port: int, family: int) -> str:
    """Write an address of struct sf_chunk_facts as the index keeps it."""
    octets = 16 if family == 6 else 4
    return str(from_packed(packed.ljust(16, b"\0")[:octets], port))


def media_rows(facts: NDArray[np.void], call_ids: list[str], offsets: list[int]) -> list[MediaRow]:
    """Write the index rows of chunks; `offsets` are those of their blocks."""
    rows = []
    # One tuple per chunk, not per packet: some ten thousand a second at a million packets.
    for (_, _, _, t1, _, packets, lost, jitter, ssrc, _, leg, first, last, src_port, dst_port, _, payload_type, family,
         is_rtp, _, src, dst, _), t0, call_id, offset in zip(
        facts.tolist(), facts["t0_us"].tolist(), call_ids, offsets, strict=True
    ):  # fmt: skip
        ends = endpoint_text(src, src_port, family), endpoint_text(dst, dst_port, family)
        rtp = (ssrc, payload_type) if is_rtp else (None, None)
        numbers = (jitter, first, last) if is_rtp else (None, None, None)
        rows.append(MediaRow(call_id, t0, t1, leg, *ends, *rtp, packets, lost, *numbers, offset))
    return rows
