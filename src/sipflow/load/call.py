"""A whole call, made from a few numbers and made again from them whenever it is asked for."""

import random
from dataclasses import dataclass

from sipflow.clock import SECOND_US
from sipflow.load.bank import LOOP, RINGBACK, VOICES
from sipflow.load.dialog import Dialog, Request
from sipflow.load.party import Parties
from sipflow.load.scenario import Scenario
from sipflow.load.session import describe
from sipflow.load.steps import EVENTS
from sipflow.load.stream import Manner, Stream
from sipflow.wire.packet import Packet

_MANNERS = {Scenario.LOSSY: Manner.LOSSY, Scenario.DIGITS: Manner.DIGITS}
_CALLER, _EXCHANGE = 0, 1  # legs: received from the caller, sent to the caller


@dataclass(frozen=True)
class Script:
    """Everything that is said in a call: SIP messages and media streams, each in order of time."""

    messages: tuple[Packet, ...]
    streams: tuple[Stream, ...]


@dataclass(frozen=True)
class Call:
    """One planned call: begins at `start_us` (since the epoch) and is over `span_us` later at the latest.

    `seed` and `number` decide everything else; equal calls are equal packet by packet.
    """

    seed: int
    number: int
    scenario: Scenario
    start_us: int
    span_us: int
    ipv6: bool = False

    @property
    def end_us(self) -> int:
        """Tell when the last packet of the call has been captured."""
        return self.start_us + self.span_us

    @property
    def call_id(self) -> str:
        """Give the Call-ID."""
        return Parties.draw(self._chance(), ipv6=self.ipv6).call_id

    def script(self) -> Script:
        """Write the whole call."""
        rng = self._chance()
        return _Course(self, Parties.draw(rng, ipv6=self.ipv6), rng).run()

    def messages(self) -> list[Packet]:
        """Write the SIP messages of the call, in order of capture."""
        return list(self.script().messages)

    def streams(self) -> list[Stream]:
        """Plan the media streams of the call."""
        return list(self.script().streams)

    def _chance(self) -> random.Random:
        return random.Random(f"{self.seed}/{self.number}")


