"""What the index says of a block: a row per SIP message, a row per chunk of media."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sipflow.storage.index import MediaRow, SipRow
from sipflow.wire.dialog import CallDigest, digest_of
from sipflow.wire.endpoint import from_packed
from sipflow.wire.packet import Message
from sipflow.wire.sip import parse_head

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
        if is_rtp:
            row = MediaRow(call_id, t0, t1, leg, *ends, ssrc, payload_type, packets, lost, jitter, first, last, offset)
        else:
            row = MediaRow(call_id, t0, t1, leg, *ends, None, None, packets, lost, None, None, None, offset)
        rows.append(row)
    return rows


def sip_rows(messages: Iterable[tuple[int, Message]]) -> tuple[list[SipRow], list[CallDigest]]:
    """Write the index rows of the messages of one block, given with their positions, and a digest of each call."""
    rows = []
    calls: dict[str, CallDigest] = {}
    for position, message in messages:
        head = parse_head(message.payload)
        ends = str(message.src), str(message.dst)
        method = head.method if head.is_request else head.cseq_method
        rows.append(SipRow(message.call_id, message.time_us, *ends, method, head.status, head.cseq, 0, position))
        filed_us = message.arrival_us if message.clock_skew else message.time_us
        digest = digest_of(message.call_id, head, filed_us, message.src, message.dst)
        if message.call_id in calls:
            calls[message.call_id].merge(digest)
        else:
            calls[message.call_id] = digest
    return rows, list(calls.values())
