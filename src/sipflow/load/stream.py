"""One media stream of a call as it is sent: who to whom, its numbers, its audio, what befalls it."""

import enum
from dataclasses import dataclass

import numpy as np

from sipflow._fast import Talker
from sipflow.load.bank import VoiceBank
from sipflow.load.steps import Steps, impaired, lost_sequences, plain_steps, with_digits
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

    @property
    def scripted(self) -> bool:
        """Tell whether packets follow a script and are not simply one after the other."""
        return self in (Manner.DIGITS, Manner.LOSSY)


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

    def steps(self) -> Steps | None:
        """Give the script of the stream, or None for one that simply sends or is silent."""
        if not self.manner.scripted or self.count == 0:
            return None
        rng = np.random.default_rng(self.chance)
        steps = plain_steps(rng, self.count, self.samples)
        if self.manner is Manner.DIGITS:
            return with_digits(steps, self.digits, self.samples)
        return impaired(rng, steps, self.samples)

    def talker(self, bank: VoiceBank, client_id: int = 0) -> Talker:
        """Prepare the stream for sending."""
        steps = self.steps()
        frame = Packet(Kind.RTP, self.src, self.dst, 0, b"", self.call_id, self.leg, client_id)
        return Talker(
            encode_packet(frame),
            bank.voices,
            bank.number(self.payload_type, self.voice),
            self.position,
            capture_us=self.start_us,
            count=self.count if steps is None else steps.size,
            ssrc=self.ssrc,
            timestamp=self.timestamp,
            sequence=self.sequence,
            samples=self.samples,
            payload_type=self.payload_type,
            event_type=EVENT_TYPE,
            suppressed=self.manner is Manner.SUPPRESSED,
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
        if self.manner is Manner.SUPPRESSED:
            speaking = bank.speaking(self.voice, self.position, self.count, self.samples)
            speaking[:1] = True  # the first packet tells where the stream begins
            return int(np.count_nonzero(speaking))
        steps = self.steps()
        return self.count if steps is None else steps.size

    def lost(self) -> int:
        """Count the packets that are missing on purpose."""
        steps = self.steps()
        return 0 if steps is None or not steps.size else lost_sequences(steps)
