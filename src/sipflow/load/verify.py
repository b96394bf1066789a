"""Asks a server for calls that were sent and compares them with what must be there."""

import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec

from sipflow.clock import SECOND_US
from sipflow.errors import ServerUnreachable
from sipflow.load.archive import Archive
from sipflow.load.audio import differing_samples, expected_audio, read_channel
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.stream import Stream
from sipflow.load.totals import Ledger, Totals
from sipflow.wire.endpoint import Endpoint, parse_endpoint
from sipflow.wire.packet import Packet

_THREADS = 4
_PAUSE_S = 0.5  # between two looks at calls that are not complete yet


class Found(msgspec.Struct, frozen=True):
    """What one call was compared on; `differences` says in words what is not as sent."""

    call_id: str
    messages: int
    streams: int
    packets: int
    differences: list[str]


class Verdict(msgspec.Struct, frozen=True):
    """The comparison of a run; `wrong` holds the calls with differences, `totals` what became of all packets."""

    calls: int
    messages: int
    streams: int
    packets: int
    settled_s: float
    wrong: list[Found]
    totals: Totals | None = None

    @property
    def right(self) -> bool:
        """Tell whether no difference was found."""
        return not self.wrong and (self.totals is None or self.totals.right)


class Verifier:
    """Compares calls with what the server at `url` gives for them; `sip_only` calls were sent without their media.

    With `root`, the server's data directory, every RTP packet is read there and compared too.
    """

    def __init__(
        self,
        url: str,
        *,
        sip_only: bool = False,
        audio: bool = True,
        timeout_s: float = 10.0,
        root: Path | None = None,
    ) -> None:
        """Open no connection yet. Raises StorageError when `root` is no data root."""
        self._archive = None if root is None else Archive(root)
        self._client = httpx.Client(base_url=url.rstrip("/"), timeout=timeout_s)
        self._sip_only = sip_only
        self._audio = audio

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        if self._archive is not None:
            self._archive.close()

    def ledger(self) -> Ledger:
        """Ask what the server has counted so far. Raises ServerUnreachable."""
        return Ledger.ask(self._client)

    def totals(self, before: Ledger, sent: int, settle_s: float) -> Totals:
        """Count what was stored since `before`; less than was `sent` is asked for again until `settle_s` have passed.

        Right only if nobody else sends to the server. Raises ServerUnreachable.
        """
        began = time.monotonic()
        while True:
            since = self.ledger().since(before)
            if since.stored >= sent or time.monotonic() - began >= settle_s:
                return Totals(sent, since.stored, since.lost)
            time.sleep(_PAUSE_S)

    def run(
        self, calls: Iterable[Call], settle_s: float = 10.0, progress: Callable[[int, int], None] | None = None
    ) -> Verdict:
        """Compare all calls; those with differences are asked for again until `settle_s` have passed.

        `progress` is told how many of how many calls are as sent. Raises ServerUnreachable.
        """
        began = time.monotonic()
        waiting = list(calls)
        total = len(waiting)
        found: list[Found] = []
        with ThreadPoolExecutor(_THREADS) as pool:
            while True:
                looks = list(pool.map(self.check, waiting))
                found += [look for look in looks if not look.differences]
                wrong = [look for look in looks if look.differences]
                waiting = [call for call, look in zip(waiting, looks, strict=True) if look.differences]
                if progress is not None:
                    progress(total - len(waiting), total)
                if not waiting or time.monotonic() - began >= settle_s:
                    break
                time.sleep(_PAUSE_S)
        every = [*found, *wrong]
        return Verdict(
            calls=total,
            messages=sum(look.messages for look in every),
            streams=sum(look.streams for look in every),
            packets=sum(look.packets for look in every),
            settled_s=time.monotonic() - began,
            wrong=wrong,
        )

    def check(self, call: Call) -> Found:
        """Compare one call: its messages octet by octet, its streams by count, loss and audio."""
        script = call.script()
        call_id = call.call_id
        window = {
            "callid": call_id,
            "start": str(call.start_us // SECOND_US - 1),
            "end": str(call.end_us // SECOND_US + 2),
        }
        differences = _compare_flow(script.messages, self._json("/flow", window, "flow"))
        streams = () if self._sip_only else script.streams
        packets = 0
        if streams:
            bank = VoiceBank.make(call.seed)
            counts = [(s, s.sent(bank), s.lost()) for s in streams]
            packets = sum(count for _, count, _ in counts)
            differences += _compare_streams(counts, self._json("/media", {**window, "stats": "1"}, "stats"))
            if self._audio:
                for leg in sorted({stream.leg for stream in streams}):
                    differences += self._compare_audio([s for s in streams if s.leg == leg], bank, window)
            if self._archive is not None:
                differences += self._archive.differences(streams, bank)
        return Found(call_id, len(script.messages), len(streams), packets, differences)

    def _compare_audio(self, streams: list[Stream], bank: VoiceBank, window: dict[str, str]) -> list[str]:
        leg = streams[0].leg
        answer = self._get("/media", {**window, "leg": str(leg)})
        if answer.status_code != 200:
            return [f"audio of leg {leg}: HTTP {answer.status_code}"]
        try:
            channel = read_channel(answer.content, leg)
        except ValueError as error:
            return [f"audio of leg {leg}: {error}"]
        differences = []
        for stream in streams:
            wrong = differing_samples(expected_audio(stream, bank), channel)
            if wrong is None:
                differences.append(f"audio of leg {leg}, SSRC {stream.ssrc}: not in the recording")
            elif wrong:
                differences.append(f"audio of leg {leg}, SSRC {stream.ssrc}: {wrong} samples differ")
        return differences

    def _json(self, path: str, query: dict[str, str], member: str) -> list[dict[str, object]]:
        answer = self._get(path, query)
        if answer.status_code != 200:
            return []
        try:
            items = answer.json()[member]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ServerUnreachable(f"{answer.url}: not the answer of a sipflow server ({error!r})") from None
        return [item for item in items if isinstance(item, dict)]

    def _get(self, path: str, query: dict[str, str]) -> httpx.Response:
        try:
            return self._client.get(path, params=query)
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{self._client.base_url}{path}: {error}") from None


def _compare_flow(sent: tuple[Packet, ...], stored: list[dict[str, object]]) -> list[str]:
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


def _compare_streams(sent: list[tuple[Stream, int, int]], stored: list[dict[str, object]]) -> list[str]:
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
