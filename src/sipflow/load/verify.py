"""Asks servers for calls that were sent and compares them with what must be there."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import msgspec

from sipflow.clock import SECOND_US
from sipflow.errors import ConfigError, ServerUnreachable
from sipflow.load.archive import Archive
from sipflow.load.audio import differing_samples, expected_audio, read_channel
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.captured import differing_packets
from sipflow.load.coder import LAWS
from sipflow.load.comparing import compare_flow, compare_streams
from sipflow.load.route import Route
from sipflow.load.stream import Stream
from sipflow.load.totals import Ledger, Totals
from sipflow.load.verdict import Found, Verdict
from sipflow.node import Node
from sipflow.wire.packet import Packet

_THREADS = 4
_EXPORT_S = 120.0  # a server assesses all of a call's sound before it gives a capture of it
_PAUSE_S = 0.5  # between two looks at calls that are not complete yet


class _Refused(Exception):
    """A server answered a question with an error."""


class Dialog(msgspec.Struct, frozen=True):
    """What was sent under one Call-ID, and which node must have it."""

    call: Call
    call_id: str
    node: Node
    messages: tuple[Packet, ...]
    streams: tuple[Stream, ...]


class Verifier:
    """Compares calls with what the servers of a route give for them, each Call-ID with the node that keeps it.

    `sip_only` calls were sent without their media; without `legs` (HEP) nothing said which way media went, so that it
    is all on one leg, and packets are compared in place of what is heard. With `root`, the one server's data directory,
    every RTP packet is read there and compared too. Of several nodes one may be silent: all its calls differ then.
    """

    def __init__(
        self,
        target: str | Route,
        *,
        sip_only: bool = False,
        legs: bool = True,
        audio: bool = True,
        timeout_s: float = 10.0,
        root: Path | None = None,
    ) -> None:
        """Open no connection yet; `target` is a route or the URL of the one server.

        Raises StorageError when `root` is no data root, ConfigError when a node has no URL.
        """
        self._route = target if isinstance(target, Route) else Route.to("127.0.0.1:1", target)
        for node in self._route.nodes:
            if not node.http:
                raise ConfigError("--verify", f"no URL of {node.udp}", "--verify URL, or --node udp=…,http=URL")
        self._archive = None if root is None else Archive(root)
        self._clients = {
            node.name: httpx.Client(base_url=node.http.rstrip("/"), timeout=timeout_s) for node in self._route.nodes
        }
        self._sip_only = sip_only
        self._legs = legs
        self._audio = audio
        # Why nodes did not answer. Each question may wait its limit: they are asked once in each round.
        self._silent: dict[str, str] = {}

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()
        if self._archive is not None:
            self._archive.close()

    def ledger(self) -> dict[str, Ledger]:
        """Ask what each server has counted so far. Raises ServerUnreachable."""
        return {name: Ledger.ask(client) for name, client in self._clients.items()}

    def totals(self, before: dict[str, Ledger], sent: int, settle_s: float) -> Totals:
        """Count what was stored since `before`; less than was `sent` is asked for again until `settle_s` have passed.

        Right only if nobody else sends to the servers. Raises ServerUnreachable when none of them answers.
        """
        began = time.monotonic()
        while True:
            since = self._since(before)
            if since.stored >= sent or time.monotonic() - began >= settle_s:
                return Totals(sent, since.stored, since.lost)
            time.sleep(_PAUSE_S)

    def run(
        self, calls: Iterable[Call], settle_s: float = 10.0, progress: Callable[[int, int], None] | None = None
    ) -> Verdict:
        """Compare all calls; those with differences are asked for again until `settle_s` have passed.

        `progress` is told how many of how many calls are as sent. Raises ServerUnreachable when no server answers.
        """
        uncounted, self._silent = self._silent, {}
        began = time.monotonic()
        waiting = list(calls)
        total = len(waiting)
        found: list[Found] = []
        wrong: list[Found] = []
        with ThreadPoolExecutor(_THREADS) as pool:
            while True:
                self._silent.clear()
                looks = list(pool.map(self.check, waiting))
                self._refuse_silence()
                found += [each for look in looks for each in look if not any(one.differences for one in look)]
                wrong = [each for look in looks for each in look if any(one.differences for one in look)]
                waiting = [
                    call for call, look in zip(waiting, looks, strict=True) if any(one.differences for one in look)
                ]
                if progress is not None:
                    progress(total - len(waiting), total)
                if not waiting or time.monotonic() - began >= settle_s:
                    break
                time.sleep(_PAUSE_S)
        every = [*found, *wrong]
        silent, self._silent = {**uncounted, **self._silent}, {}
        return Verdict(
            calls=total,
            dialogs=len(every),
            messages=sum(look.messages for look in every),
            streams=sum(look.streams for look in every),
            packets=sum(look.packets for look in every),
            dropped=sum(look.dropped for look in every),
            settled_s=time.monotonic() - began,
            wrong=[look for look in wrong if look.differences],
            silent=list(silent.values()),
        )

    def _since(self, before: dict[str, Ledger]) -> Ledger:
        """Count what the nodes that answer have stored since `before`."""
        self._silent.clear()
        counted = []
        for name, client in self._clients.items():
            try:
                counted.append(Ledger.ask(client).since(before[name]))
            except ServerUnreachable as error:
                self._silent[name] = f"{name}: {error}"
        self._refuse_silence()
        return Ledger.sum(counted)

    def _refuse_silence(self) -> None:
        if len(self._silent) == len(self._clients):
            raise ServerUnreachable("; ".join(self._silent.values()))

    def check(self, call: Call) -> list[Found]:
        """Compare one call, Call-ID by Call-ID: messages octet by octet, streams by count, loss and audio."""
        script = call.script()
        streams = script.streams if self._legs else tuple(replace(stream, leg=0) for stream in script.streams)
        return [
            self._found(
                Dialog(
                    call,
                    call_id,
                    node,
                    tuple(message for message in script.messages if message.call_id == call_id),
                    () if self._sip_only else tuple(s for s in streams if s.call_id == call_id),
                )
            )
            for call_id in call.call_ids
            for node in self._route.owners(call_id)
        ]

    def _found(self, of: Dialog) -> Found:
        """Compare what was sent under one Call-ID, if its node answers. Raises ServerUnreachable of the one server."""
        bank = of.call.bank()
        counts = [(stream, stream.sent(bank), stream.lost(bank)) for stream in of.streams]
        name = of.node.name
        if name not in self._silent:
            try:
                differences = self._differences(of, counts, bank)
            except ServerUnreachable as error:
                if len(self._clients) == 1:
                    raise
                self._silent[name] = f"{name}: {error}"
        if name in self._silent:
            differences = [f"its node is silent: {self._silent[name]}"]
        return Found(
            call_id=of.call_id,
            node=name if len(self._clients) > 1 else "",
            scenario=of.call.scenario.value,
            messages=len(of.messages),
            streams=len(of.streams),
            packets=sum(count for _, count, _ in counts),
            dropped=sum(lost for _, _, lost in counts),
            differences=differences,
        )

    def _differences(self, of: Dialog, counts: list[tuple[Stream, int, int]], bank: VoiceBank) -> list[str]:
        window = {
            "callid": of.call_id,
            "start": str(of.call.start_us // SECOND_US - 1),
            "end": str(of.call.end_us // SECOND_US + 2),
        }
        try:
            differences = compare_flow(of.messages, self._json(of.node, "/flow", window, "flow"))
        except _Refused as refused:
            differences = [str(refused)]
        if of.streams:
            try:
                told = self._json(of.node, "/media", {**window, "stats": "1"}, "stats")
                differences += compare_streams(counts, told)
            except _Refused as refused:
                differences.append(str(refused))
            if self._audio:
                differences += self._compare_sound(of, bank, window)
            if self._archive is not None:
                differences += self._archive.differences(of.streams, bank)
        return differences

    def _compare_sound(self, of: Dialog, bank: VoiceBank, window: dict[str, str]) -> list[str]:
        """Compare what is heard of G.711, whose samples are known; of other codecs the packets."""
        heard = [stream for stream in of.streams if stream.payload_type in LAWS and self._legs]
        coded = [stream for stream in of.streams if stream not in heard]
        differences = []
        for leg in sorted({stream.leg for stream in heard}):
            differences += self._compare_audio(of.node, [s for s in heard if s.leg == leg], bank, window)
        if coded:
            differences += self._compare_packets(of, coded, bank)
        return differences

    def _compare_packets(self, of: Dialog, streams: Sequence[Stream], bank: VoiceBank) -> list[str]:
        answer = self._get(of.node, f"/api/v1/calls/{quote(of.call_id, safe='')}/call.pcapng", {}, _EXPORT_S)
        if answer.status_code != 200:
            return [f"packets: no capture of the call, HTTP {answer.status_code}"]
        try:
            return differing_packets(streams, bank, answer.content)
        except ValueError as error:
            return [f"packets: {error}"]

    def _compare_audio(
        self, node: Node, streams: Sequence[Stream], bank: VoiceBank, window: dict[str, str]
    ) -> list[str]:
        leg = streams[0].leg
        answer = self._get(node, "/media", {**window, "leg": str(leg)})
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

    def _json(self, node: Node, path: str, query: dict[str, str], member: str) -> list[dict[str, object]]:
        answer = self._get(node, path, query)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        if answer.status_code != httpx.codes.OK:
            raise _Refused(f"{path}: HTTP {answer.status_code}")
        try:
            items = answer.json()[member]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ServerUnreachable(f"{answer.url}: not the answer of a sipflow server ({error!r})") from None
        return [item for item in items if isinstance(item, dict)]

    def _get(self, node: Node, path: str, query: dict[str, str], timeout_s: float | None = None) -> httpx.Response:
        client = self._clients[node.name]
        try:
            return client.get(path, params=query, timeout=timeout_s or client.timeout)
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{client.base_url}{path}: {error}") from None