class _Course:
    """The course of one call as it is written: a clock, a dialog, and the streams so far."""

    def __init__(self, call: Call, parties: Parties, rng: random.Random) -> None:
        self._call = call
        self._parties = parties
        self._rng = rng
        self._dialog = Dialog(parties, rng)
        self._now = call.start_us
        self._streams: list[Stream] = []
        self._codec = parties.caller.vendor.codecs[0]

    def run(self) -> Script:
        scenario = self._call.scenario
        if scenario is Scenario.REGISTER:
            self._register()
        elif scenario is Scenario.OPTIONS:
            options = self._dialog.options(self._now)
            self._dialog.respond(self._soon(), options, 200)
        else:
            self._invite()
        return Script(tuple(self._dialog.messages), tuple(self._streams))

    def _soon(self) -> int:
        """Move the clock by a network's and a program's delay: 1 to 25 ms, less in very short calls."""
        self._now += min(int(self._rng.uniform(1_000, 25_000)), self._call.span_us // 40)
        return self._now

    def _later(self, least: float, most: float, share: float) -> int:
        """Move the clock by seconds, but by no more than a share of the call's span."""
        wait = int(self._rng.uniform(least, most) * SECOND_US)
        self._now += max(1, min(wait, int(self._call.span_us * share)))
        return self._now

    def _register(self) -> None:
        first = self._dialog.register(self._now)
        self._dialog.respond(self._soon(), first, 401)
        again = self._dialog.register(self._soon(), authorized=True)
        self._dialog.respond(self._soon(), again, 200)

    def _invite(self) -> None:
        offer = describe(self._parties.caller, self._parties.caller.vendor.codecs, self._rng.randrange(10**9))
        invite = self._dialog.invite(self._now, offer)
        if self._call.scenario is Scenario.CHALLENGED:
            self._dialog.respond(self._soon(), invite, 401)
            self._dialog.ack(self._soon(), invite, accepted=False)
            invite = self._dialog.invite(self._soon(), offer, authorized=True)
        self._dialog.respond(self._soon(), invite, 100)
        if self._call.scenario is Scenario.BUSY:
            self._dialog.respond(self._later(0.1, 0.8, 0.5), invite, 486)
            self._dialog.ack(self._soon(), invite, accepted=False)
        elif self._call.scenario is Scenario.UNANSWERED:
            self._give_up(invite)
        else:
            self._talk(invite)

    def _give_up(self, invite: Request) -> None:
        self._dialog.respond(self._later(0.1, 0.6, 0.1), invite, 180)
        cancel = self._dialog.cancel(self._later(5, 25, 0.7), invite)
        self._dialog.respond(self._soon(), cancel, 200)
        self._dialog.respond(self._soon(), invite, 487)
        self._dialog.ack(self._soon(), invite, accepted=False)

    def _talk(self, invite: Request) -> None:
        answer = describe(self._parties.exchange, (self._codec,), self._rng.randrange(10**9))
        if self._call.scenario is Scenario.EARLY_MEDIA:
            early_us = self._later(0.1, 0.5, 0.1)
            self._dialog.respond(early_us, invite, 183, answer)
            answered_us = self._later(2, 6, 0.3)
            self._stream(_EXCHANGE, early_us + 20_000, answered_us, voice=RINGBACK, position=0)
        else:
            self._dialog.respond(self._later(0.1, 0.5, 0.1), invite, 180)
            answered_us = self._later(0.8, 4, 0.2)
        self._dialog.respond(answered_us, invite, 200, answer)
        self._dialog.ack(self._soon(), invite, accepted=True)
        # The answer to the BYE still fits into the span, and so does what a lossy network delays.
        hang_up_us = self._call.end_us - min(60_000, self._call.span_us // 20)
        self._speak(self._now, hang_up_us)
        self._now = hang_up_us
        bye = self._dialog.bye(hang_up_us, by_caller=self._rng.random() < 0.6)
        self._dialog.respond(self._soon(), bye, 200)

    def _speak(self, from_us: int, until_us: int) -> None:
        """Let both parties talk in turns: the other's voice begins half a loop later."""
        position = self._rng.randrange(LOOP)
        caller_voice, other_voice = self._rng.sample(range(VOICES), 2)
        manner = _MANNERS.get(self._call.scenario, Manner.PLAIN)
        own = Manner.SUPPRESSED if manner is Manner.PLAIN and self._parties.caller.vendor.suppresses else manner
        other = manner if manner is Manner.LOSSY else Manner.PLAIN
        caller_until = other_until = until_us
        if self._call.scenario is Scenario.ONE_WAY:
            # The caller hears nothing at all, or is no longer heard after a while.
            if self._rng.random() < 0.5:
                other_until = from_us
            else:
                caller_until = from_us + (until_us - from_us) // 4
        self._stream(_CALLER, from_us + 10_000, caller_until, caller_voice, position, own)
        self._stream(_EXCHANGE, from_us + 25_000, other_until, other_voice, (position + LOOP // 2) % LOOP, other)

    def _stream(
        self, leg: int, from_us: int, until_us: int, voice: int, position: int, manner: Manner = Manner.PLAIN
    ) -> None:
        caller, exchange = self._parties.caller, self._parties.exchange
        sender, receiver = (caller, exchange) if leg == _CALLER else (exchange, caller)
        interval_us = sender.vendor.packet_ms * 1000
        tail_us = 60_000 if manner is Manner.LOSSY else 0
        count = (until_us - tail_us - from_us) // interval_us
        if count <= 0:
            return
        self._streams.append(
            Stream(
                call_id=self._parties.call_id,
                leg=leg,
                src=sender.media,
                dst=receiver.media,
                start_us=from_us,
                count=count,
                samples=sender.vendor.packet_ms * 8,
                payload_type=self._codec,
                ssrc=self._rng.getrandbits(32),
                sequence=self._rng.getrandbits(16),
                timestamp=self._rng.getrandbits(32),
                voice=voice,
                position=position,
                manner=manner,
                chance=self._rng.getrandbits(63),
                digits="".join(self._rng.choices(EVENTS[:12], k=4)) if manner is Manner.DIGITS else "",
            )
        )
