"""One media stream of a call as it is sent: who to whom, its numbers, its audio, what befalls it."""

from dataclasses import dataclass

import numpy as np

from sipflow._fast import Talker
from sipflow.load.bank import Coding, VoiceBank
from sipflow.load.codec import BY_TYPE
from sipflow.load.impairment import PERFECT, Impairment
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

EVENT_TYPE = 101  # payload type of telephone events in every SDP we write
EVENTS = "0123456789*#ABCD"  # RFC 4733, table 3


@dataclass(frozen=True)
class Stream:
    """A planned stream; the same values always give the same packets.

    `count` is how many packets the interval allows, `samples` of 8 kHz what each carries, `position` where in the
    voice's loop [samples] the first begins, `chance` the seed of everything random about the stream. A `suppressed`
    one is silent while its voice is; `digits` are pressed in it.
    """

    call_id: str
    leg: int
    src: Endpoint
    dst: Endpoint
    start_us: int
    count: int
    samples: int
    payload_type: int
    ssrc: int
    sequence: int
    timestamp: int
    voice: int
    position: int
    chance: int = 0
    suppressed: bool = False
    digits: str = ""
    impairment: Impairment = PERFECT

    @property
    def scripted(self) -> bool:
        """Tell whether packets follow a script and are not simply one after the other."""
        return bool(self.digits) or not self.impairment.perfect

    def talker(self, bank: VoiceBank, client_id: int = 0) -> Talker:
        """Prepare the stream for sending."""
        frame = Packet(Kind.RTP, self.src, self.dst, 0, b"", self.call_id, self.leg, client_id)
        return Talker(
            encode_packet(frame),
            bank.voices,
            bank.number(self.payload_type, self.samples, self.voice),
            self.position,
            capture_us=self.start_us,
            count=self.count,
            ssrc=self.ssrc,
            timestamp=self.timestamp,
            sequence=self.sequence,
            samples=self.samples,
            payload_type=self.payload_type,
            ticks=BY_TYPE[self.payload_type].ticks,
            event_type=EVENT_TYPE,
            suppressed=self.suppressed,
            digits=bytes(map(EVENTS.index, self.digits)),
            network=self.impairment.record,
            chance=self.chance,
        )

    def packets(self, bank: VoiceBank, client_id: int = 0) -> list[Packet]:
        """Make every packet of the stream again, in the order in which it is sent."""
        return [
            Packet(Kind.RTP, self.src, self.dst, time_us, payload, self.call_id, self.leg, client_id)
            for time_us, payload in self.talker(bank).packets()
        ]

    def sent(self, bank: VoiceBank) -> int:
        """Count the packets that are sent."""
        if self.scripted:
            return len(self.talker(bank).packets())
        return self._said(bank)

    def lost(self, bank: VoiceBank) -> int:
        """Count the packets that are missing on purpose: numbers between the lowest and the highest that never come."""
        if self.impairment.perfect:
            return 0
        packets = self.talker(bank).packets()
        sequences = np.array([int.from_bytes(octets[2:4]) for _, octets in packets], np.int64)
        # Streams of over 65536 packets wrap: the order of capture tells in which round a number belongs.
        change = np.diff(sequences, prepend=sequences[:1])
        numbers = np.cumsum((change + 32768) % 65536 - 32768)
        return int(numbers.max() - numbers.min() + 1 - np.unique(numbers).size)

    def _said(self, bank: VoiceBank) -> int:
        if not self.suppressed:
            return self.count
        loop = Coding.of(self.payload_type, self.samples).loop
        speaking = bank.speaking(self.voice, self.position, self.count, self.samples, loop)
        speaking[:1] = True  # the first packet tells where the stream begins
        return int(np.count_nonzero(speaking))
