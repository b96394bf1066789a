"""Sealed buckets made by the real writer, of calls with audio that does not compress."""

import random
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from capture_writer import frame, pcap, rtp, sdp, sip
from sipflow.importer import import_files
from sipflow.storage.layout import CATALOG, HOUR_US

A, B = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
T0_US = 480_000 * HOUR_US  # 2024-10-04T00:00:00Z


def call(
    call_id: str, at_us: int, packets: int = 100, spread_us: int = 20_000, octets: int = 160
) -> list[tuple[int, bytes]]:
    """Write the frames of an answered call: three messages, then `packets` of `octets` of noise one way."""
    noise = random.Random(call_id)
    # Ports of its own: nothing else tells the media of a capture apart.
    a_rtp, b_rtp = ((host, noise.randrange(10_000, 60_000, 2)) for host, _ in (A, B))
    frames = [
        (0, frame(A, B, sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE", sdp(*a_rtp)))),
        (90_000, frame(B, A, sip("SIP/2.0 200 OK", call_id, "1 INVITE", sdp(*b_rtp), to_tag="b"))),
        (95_000, frame(A, B, sip("ACK sip:bob@example.com SIP/2.0", call_id, "1 ACK", to_tag="b"))),
    ]
    ssrc = noise.getrandbits(32)
    frames += [
        (100_000 + n * spread_us, frame(a_rtp, b_rtp, rtp(n, ssrc, payload=noise.randbytes(octets))))
        for n in range(packets)
    ]
    return [(at_us + at, one) for at, one in frames]


def record(root: Path, frames: Iterable[tuple[int, bytes]]) -> None:
    """Store frames in sealed parts that look as a server has recorded them when they happened."""
    file = root.with_name(f"{root.name}.pcap")
    # In slices: pcap() takes the longer the more it is given.
    with file.open("wb") as out:
        out.write(pcap([]))
        ordered = sorted(frames)
        for at in range(0, len(ordered), 500):
            out.write(pcap(ordered[at : at + 500])[len(pcap([])) :])
    import_files([file], root)
    file.unlink()
    catalog = sqlite3.connect(root / CATALOG)
    catalog.execute("UPDATE parts SET imported_us = NULL")
    catalog.commit()
    catalog.close()


def hours(count: int, packets: int = 100) -> list[tuple[int, bytes]]:
    """Write a call per hour, named by its number."""
    every: list[tuple[int, bytes]] = []
    for hour in range(count):
        every += call(f"call-{hour}@h", T0_US + hour * HOUR_US + 60_000_000, packets)
    return every
