"""Answers of a server held against what was sent."""

from collections.abc import Sequence

from sipflow.load.stream import Stream
from sipflow.wire.endpoint import Endpoint, parse_endpoint
from sipflow.wire.packet import Packet


def compare_flow(sent: Sequence[Packet], stored: Sequence[dict[str, object]]) -> list[str]:
    """Compare messages with the answer of /flow: number, order, octets, times and ends."""
    differences = []
    if len(stored) != len(sent):
        differences.append(f"messages: sent {len(sent)}, stored {len(stored)}")
    for number, (packet, item) in enumerate(zip(sent, stored, strict=False), start=1):
        # Every message we write is UTF-8, so that the text of the answer is the octets.
        text = item.get("payload")
        if not isinstance(text, str) or text.encode() != packet.payload:
            first_line = packet.payload.partition(b"\r\n")[0].decode()
            differences.append(f"message {number}: octets differ ({first_line})")
        if (found := item.get("timestamp")) != packet.time_us:
            differences.append(f"message {number}: captured at {packet.time_us}, stored {found}")
        for end, member in ((packet.src, "src_addr"), (packet.dst, "dst_addr")):
            if not _same_end(end, item.get(member)):
                differences.append(f"message {number}: {member} {end}, stored {item.get(member)}")
    return differences


def compare_streams(sent: Sequence[tuple[Stream, int, int]], stored: Sequence[dict[str, object]]) -> list[str]:
    """Compare streams, each with the packets sent and lost on purpose, with the answer of /media?stats=1."""
    differences = []
    by_key = {(item.get("leg"), item.get("ssrc")): item for item in stored}
    for stream, count, lost in sent:
        name = f"stream of leg {stream.leg}, SSRC {stream.ssrc}"
        item = by_key.pop((stream.leg, stream.ssrc), None)
        if item is None:
            differences.append(f"{name}: not stored")
            continue
        for member, expected in (("packet_count", count), ("lost_packets", lost)):
            if (found := item.get(member)) != expected:
                differences.append(f"{name}: {member} {expected}, stored {found}")
        if not _same_end(stream.src, item.get("src")):
            differences.append(f"{name}: src {stream.src}, stored {item.get('src')}")
    differences += [f"stream of leg {leg}, SSRC {ssrc}: stored, never sent" for leg, ssrc in by_key]
    return differences


def _same_end(end: Endpoint, text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        return parse_endpoint(text) == end
    except ValueError:
        return False
