"""One media stream of a call as it is sent: who to whom, its numbers, its audio, what befalls it."""

import enum
from dataclasses import dataclass

import numpy as np

from sipflow._fast import Talker
from sipflow.load.bank import VoiceBank
from sipflow.load.steps import Steps, impaired, lost_sequences, plain_steps, silence_suppressed, with_digits
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

EVENT_TYPE = 101  # payload type of telephone events in every SDP we write


class Manner(enum.Enum):
    """How a stream is sent."""

    PLAIN = "one packet per interval"
    SUPPRESSED = "nothing while the speaker is silent"
    DIGITS = "telephone events among the audio"
    LOSSY = "losses in bursts, overtaking, duplicates"


@dataclass(frozen=True)
class Stream:
    """A planned stream; the same values always give the same packets.

    `count` is how many packets the interval allows, `samples` what each carries, `position` where in the voice's loop
    [samples] the first begins, `chance` the seed of everything random about the stream.
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
    manner: Manner
    chance: int
    digits: str = ""

    def steps(self, bank: VoiceBank) -> Steps | None:
        """Give the script of the stream, or None for a plain one."""
        if self.manner is Manner.PLAIN or self.count == 0:
            return None
        rng = np.random.default_rng(self.chance)
        steps = plain_steps(rng, self.count, self.samples)
        if self.manner is Manner.SUPPRESSED:
            return silence_suppressed(steps, bank.speaking(self.voice, self.position, self.count, self.samples))
        if self.manner is Manner.DIGITS:
            return with_digits(steps, self.digits, self.samples)
        return impaired(rng, steps, self.samples)

    def talker(self, bank: VoiceBank, client_id: int = 0) -> Talker:
        """Prepare the stream for sending."""
        start, loop = bank.places[self.payload_type, self.voice]
        steps = self.steps(bank)
        frame = Packet(Kind.RTP, self.src, self.dst, 0, b"", self.call_id, self.leg, client_id)
        return Talker(
            encode_packet(frame),
            bank.octets,
            start,
            loop,
            self.position,
            capture_us=self.start_us,
            count=self.count if steps is None else steps.size,
            ssrc=self.ssrc,
            timestamp=self.timestamp,
            sequence=self.sequence,
            samples=self.samples,
            payload_type=self.payload_type,
            event_type=EVENT_TYPE,
            steps=None if steps is None else steps.view(np.uint8),
        )

    def packets(self, bank: VoiceBank, client_id: int = 0) -> list[Packet]:
        """Make every packet of the stream again, in the order in which it is sent."""
        return [
            Packet(Kind.RTP, self.src, self.dst, time_us, payload, self.call_id, self.leg, client_id)
            for time_us, payload in self.talker(bank).packets()
        ]

    def sent(self, bank: VoiceBank) -> int:
        """Count the packets that are sent."""
        steps = self.steps(bank)
        return self.count if steps is None else steps.size

    def lost(self, bank: VoiceBank) -> int:
        """Count the packets that are missing on purpose."""
        steps = self.steps(bank)
        return 0 if steps is None or not steps.size else lost_sequences(steps)
