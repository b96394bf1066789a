"""Calls put straight into a pool, as a receiver would: for measuring what comes behind it."""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.wire.datagram import same_family
from sipflow.wire.packet import Kind, Packet

_SPAN_US = 30 * SECOND_US
_PACKETS_A_TURN = 1000
_SPARE_CHUNKS = (2 * _PACKETS_A_TURN, 20)  # what one turn cannot exhaust, of streams and of SIP


class Frame(NamedTuple):
    """A packet as Intake.put takes it, but for the time it is put; times in microseconds."""

    kind: int
    family: int
    src: bytes
    src_port: int
    dst: bytes
    dst_port: int
    time_us: int
    client_id: int
    call_id: bytes
    leg: int | None
    payload: bytes


class Pattern(NamedTuple):
    """A call made by the load generator, to be written again under other Call-IDs and at other times."""

    call_id: str
    start_us: int
    frames: list[Frame]

    def again(self, call_id: str, start_us: int, *, sip: bool = True, rtp: bool = True) -> Iterator[Frame]:
        """Write the call under another Call-ID, beginning at `start_us`; its signalling, its media, or both."""
        old, new, later = self.call_id.encode(), call_id.encode(), start_us - self.start_us
        for kind, family, src, src_port, dst, dst_port, time_us, client, _, leg, payload in self.frames:
            if kind == Kind.SIP and sip:
                written = payload.replace(old, new)
                yield Frame(kind, family, src, src_port, dst, dst_port, time_us + later, client, new, leg, written)
            elif kind == Kind.RTP and rtp:
                yield Frame(kind, family, src, src_port, dst, dst_port, time_us + later, client, new, leg, payload)


def patterns(
    count: int, rtp_packets: int, seed: int = 1, scenarios: Sequence[Scenario] = (Scenario.ANSWERED,)
) -> list[Pattern]:
    """Make calls, scenario after scenario, each with the first `rtp_packets` of each stream, in order of time."""
    bank = VoiceBank.make(seed)
    found = []
    for number in range(count):
        call = Call(seed, number, scenarios[number % len(scenarios)], 1_000_000 * SECOND_US, _SPAN_US)
        script = call.script()
        packets = list(script.messages)
        for stream in script.streams:
            packets += islice(stream.packets(bank), rtp_packets)
        packets.sort(key=lambda packet: packet.time_us)
        found.append(Pattern(call.call_id, call.start_us, [frame_of(packet) for packet in packets]))
    return found


def frame_of(packet: Packet) -> Frame:
    """Write a packet down."""
    src, dst = same_family(packet.src, packet.dst)
    return Frame(
        packet.kind, src.family, src.packed, src.port, dst.packed, dst.port,
        packet.time_us, packet.client_id, packet.call_id.encode(), packet.leg, packet.payload,
    )  # fmt: skip


def put(frames: Iterable[Frame], intake: Intake, pool: Pool, *, now_us: int) -> None:
    """Put packets into a pool, waiting whenever it has little room left for whoever empties it."""
    for number, frame in enumerate(frames):
        if number % _PACKETS_A_TURN == 0:
            intake.sweep()
            while any(free < spare for free, spare in zip(pool.free_chunks(), _SPARE_CHUNKS, strict=True)):
                intake.drain()
                time.sleep(0.002)
        intake.put(*frame, now_us)
