"""Calls put straight into a pool, as a receiver would: for measuring what comes behind it."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from sipflow._fast import Intake, Pool
from sipflow.clock import SECOND_US
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.scenario import Scenario
from sipflow.wire.packet import Packet

_SPAN_US = 30 * SECOND_US
_PACKETS_A_TURN = 1000
_SPARE_CHUNKS = (2 * _PACKETS_A_TURN, 20)  # what one turn cannot exhaust, of streams and of SIP


class Pattern(NamedTuple):
    """A call made by the load generator, to be written again under other Call-IDs and at other times."""

    call_id: str
    start_us: int
    packets: list[Packet]

    def again(self, call_id: str, start_us: int) -> Iterator[Packet]:
        """Write the call under another Call-ID, beginning at `start_us`."""
        old, new = self.call_id.encode(), call_id.encode()
        for packet in self.packets:
            yield msgspec.structs.replace(
                packet,
                call_id=call_id,
                time_us=packet.time_us - self.start_us + start_us,
                payload=packet.payload.replace(old, new),
            )


def patterns(count: int, rtp_packets: int, seed: int = 1) -> list[Pattern]:
    """Make answered calls, each with the first `rtp_packets` of each of its streams, in order of time."""
    bank = VoiceBank.make(seed)
    found = []
    for number in range(count):
        call = Call(seed, number, Scenario.ANSWERED, 1_000_000 * SECOND_US, _SPAN_US)
        script = call.script()
        packets = list(script.messages)
        for stream in script.streams:
            packets += islice(stream.packets(bank), rtp_packets)
        packets.sort(key=lambda packet: packet.time_us)
        found.append(Pattern(call.call_id, call.start_us, packets))
    return found


def put(packets: Iterable[Packet], intake: Intake, pool: Pool, *, now_us: int) -> None:
    """Put packets into a pool, waiting whenever it has little room left for whoever empties it."""
    for number, packet in enumerate(packets):
        if number % _PACKETS_A_TURN == 0:
            intake.sweep()
            while any(free < spare for free, spare in zip(pool.free_chunks(), _SPARE_CHUNKS, strict=True)):
                intake.drain()
                time.sleep(0.002)
        intake.put(
            packet.kind, packet.src.family, packet.src.packed, packet.src.port, packet.dst.packed, packet.dst.port,
            packet.time_us, packet.client_id, packet.call_id.encode(), packet.leg, packet.payload, now_us,
        )  # fmt: skip
