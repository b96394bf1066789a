"""The calls of a capture file as an import sees them: messages and media of each."""

from pathlib import Path
from typing import NamedTuple

from chunks import Rtp, make_chunks
from sipflow.ingest.capture_file import CaptureFile
from sipflow.wire.packet import Chunk, Kind, Message, StreamKey
from sipflow.wire.rtp import parse_rtp


class CapturedCall(NamedTuple):
    """One call: its messages in order of capture, and the packets of each of its streams."""

    messages: list[Message]
    streams: dict[StreamKey, list[Rtp]]

    @property
    def chunks(self) -> list[Chunk]:
        """Give the media as the store hands it out."""
        return [chunk for key, packets in self.streams.items() for chunk in make_chunks(key, packets)]


def calls_of(path: Path) -> dict[str, CapturedCall]:
    """Read every call of a capture, RTP that belongs to none included."""
    calls: dict[str, CapturedCall] = {}
    for packet in CaptureFile(path).packets():
        call = calls.setdefault(packet.call_id, CapturedCall([], {}))
        if packet.kind is Kind.SIP:
            message = Message(packet.call_id, packet.time_us, packet.time_us, packet.src, packet.dst, packet.payload)
            call.messages.append(message)
        elif head := parse_rtp(packet.payload):
            key = StreamKey(packet.call_id, packet.leg or 0, packet.src, packet.dst, head.ssrc)
            rtp = Rtp(packet.time_us, head.sequence, head.timestamp, head.payload, head.payload_type, head.marker)
            call.streams.setdefault(key, []).append(rtp)
    return calls
