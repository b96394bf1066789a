"""Calls of several dialogs: a back-to-back user agent's, and transfers (RFC 5589, RFC 3515, RFC 3891).

The dialogs share identifiers in Session-ID (RFC 7989), and a transfer's name each other in Refer-To and Replaces.
"""

from sipflow.load.dialog import Body, Request, Session
from sipflow.load.party import DOMAIN, Parties
from sipflow.load.stage import Leg, Stage

_FRAGMENT = "message/sipfrag;version=2.0"
_ACTIVE, _OVER = "active;expires=60", "terminated;reason=noresource"


def bridge(stage: Stage, leg: Leg, variant: int) -> None:
    """Let the exchange carry the call on in a dialog of its own, to another telephone."""
    second = _name(stage, leg, variant)
    invite = leg.dialog.invite(stage.now.moment, leg.offer())
    stage.soon()
    leg.respond(invite, 100)
    stage.soon()
    onward = _ring(stage, second)
    leg.respond(invite, 180)
    stage.later(0.8, 4, 0.15)
    ack = second.accept(onward, second.answer())
    stage.soon()
    heard = leg.accept(invite, leg.answer())
    stage.end(150_000, 1 / 12)
    leg.converse(heard, leg.hang_up(by_caller=True))
    stage.soon()
    # What the first dialog brings goes on in the second one, and back.
    second.converse(ack, second.hang_up(by_caller=True))


def transfer(stage: Stage, leg: Leg, variant: int) -> None:
    """Have the other side call a third party without asking first (RFC 5589, section 6)."""
    third = _name(stage, leg, variant)
    ack = _answered(stage, leg)
    stage.later(4, 1800, 0.3)
    target = f"<sip:{third.parties.called}@{DOMAIN}>"
    _refer(stage, leg, target)
    stage.soon()
    own = f"<sip:{leg.parties.caller.user}@{DOMAIN}>"
    onward = _ring(stage, third, ("Referred-By", own))
    stage.later(0.8, 4, 0.1)
    joined = third.accept(onward, third.answer())
    stage.soon()
    _notify(stage, leg, "SIP/2.0 200 OK", _OVER)
    stage.soon()
    leg.converse(ack, leg.hang_up(by_caller=True))
    stage.end(60_000, 1 / 20)
    third.converse(joined, third.hang_up(by_caller=stage.rng.random() < 0.5))


def attend(stage: Stage, leg: Leg, variant: int) -> None:
    """Ask a third party in a second call, then join the two others: Replaces (RFC 5589, section 7)."""
    third = _name(stage, leg, variant)
    ack = _answered(stage, leg)
    stage.later(3, 900, 0.2)
    phone = third.parties.exchange
    consulted = stage.begin(Parties.consulting(stage.holes, leg.parties, phone))
    talk = _answered(stage, consulted)
    stage.later(3, 600, 0.15)
    parts = consulted.parties
    escaped = parts.call_id.replace("@", "%40")
    replaced = f"Replaces={escaped}%3Bto-tag%3D{parts.exchange.tag}%3Bfrom-tag%3D{parts.caller.tag}"
    _refer(stage, leg, f"<sip:{phone.user}@{phone.host}:{phone.signalling.port}?{replaced}>")
    stage.soon()
    named = f"{parts.call_id};to-tag={parts.exchange.tag};from-tag={parts.caller.tag}"
    onward = third.dialog.invite(
        stage.now.moment,
        third.offer(),
        more=[("Replaces", named), ("Referred-By", f"<sip:{leg.parties.caller.user}@{DOMAIN}>")],
    )
    stage.soon()
    joined = third.accept(onward, third.answer())
    stage.soon()
    consulted.converse(talk, consulted.hang_up(by_caller=False))
    stage.soon()
    _notify(stage, leg, "SIP/2.0 200 OK", _OVER)
    stage.soon()
    leg.converse(ack, leg.hang_up(by_caller=True))
    stage.end(60_000, 1 / 20)
    third.converse(joined, third.hang_up(by_caller=stage.rng.random() < 0.5))


def _name(stage: Stage, leg: Leg, variant: int) -> Leg:
    """Give the call identifiers that all its dialogs have, and begin the dialog that the exchange opens for it."""
    stage.session = Session(*(stage.holes.hex(16) + stage.holes.hex(16) for _ in range(2)))
    leg.dialog.session = stage.session
    return stage.begin(Parties.joined(stage.rng, stage.holes, leg.parties, variant // 8 + 1, ipv6=stage.style.ipv6))


def _answered(stage: Stage, leg: Leg) -> int:
    """Call and be answered; gives the number of the ACK."""
    invite = leg.dialog.invite(stage.now.moment, leg.offer())
    stage.soon()
    leg.respond(invite, 100)
    stage.later(0.1, 0.5, 0.04)
    leg.respond(invite, 180)
    stage.later(0.8, 3, 0.06)
    return leg.accept(invite, leg.answer())


def _ring(stage: Stage, leg: Leg, *more: tuple[str, str]) -> Request:
    invite = leg.dialog.invite(stage.now.moment, leg.offer(), more=more)
    stage.soon()
    leg.respond(invite, 100)
    stage.later(0.1, 0.5, 0.04)
    leg.respond(invite, 180)
    stage.soon()
    return invite


def _refer(stage: Stage, leg: Leg, target: str) -> None:
    refer = leg.dialog.within(
        "REFER",
        stage.now.moment,
        by_caller=True,
        more=[("Refer-To", target), ("Referred-By", f"<sip:{leg.parties.caller.user}@{DOMAIN}>")],
    )
    stage.soon()
    leg.respond(refer, 202)
    stage.soon()
    _notify(stage, leg, "SIP/2.0 100 Trying", _ACTIVE)


def _notify(stage: Stage, leg: Leg, fragment: str, state: str) -> None:
    notify = leg.dialog.within(
        "NOTIFY",
        stage.now.moment,
        by_caller=False,
        more=[("Event", "refer"), ("Subscription-State", state)],
        body=Body(_FRAGMENT, f"{fragment}\r\n"),
    )
    stage.soon()
    leg.respond(notify, 200)
