"""The audio packets of a call as a server's capture file of it has them, held against those sent."""

import io
from collections import Counter
from collections.abc import Sequence

from sipflow.errors import BadCapture
from sipflow.ingest.datagram import Datagram, datagrams
from sipflow.ingest.pcap import HEADER
from sipflow.ingest.pcapng import PcapngFrames
from sipflow.load.bank import VoiceBank
from sipflow.load.stream import EVENT_TYPE, Stream
from sipflow.wire.endpoint import Endpoint, from_packed

_RTP = 12

_Key = tuple[Endpoint, Endpoint, int]
_Packets = Counter[tuple[int, bytes]]


def differing_packets(streams: Sequence[Stream], bank: VoiceBank, pcapng: bytes) -> list[str]:
    """Compare every audio packet of streams, time and octets. Telephone events are left out: a server may hide them.

    Raises ValueError when the capture cannot be read.
    """
    sent: dict[_Key, _Packets] = {}
    for stream in streams:
        own = sent.setdefault((stream.src, stream.dst, stream.ssrc), Counter())
        own.update((packet.time_us, packet.payload) for packet in stream.packets(bank) if _is_audio(packet.payload))
    stored: dict[_Key, _Packets] = {key: Counter() for key in sent}
    for datagram in _datagrams(pcapng):
        octets = datagram.payload
        if len(octets) >= _RTP and octets[0] >> 6 == 2 and _is_audio(octets):
            key = (from_packed(*datagram.src), from_packed(*datagram.dst), int.from_bytes(octets[8:12]))
            if key in stored:
                stored[key][datagram.time_us, octets] += 1
    found = []
    for key, own in sent.items():
        if own != stored[key]:
            missing, strange = (own - stored[key]).total(), (stored[key] - own).total()
            src, _, ssrc = key
            found.append(f"packets from {src}, SSRC {ssrc}: {missing} not stored as sent, {strange} never sent")
    return found


def _is_audio(rtp: bytes) -> bool:
    return rtp[1] & 0x7F != EVENT_TYPE


def _datagrams(pcapng: bytes) -> list[Datagram]:
    stream = io.BytesIO(pcapng)
    try:
        head = stream.read(HEADER)
        return [each for each in datagrams(PcapngFrames(stream, head)) if isinstance(each, Datagram)]
    except BadCapture as error:
        raise ValueError(f"not a capture file: {error}") from None
