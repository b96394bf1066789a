"""RTP of a capture file as chunks: UDP payloads between the ports that the truth names."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dpkt
import numpy as np
import pytest

from chunks import CHUNK_PACKETS
from sipflow.wire.endpoint import Endpoint, from_packed
from sipflow.wire.packet import ROW_VALID, RTP_ROW, Chunk, StreamKey

HERE = Path(__file__).resolve()
CAPTURES = Path(os.environ.get("SIPFLOW_CAPTURES") or HERE.parents[1].parent / "shared" / "captures")


def truth_of(name: str) -> dict[str, Any]:
    """Read what is known about a capture; skips the test where the captures are not at hand."""
    path = CAPTURES / "truth" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no captures at {CAPTURES} (set SIPFLOW_CAPTURES)")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def rtp_chunks(name: str, streams: list[dict[str, Any]]) -> list[Chunk]:
    """Load the packets of these streams (src, dst, ssrc as the truth writes them)."""
    wanted = {(one["src"], one["dst"], int(one["ssrc"], 16)): index for index, one in enumerate(streams)}
    packets: list[list[tuple[int, bytes]]] = [[] for _ in streams]
    ends: dict[int, tuple[Endpoint, Endpoint]] = {}
    for time_us, src, dst, payload in datagrams(next(CAPTURES.glob(f"{name}.pcap*"))):
        if len(payload) < 12 or payload[0] >> 6 != 2:
            continue
        index = wanted.get((str(src), str(dst), struct.unpack_from(">I", payload, 8)[0]))
        if index is not None and not 72 <= payload[1] & 0x7F <= 76:
            packets[index].append((time_us, payload))
            ends[index] = (src, dst)
    chunks = []
    for (_, _, ssrc), index in wanted.items():
        key = StreamKey(name, index % 2, *ends[index], ssrc)
        own = packets[index]
        chunks += [_chunk(key, own[at : at + CHUNK_PACKETS]) for at in range(0, len(own), CHUNK_PACKETS)]
    return chunks


def _chunk(key: StreamKey, packets: list[tuple[int, bytes]]) -> Chunk:
    rows = np.zeros(len(packets), RTP_ROW)
    data = bytearray()
    for row, (time_us, packet) in zip(rows, packets, strict=True):
        head = 12 + 4 * (packet[0] & 15)
        if packet[0] & 16:
            head += 4 + 4 * struct.unpack_from(">H", packet, head + 2)[0]
        padding = packet[-1] if packet[0] & 32 else 0
        row["time_us"] = row["arrival_us"] = time_us
        row["offset"], row["length"] = len(data), len(packet)
        row["payload_offset"], row["payload_length"] = len(data) + head, len(packet) - head - padding
        row["sequence"], row["timestamp"] = struct.unpack_from(">HI", packet, 2)
        row["payload_type"], row["flags"] = packet[1] & 0x7F, ROW_VALID
        data += packet
    return Chunk(key, rows, bytes(data))


def datagrams(path: Path) -> Iterator[tuple[int, Endpoint, Endpoint, bytes]]:
    """Read the UDP datagrams of a capture file: time [us], source, destination, payload."""
    with path.open("rb") as opened:
        reader = dpkt.pcap.UniversalReader(opened)  # names do not tell the format
        link = {dpkt.pcap.DLT_EN10MB: dpkt.ethernet.Ethernet, dpkt.pcap.DLT_LINUX_SLL: dpkt.sll.SLL}[reader.datalink()]
        for seconds, frame in reader:
            ip = link(frame).data
            if isinstance(ip, (dpkt.ip.IP, dpkt.ip6.IP6)) and isinstance(ip.data, dpkt.udp.UDP):
                udp = ip.data
                src, dst = from_packed(ip.src, udp.sport), from_packed(ip.dst, udp.dport)
                yield round(seconds * 1_000_000), src, dst, bytes(udp.data)
