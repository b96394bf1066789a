"""The course of a call, scenario by scenario, written as a mould."""

import random
from functools import lru_cache

from sipflow.load.dialog import Body, Request
from sipflow.load.impairment import PERFECT, POOR
from sipflow.load.mould import Mould, Speaker
from sipflow.load.party import Parties
from sipflow.load.scenario import Scenario
from sipflow.load.stage import CALLER, EXCHANGE, Heard, Leg, Stage
from sipflow.load.style import Style
from sipflow.load.transfer import attend, bridge, transfer

VARIANTS = 64  # moulds of each scenario

_KEYS = "0123456789*#"


@lru_cache(maxsize=8 * VARIANTS * len(Scenario))
def mould_of(seed: int, scenario: Scenario, variant: int, style: Style, status: int) -> Mould:
    """Write a mould, some milliseconds of work; the same values always give the same one.

    `status` is that of a call that is refused.
    """
    stage = Stage(random.Random(f"{seed}/{scenario}/{variant}/{status}"), style)
    leg = stage.begin(Parties.cast(stage.rng, stage.holes, variant, ipv6=style.ipv6))
    match scenario:
        case Scenario.REGISTER:
            _register(stage, leg)
        case Scenario.OPTIONS:
            options = leg.dialog.options(stage.now.moment)
            stage.soon()
            leg.respond(options, 200)
        case Scenario.B2BUA:
            bridge(stage, leg, variant)
        case Scenario.TRANSFER:
            transfer(stage, leg, variant)
        case Scenario.ATTENDED:
            attend(stage, leg, variant)
        case _:
            _invite(stage, leg, scenario, status)
    return stage.mould()


def _register(stage: Stage, leg: Leg) -> None:
    first = leg.dialog.register(stage.now.moment)
    stage.soon()
    leg.respond(first, 401)
    stage.soon()
    again = leg.dialog.register(stage.now.moment, authorized=True)
    stage.soon()
    leg.respond(again, 200)


def _invite(stage: Stage, leg: Leg, scenario: Scenario, status: int) -> None:
    offer = leg.offer()
    invite = leg.dialog.invite(stage.now.moment, offer)
    if scenario is Scenario.CHALLENGED:
        stage.soon()
        leg.respond(invite, 401)
        stage.soon()
        leg.dialog.ack(stage.now.moment, invite, accepted=False)
        stage.soon()
        invite = leg.dialog.invite(stage.now.moment, offer, authorized=True)
    stage.soon()
    leg.respond(invite, 100)
    if scenario in (Scenario.BUSY, Scenario.REFUSED):
        stage.later(0.1, 0.8, 0.5)
        leg.refuse(invite, 486 if scenario is Scenario.BUSY else status)
    elif scenario is Scenario.UNANSWERED:
        _give_up(stage, leg, invite)
    else:
        _talk(stage, leg, invite, scenario)


def _give_up(stage: Stage, leg: Leg, invite: Request) -> None:
    stage.later(0.1, 0.6, 0.1)
    leg.respond(invite, 180)
    stage.later(5, 25, 0.7)
    cancel = leg.dialog.cancel(stage.now.moment, invite)
    stage.soon()
    leg.respond(cancel, 200)
    stage.soon()
    leg.refuse(invite, 487)


def _talk(stage: Stage, leg: Leg, invite: Request, scenario: Scenario) -> None:
    answer = leg.answer()
    stage.later(0.1, 0.5, 0.1)
    if scenario is Scenario.EARLY_MEDIA:
        early = leg.respond(invite, 183, answer)
        leg.hear(Heard(EXCHANGE, Speaker.RINGBACK, 20_000), early, early + 1)
        stage.later(2, 6, 0.3)
    else:
        leg.respond(invite, 180)
        stage.later(0.8, 4, 0.2)
    ack = leg.accept(invite, answer)
    if scenario is Scenario.INFO_DIGITS:
        _press(stage, leg)
    # The answer to the BYE still fits into the span.
    stage.end(60_000, 1 / 20)
    bye = leg.hang_up(by_caller=stage.rng.random() < 0.6)
    if scenario is Scenario.ONE_WAY:
        # The caller hears nothing at all, or is no longer heard after a while.
        deaf = stage.rng.random() < 0.5
        leg.hear(Heard(CALLER, Speaker.CALLER, 10_000, quarters=4 if deaf else 1), ack, bye)
        if not deaf:
            leg.hear(Heard(EXCHANGE, Speaker.OTHER, 25_000), ack, bye)
    else:
        poor = POOR if scenario is Scenario.LOSSY else PERFECT
        leg.converse(ack, bye, digits=scenario is Scenario.DIGITS, impairment=poor)


def _press(stage: Stage, leg: Leg) -> None:
    """Press keys by INFO (application/dtmf-relay), as telephones do that send no telephone events."""
    for _ in range(4):
        stage.later(0.4, 1.2, 0.06)
        key = stage.rng.choice(_KEYS)
        body = Body("application/dtmf-relay", f"Signal={key}\r\nDuration=160\r\n")
        info = leg.dialog.within("INFO", stage.now.moment, by_caller=True, body=body)
        stage.soon()
        leg.respond(info, 200)
