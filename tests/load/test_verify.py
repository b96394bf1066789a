"""Verification finds nothing where everything was kept, and everything that was not."""

import io
import json
import threading
import wave
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from click.testing import CliRunner

from sipflow._fast import g711_decode, rtp_head
from sipflow.errors import ServerUnreachable
from sipflow.load import cli
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.coder import LAWS
from sipflow.load.samples import sample_calls
from sipflow.load.scenario import USUAL, Scenario
from sipflow.load.schedule import Schedule
from sipflow.load.verdict import Verdict
from sipflow.load.verify import Verifier
from sipflow.wire.packet import Kind, Packet

START = 1_780_000_000_000_000


class Keeper:
    """A recorder of the simplest kind: packets in a list, answers over HTTP as docs/API.md has them."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.asked: list[str] = []
        self.metrics = [""]  # what /metrics says, one after the other; the last one stays
        keeper = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keeper.asked.append(self.path)
                status, kind, body = keeper.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the overridden method
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def keep(self, call: Call) -> None:
        script = call.script()
        self.packets += script.messages
        for stream in script.streams:
            self.packets += stream.packets(VoiceBank.make(call.seed))

    def answer(self, path: str) -> tuple[int, str, bytes]:
        url = urlsplit(path)
        if url.path == "/metrics":
            text = self.metrics.pop(0) if len(self.metrics) > 1 else self.metrics[0]
            return 200, "text/plain", text.encode()
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        own = [p for p in self.packets if p.call_id == query["callid"]]
        if url.path == "/flow":
            return _json({"flow": [_message(p) for p in own if p.kind is Kind.SIP]})
        media = [p for p in own if p.kind is Kind.RTP]
        if query.get("stats") == "1":
            return _json({"stats": _statistics(media)})
        leg = [p for p in media if p.leg == int(query["leg"])]
        return (200, "audio/wav", _wav(leg)) if leg else (404, "text/plain", b"No media found")


def _json(value: object) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(value).encode()


def _message(packet: Packet) -> dict[str, object]:
    return {
        "timestamp": packet.time_us,
        "src_addr": str(packet.src),
        "dst_addr": str(packet.dst),
        "payload": packet.payload.decode("utf-8", "replace"),
    }


def _statistics(packets: list[Packet]) -> list[dict[str, object]]:
    groups: dict[tuple[int | None, str, int], list[int]] = defaultdict(list)
    for packet in packets:
        head = rtp_head(packet.payload)
        assert head is not None
        groups[packet.leg, str(packet.src), head[4]].append(head[2])
    found: list[dict[str, object]] = []
    for (leg, src, ssrc), sequences in groups.items():
        around = {(s - sequences[0] + 32768) % 65536 for s in sequences}
        lost = max(around) - min(around) + 1 - len(around)
        found.append({"leg": leg, "src": src, "ssrc": ssrc, "packet_count": len(sequences), "lost_packets": lost})
    return found


def _wav(packets: list[Packet]) -> bytes:
    first_us = min(p.time_us for p in packets)
    base: dict[int, tuple[int, int]] = {}
    sound = np.zeros(8000 * 20, np.int16)
    for packet in packets:
        head = rtp_head(packet.payload)
        assert head is not None
        _, payload_type, _, timestamp, ssrc, payload = head
        at, zero = base.setdefault(ssrc, ((packet.time_us - first_us) // 125, timestamp))
        if payload_type in LAWS:
            start = at + ((timestamp - zero + 2**31) % 2**32 - 2**31)
            pcm = np.frombuffer(g711_decode(payload, LAWS[payload_type]), np.int16)
            sound[start + 8000 : start + 8000 + pcm.size] = pcm
    out = io.BytesIO()
    with wave.open(out, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(8000)
        target.writeframes(sound.tobytes())
    return out.getvalue()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    it = Keeper()
    yield it
    it.close()


CALLS = [Call(1, n, scenario, START + n * 1000, 6_000_000) for n, scenario in enumerate(Scenario)]


def verdict_on(keeper: Keeper, calls: list[Call], settle_s: float = 0.0) -> Verdict:
    verifier = Verifier(keeper.url)
    try:
        return verifier.run(calls, settle_s)
    finally:
        verifier.close()


def test_what_was_kept_whole_has_no_differences(keeper: Keeper) -> None:
    for call in CALLS:
        keeper.keep(call)
    verdict = verdict_on(keeper, CALLS)
    assert verdict.wrong == []
    assert verdict.calls == len(CALLS)
    assert verdict.messages == sum(p.kind is Kind.SIP for p in keeper.packets)
    assert verdict.packets == sum(p.kind is Kind.RTP for p in keeper.packets)
    assert any("leg=1" in path for path in keeper.asked)


def without(keep: Callable[[Packet], bool]) -> Callable[[list[Packet]], list[Packet]]:
    return lambda packets: [p for p in packets if keep(p)]


def nth(packets: list[Packet], kind: Kind, number: int) -> int:
    return [i for i, p in enumerate(packets) if p.kind is kind][number]


def changed(
    packets: list[Packet], at: int, *, payload: bytes | None = None, time_us: int | None = None
) -> list[Packet]:
    p = packets[at]
    other = Packet(p.kind, p.src, p.dst, time_us or p.time_us, payload or p.payload, p.call_id, p.leg, p.client_id)
    return [*packets[:at], other, *packets[at + 1 :]]


def flipped(packets: list[Packet]) -> list[Packet]:
    at = nth(packets, Kind.RTP, 40)
    payload = bytearray(packets[at].payload)
    payload[50] ^= 0x80
    return changed(packets, at, payload=bytes(payload))


def other_ssrc(packets: list[Packet]) -> list[Packet]:
    at = nth(packets, Kind.RTP, 40)
    payload = packets[at].payload
    return changed(packets, at, payload=payload[:8] + b"\1\2\3\4" + payload[12:])


def other_octet(packets: list[Packet]) -> list[Packet]:
    return changed(packets, 2, payload=packets[2].payload.replace(b"Ringing", b"Ringinf"))


def two_swapped(packets: list[Packet]) -> list[Packet]:
    return [packets[1], packets[0], *packets[2:]]


def one_rtp_lost(packets: list[Packet]) -> list[Packet]:
    at = nth(packets, Kind.RTP, 40)
    return [*packets[:at], *packets[at + 1 :]]


def one_rtp_twice(packets: list[Packet]) -> list[Packet]:
    at = nth(packets, Kind.RTP, 40)
    return [*packets[:at], packets[at], *packets[at:]]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda packets: packets[1:], ["messages: sent 7, stored 6", "message 1: octets differ"]),
        (other_octet, ["message 3: octets differ (SIP/2.0 180 Ringing)"]),
        (two_swapped, ["message 1: octets differ"]),
        (lambda packets: changed(packets, 0, time_us=START + 1), ["message 1: captured at"]),
        (one_rtp_lost, ["packet_count", "lost_packets 0, stored 1", "samples differ"]),
        (one_rtp_twice, ["packet_count"]),
        (flipped, ["1 samples differ"]),
        (other_ssrc, ["stored, never sent", "packet_count"]),
        (without(lambda p: p.leg != 1), ["stream of leg 1", "not stored", "audio of leg 1: HTTP 404"]),
        (lambda packets: packets[:0], ["messages: sent 7, stored 0", "not stored"]),
    ],
)
def test_every_kind_of_harm_is_found(
    keeper: Keeper, harm: Callable[[list[Packet]], list[Packet]], words: list[str]
) -> None:
    call = CALLS[0]
    keeper.keep(call)
    keeper.packets = harm(keeper.packets)
    verdict = verdict_on(keeper, [call])
    assert [found.call_id for found in verdict.wrong] == [call.call_id]
    told = "; ".join(verdict.wrong[0].differences)
    for word in words:
        assert word in told, told


def test_a_slow_recorder_is_given_time(keeper: Keeper) -> None:
    for call in CALLS[:3]:
        keeper.keep(call)
    late = keeper.packets.pop()
    timer = threading.Timer(0.8, lambda: keeper.packets.append(late))
    timer.start()
    verdict = verdict_on(keeper, CALLS[:3], settle_s=20)
    timer.join()
    assert verdict.wrong == []
    assert 0.5 < verdict.settled_s < 10


def metrics(stored: int, pool_full: int = 0) -> str:
    return (
        f'sipflow_items_recorded_total{{component="sipflow"}} {stored}\n'
        f'sipflow_kernel_drops_total{{component="sipflow"}} 2\n'
        f'sipflow_dropped_total{{component="sipflow",reason="pool_full_rtp"}} {pool_full}\n'
    )


def test_totals_count_what_was_stored_and_lost_since_the_run_began(keeper: Keeper) -> None:
    verifier = Verifier(keeper.url)
    try:
        keeper.metrics = [metrics(500)]
        before = verifier.ledger()
        keeper.metrics = [metrics(900), metrics(1500)]
        totals = verifier.totals(before, 1000, 10.0)
        assert (totals.sent, totals.stored, totals.lost, totals.right) == (1000, 1000, {}, True)
        assert not verifier.totals(before, 1001, 0.0).right
        assert not verifier.totals(before, 999, 0.0).right
        keeper.metrics = [metrics(1500, pool_full=7)]
        lossy = verifier.totals(before, 1000, 0.0)
        assert (lossy.lost, lossy.right) == ({"dropped: pool_full_rtp": 7}, False)
        keeper.metrics = ["something else"]
        with pytest.raises(ServerUnreachable, match="not the metrics of a sipflow server"):
            verifier.ledger()
    finally:
        verifier.close()


def test_a_sample_is_some_of_the_calls_and_the_same_every_time() -> None:
    plan = Schedule(3, USUAL, START, 20_000_000, 4_000_000, lines=20)
    every = list(plan.calls())
    some = plan.sample(10)
    assert some == plan.sample(10)
    assert len(set(some)) == 10
    assert set(some) <= set(every)
    assert plan.sample(10_000) == every


def test_an_absent_server_is_named() -> None:
    verifier = Verifier("http://127.0.0.1:9")
    with pytest.raises(ServerUnreachable, match=r"http://127\.0\.0\.1:9/flow: "):
        verifier.run(sample_calls(START))
    verifier.close()


def test_the_command_reports_and_fails_on_differences(keeper: Keeper) -> None:
    """Nothing reaches the keeper, so that every call differs."""
    arguments = ["--to", "127.0.0.1:9", "--calls", "3", "--duration", "2", "--talk", "2", "--sip-only"]
    done = CliRunner().invoke(cli.main, [*arguments, "--verify", keeper.url, "--settle", "0", "--json", "-"])
    assert done.exit_code == 1, done.output
    outcome = json.loads(done.output)
    assert outcome["sent"]["calls"] == outcome["verdict"]["calls"] == len(outcome["verdict"]["wrong"])
    assert outcome["sent"]["rtp"] == 0
    assert outcome["speed"] == 1.0


def test_the_command_says_what_it_cannot_do() -> None:
    run = CliRunner().invoke
    assert "HOST:PORT" in run(cli.main, ["--to", "nowhere"]).output
    assert run(cli.main, ["--to", "nowhere"]).exit_code == 2
    both = run(cli.main, ["--to", "127.0.0.1:9", "--calls", "1", "--cps", "1"])
    assert (both.exit_code, "found both" in both.output) == (2, True)
    alone = run(cli.main, ["--to", "127.0.0.1:9", "--sample", "5"])
    assert (alone.exit_code, "without --verify" in alone.output) == (2, True)
    wrong = run(cli.main, ["--to", "127.0.0.1:9", "--scenario", "bussy"])
    assert (wrong.exit_code, "bussy" in wrong.output) == (2, True)


def test_the_command_runs_in_the_time_and_at_the_rate_asked_for(keeper: Keeper) -> None:
    arguments = ["--to", "127.0.0.1:9", "--calls", "20", "--duration", "2", "--talk", "4", "--rate", "8000"]
    done = CliRunner().invoke(cli.main, [*arguments, "--json", "-"])
    assert done.exit_code == 0, done.output
    outcome = json.loads(done.output)
    assert 1.9 < outcome["sent"]["wall_s"] < 4
    assert 5000 < outcome["rate"] < 11000
