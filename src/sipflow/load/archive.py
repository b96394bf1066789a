"""The stored packets of streams, read from a data root and held against what was sent."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sipflow.load.bank import VoiceBank
from sipflow.load.stream import Stream
from sipflow.query.history import History
from sipflow.wire.endpoint import Endpoint

_Key = tuple[int, Endpoint, Endpoint, int | None]


class Archive:
    """A data root, which the server that writes it may have open."""

    def __init__(self, root: Path) -> None:
        """Open the root. Raises StorageError when it is none."""
        self._history = History.open(root)

    def close(self) -> None:
        """Close its files."""
        self._history.close()

    def differences(self, streams: Iterable[Stream], bank: VoiceBank) -> list[str]:
        """Compare all streams of one call packet by packet: capture time and every octet. Raises StorageError."""
        found: list[str] = []
        sent: dict[_Key, Counter[tuple[int, bytes]]] = {}
        stored: dict[_Key, Counter[tuple[int, bytes]]] = {}
        call_id = ""
        for stream in streams:
            call_id = stream.call_id
            packets = sent.setdefault((stream.leg, stream.src, stream.dst, stream.ssrc), Counter())
            packets.update((packet.time_us, packet.payload) for packet in stream.packets(bank))
        media = self._history.media(call_id)
        found += [f"{fault.where}: {fault.what}" for fault in media.faults]
        for chunk in media.chunks:
            key = (chunk.key.leg, chunk.key.src, chunk.key.dst, chunk.key.ssrc)
            packets = stored.setdefault(key, Counter())
            for row in chunk.rows[["time_us", "offset", "length"]].tolist():
                time_us, offset, length = row
                packets[time_us, chunk.data[offset : offset + length]] += 1
        for key in sent.keys() | stored.keys():
            own, other = sent.get(key, Counter()), stored.get(key, Counter())
            if own != other:
                leg, src, _, ssrc = key
                missing, strange = (own - other).total(), (other - own).total()
                found.append(
                    f"packets of leg {leg}, {src}, SSRC {ssrc}: {missing} not stored as sent, {strange} never sent"
                )
        return found
