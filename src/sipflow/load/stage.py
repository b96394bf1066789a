"""A call as it is being written: how far it has come, its dialogs, and what is said and heard in them so far."""

import random
from typing import NamedTuple

from sipflow.load.codec import BY_TYPE
from sipflow.load.dialog import Dialog, Request, Session
from sipflow.load.hole import Holes
from sipflow.load.impairment import PERFECT, Impairment
from sipflow.load.moment import Progress
from sipflow.load.mould import ROLE_DRAWS, Line, Mould, Role, Saying, Speaker
from sipflow.load.party import Parties, Party
from sipflow.load.session import describe
from sipflow.load.style import Style

CALLER, EXCHANGE = 0, 1  # legs: received from the caller, sent to the caller
_USUAL_MS = 20  # the packet time of a telephone whose own the codec does not have


class Stage:
    """What all dialogs of a call share: the time, the holes, one codec, and the order in which things are said."""

    def __init__(self, rng: random.Random, style: Style) -> None:
        """Begin with nothing said."""
        self.rng = rng
        self.style = style
        self.holes = Holes()
        self.now = Progress()
        self.sayings: list[Saying] = []
        self.legs: list[Leg] = []
        self.roles: list[Role] = []
        self.session: Session | None = None
        self.ptime = rng.choice(style.ptimes) if style.ptimes else 0
        names = [codec.payload_type for codec, _ in style.codecs]
        self.codec = rng.choices(names, [weight for _, weight in style.codecs])[0] if names else -1

    def begin(self, parties: Parties) -> "Leg":
        """Begin a dialog between parties."""
        if self.codec < 0:
            self.codec = parties.caller.vendor.codecs[0]
        leg = Leg(self, parties, len(self.legs))
        self.legs.append(leg)
        return leg

    def soon(self) -> None:
        """Go on by a network's and a program's delay: 1 to 25 ms, less in very short calls."""
        self.now = self.now.on(self.rng.uniform(1_000, 25_000), 1 / 100)

    def later(self, least: float, most: float, share: float) -> None:
        """Go on by seconds, but by no more than a share of the call's span."""
        self.now = self.now.on(self.rng.uniform(least, most) * 1_000_000, share)

    def end(self, before_us: float, share: float) -> None:
        """Go to a time before the call's end, but by no more than a share of its span."""
        self.now = Progress(before_us, share, from_end=True)

    def mould(self) -> Mould:
        """Give what was written."""
        return Mould(
            self.holes,
            tuple(leg.line for leg in self.legs),
            tuple(self.sayings),
            tuple(self.roles),
        )


class Heard(NamedTuple):
    """A stream on a leg: who is heard, from how long after the first message on, in how many quarters of the time."""

    leg: int
    speaker: Speaker
    lag_us: int
    suppressed: bool = False
    digits: bool = False
    impairment: Impairment = PERFECT
    quarters: int = 4


class Leg:
    """One dialog on a stage, and the media that goes with it."""

    def __init__(self, stage: Stage, parties: Parties, number: int) -> None:
        """Begin with nothing said; `number` is that of the line."""
        self.parties = parties
        self.dialog = Dialog(parties, stage.holes, stage.rng, stage.sayings, number, stage.session)
        self._stage = stage

    @property
    def line(self) -> Line:
        """Give what the mould knows of the dialog."""
        caller, exchange = self.parties.caller, self.parties.exchange
        return Line(self.parties.call_id, (caller.signalling, exchange.signalling), (caller.media, exchange.media))

    def offer(self) -> str:
        """Describe what the caller offers: the call's codec first, and others of its telephone."""
        caller, own = self.parties.caller, self._stage.codec
        others = (*(codec.payload_type for codec, _ in self._stage.style.codecs), *caller.vendor.codecs)
        offered = dict.fromkeys((own, *others, *caller.vendor.also))
        return self._describe(caller, tuple(offered))

    def answer(self) -> str:
        """Describe what the exchange answers: the one codec of the call."""
        return self._describe(self.parties.exchange, (self._stage.codec,))

    def respond(self, request: Request, status: int, sdp: str = "") -> int:
        """Answer now; gives the number of the message."""
        self.dialog.respond(self._stage.now.moment, request, status, sdp)
        return len(self._stage.sayings) - 1

    def refuse(self, invite: Request, status: int) -> None:
        """Refuse a call now."""
        self.respond(invite, status)
        self._stage.soon()
        self.dialog.ack(self._stage.now.moment, invite, accepted=False)

    def accept(self, invite: Request, answer: str) -> int:
        """Answer a call now and have it acknowledged; gives the number of the ACK."""
        self.respond(invite, 200, answer)
        self._stage.soon()
        self.dialog.ack(self._stage.now.moment, invite, accepted=True)
        return len(self._stage.sayings) - 1

    def hang_up(self, *, by_caller: bool) -> int:
        """End the dialog now; gives the number of the BYE."""
        bye = self.dialog.bye(self._stage.now.moment, by_caller=by_caller)
        number = len(self._stage.sayings) - 1
        self._stage.soon()
        self.respond(bye, 200)
        return number

    def hear(self, heard: Heard, begin: int, end: int) -> None:
        """Let a stream be heard between two messages; what happens to it, the style says unless it does itself."""
        stage = self._stage
        party = self.parties.caller if heard.leg == CALLER else self.parties.exchange
        suffered = stage.style.impairments[heard.leg] if heard.impairment.perfect else heard.impairment
        stage.roles.append(
            Role(
                leg=heard.leg,
                begin=begin,
                end=end,
                lag_us=heard.lag_us,
                tail_us=suffered.delay_us + 1_000 if not suffered.perfect else 0,
                quarters=heard.quarters,
                samples=self._packet_ms(party) * 8,
                payload_type=stage.codec,
                speaker=heard.speaker,
                suppressed=heard.suppressed and not heard.digits,
                digits=heard.digits,
                impairment=suffered,
                draw=stage.holes.draws(ROLE_DRAWS),
            )
        )

    def converse(self, begin: int, end: int, *, digits: bool = False, impairment: Impairment = PERFECT) -> None:
        """Let both parties talk in turns between two messages."""
        own = self.parties.caller.vendor.suppresses and impairment.perfect
        self.hear(Heard(CALLER, Speaker.CALLER, 10_000, own, digits, impairment), begin, end)
        self.hear(Heard(EXCHANGE, Speaker.OTHER, 25_000, impairment=impairment), begin, end)

    def _describe(self, party: Party, codecs: tuple[int, ...]) -> str:
        holes = self._stage.holes
        session_id = holes.decimal(10**8, 9 * 10**8)
        return describe(party, codecs, self._packet_ms(party), session_id, holes.plus(party.media.port, 1))

    def _packet_ms(self, party: Party) -> int:
        wanted = self._stage.ptime or party.vendor.packet_ms
        return wanted if wanted in BY_TYPE[self._stage.codec].ptimes else _USUAL_MS
