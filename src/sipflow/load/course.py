"""The course of a call, scenario by scenario, written as a mould."""

import random
from functools import lru_cache

from sipflow.load.dialog import Dialog, Request
from sipflow.load.hole import Holes
from sipflow.load.moment import Progress
from sipflow.load.mould import ROLE_DRAWS, Mould, Role, Speaker
from sipflow.load.party import Parties
from sipflow.load.scenario import Scenario
from sipflow.load.session import describe
from sipflow.load.stream import Manner

VARIANTS = 64  # moulds of each scenario

_MANNERS = {Scenario.LOSSY: Manner.LOSSY, Scenario.DIGITS: Manner.DIGITS}
_CALLER, _EXCHANGE = 0, 1  # legs: received from the caller, sent to the caller
_SETTLING_US = 60_000  # what a lossy network delays still comes before the call is over


@lru_cache(maxsize=4 * VARIANTS * len(Scenario))
def mould_of(seed: int, scenario: Scenario, variant: int, *, ipv6: bool) -> Mould:
    """Write a mould, some milliseconds of work; the same values always give the same one."""
    return _Course(seed, scenario, variant, ipv6=ipv6).write()


class _Course:
    """A call as it is written: how far it has come, a dialog, and the streams so far."""

    def __init__(self, seed: int, scenario: Scenario, variant: int, *, ipv6: bool) -> None:
        self._scenario = scenario
        self._rng = random.Random(f"{seed}/{scenario}/{variant}")
        self._holes = Holes()
        self._parties = Parties.cast(self._rng, self._holes, variant, ipv6=ipv6)
        self._dialog = Dialog(self._parties, self._holes, self._rng)
        self._now = Progress()
        self._roles: list[Role] = []
        self._codec = self._parties.caller.vendor.codecs[0]

    def write(self) -> Mould:
        if self._scenario is Scenario.REGISTER:
            self._register()
        elif self._scenario is Scenario.OPTIONS:
            options = self._dialog.options(self._now.moment)
            self._soon()
            self._dialog.respond(self._now.moment, options, 200)
        else:
            self._invite()
        caller, exchange = self._parties.caller, self._parties.exchange
        return Mould(
            self._holes,
            self._parties.call_id,
            (caller.signalling, exchange.signalling),
            (caller.media, exchange.media),
            tuple(self._dialog.sayings),
            tuple(self._roles),
        )

    def _soon(self) -> None:
        """Go on by a network's and a program's delay: 1 to 25 ms, less in very short calls."""
        self._now = self._now.on(self._rng.uniform(1_000, 25_000), 1 / 40)

    def _later(self, least: float, most: float, share: float) -> None:
        """Go on by seconds, but by no more than a share of the call's span."""
        self._now = self._now.on(self._rng.uniform(least, most) * 1_000_000, share)

    def _respond(self, request: Request, status: int, sdp: str = "") -> int:
        """Answer now; gives the number of the message."""
        self._dialog.respond(self._now.moment, request, status, sdp)
        return len(self._dialog.sayings) - 1

    def _register(self) -> None:
        first = self._dialog.register(self._now.moment)
        self._soon()
        self._respond(first, 401)
        self._soon()
        again = self._dialog.register(self._now.moment, authorized=True)
        self._soon()
        self._respond(again, 200)

    def _invite(self) -> None:
        caller = self._parties.caller
        offer = self._describe((*caller.vendor.codecs, *caller.vendor.also), exchange=False)
        invite = self._dialog.invite(self._now.moment, offer)
        if self._scenario is Scenario.CHALLENGED:
            self._soon()
            self._respond(invite, 401)
            self._soon()
            self._dialog.ack(self._now.moment, invite, accepted=False)
            self._soon()
            invite = self._dialog.invite(self._now.moment, offer, authorized=True)
        self._soon()
        self._respond(invite, 100)
        if self._scenario is Scenario.BUSY:
            self._later(0.1, 0.8, 0.5)
            self._refuse(invite, 486)
        elif self._scenario is Scenario.UNANSWERED:
            self._give_up(invite)
        else:
            self._talk(invite)

    def _describe(self, codecs: tuple[int, ...], *, exchange: bool) -> str:
        party = self._parties.exchange if exchange else self._parties.caller
        session_id = self._holes.decimal(10**8, 9 * 10**8)
        return describe(party, codecs, session_id, self._holes.plus(party.media.port, 1))

    def _refuse(self, invite: Request, status: int) -> None:
        self._respond(invite, status)
        self._soon()
        self._dialog.ack(self._now.moment, invite, accepted=False)

    def _give_up(self, invite: Request) -> None:
        self._later(0.1, 0.6, 0.1)
        self._respond(invite, 180)
        self._later(5, 25, 0.7)
        cancel = self._dialog.cancel(self._now.moment, invite)
        self._soon()
        self._respond(cancel, 200)
        self._soon()
        self._refuse(invite, 487)

    def _talk(self, invite: Request) -> None:
        answer = self._describe((self._codec,), exchange=True)
        self._later(0.1, 0.5, 0.1)
        if self._scenario is Scenario.EARLY_MEDIA:
            early = self._respond(invite, 183, answer)
            self._role(_EXCHANGE, Speaker.RINGBACK, early, early + 1, lag_us=20_000)
            self._later(2, 6, 0.3)
        else:
            self._respond(invite, 180)
            self._later(0.8, 4, 0.2)
        self._respond(invite, 200, answer)
        self._soon()
        self._dialog.ack(self._now.moment, invite, accepted=True)
        self._speak(len(self._dialog.sayings) - 1)
        # The answer to the BYE still fits into the span.
        self._now = Progress(_SETTLING_US, 1 / 20, from_end=True)
        bye = self._dialog.bye(self._now.moment, by_caller=self._rng.random() < 0.6)
        self._soon()
        self._respond(bye, 200)

    def _speak(self, ack: int) -> None:
        """Let both parties talk in turns until one of them hangs up with the message behind the ACK."""
        manner = _MANNERS.get(self._scenario, Manner.PLAIN)
        own = Manner.SUPPRESSED if manner is Manner.PLAIN and self._parties.caller.vendor.suppresses else manner
        other = manner if manner is Manner.LOSSY else Manner.PLAIN
        # One way: the caller hears nothing at all, or is no longer heard after a while.
        one_way = self._scenario is Scenario.ONE_WAY
        deaf = one_way and self._rng.random() < 0.5
        quarters = 1 if one_way and not deaf else 4
        self._role(_CALLER, Speaker.CALLER, ack, ack + 1, lag_us=10_000, manner=own, quarters=quarters)
        if not deaf:
            self._role(_EXCHANGE, Speaker.OTHER, ack, ack + 1, lag_us=25_000, manner=other)

    def _role(
        self,
        leg: int,
        speaker: Speaker,
        begin: int,
        end: int,
        *,
        lag_us: int,
        manner: Manner = Manner.PLAIN,
        quarters: int = 4,
    ) -> None:
        party = self._parties.caller if leg == _CALLER else self._parties.exchange
        self._roles.append(
            Role(
                leg=leg,
                begin=begin,
                end=end,
                lag_us=lag_us,
                tail_us=_SETTLING_US if manner is Manner.LOSSY else 0,
                quarters=quarters,
                samples=party.vendor.packet_ms * 8,
                payload_type=self._codec,
                speaker=speaker,
                manner=manner,
                draw=self._holes.draws(ROLE_DRAWS),
            )
        )
