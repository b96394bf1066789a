"""Credentials: challenges that are never met, met wrongly, or met in circles (RFC 3261 section 22, RFC 7616)."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from sipflow.diagnose.dialogue import Dialogue, Step, Transaction
from sipflow.diagnose.words import brief, label
from sipflow.media.finding import Figure, Finding, Severity
from sipflow.wire.endpoint import Endpoint

_CHALLENGES: Final = {401: ("www-authenticate", "authorization"), 407: ("proxy-authenticate", "proxy-authorization")}
_LOOP: Final = 3
_NONCE: Final = re.compile(r"\bnonce\s*=\s*\"([^\"]*)\"", re.IGNORECASE)
_STALE: Final = re.compile(r"\bstale\s*=\s*\"?true\b", re.IGNORECASE)
_REALM: Final = re.compile(r"\brealm\s*=\s*\"([^\"]*)\"", re.IGNORECASE)
_USER: Final = re.compile(r"\busername\s*=\s*\"([^\"]*)\"", re.IGNORECASE)


def authentication(dialogue: Dialogue) -> Iterator[Finding]:
    """Judge, for each method and hop, the requests that were challenged one after the other."""
    asked = [one for one in dialogue.transactions if one.method not in ("ACK", "CANCEL") and one.request is not None]
    for _, some in groupby(sorted(asked, key=lambda one: (_hop(one), one.requests[0].index)), key=_hop):
        yield from _judged(list(some))


def _hop(one: Transaction) -> tuple[str, str, Endpoint]:
    # Not the From tag: a client that registers again may begin a new one.
    return one.method, one.src.ip, one.dst


def _judged(tries: list[Transaction]) -> Iterator[Finding]:
    refused = [one for one in tries if one.final is not None and one.final.status in _CHALLENGES]
    if not refused:
        return
    last = tries[-1].final
    met = [one for one in refused if _credentials(one)]
    times = tuple(final.time_us for one in refused[:8] if (final := one.final) is not None)
    method = brief(tries[0].method)
    if met:
        yield _in_circles(method, refused, met, times, won=last is not None and last.status < 300)
    elif tries[-1] is refused[-1] and last is not None:
        yield Finding(
            "challenge-not-met", Severity.ERROR,
            f"{tries[0].dst} asked for credentials ({label(last.head)}{_realm(last)}) and {method} was not sent again: "
            "the client has none for this realm, or does not understand the challenge.",
            "RFC 3261 section 22.2", times,
        )  # fmt: skip
    if last is not None and last.status == 403 and _credentials(tries[-1]):
        yield Finding(
            "credentials-refused", Severity.ERROR,
            f"{method} with credentials was answered {label(last.head)} by {tries[-1].dst}: the account or its "
            "password is not accepted, or it may not do this.",
            "RFC 3261 section 21.4.4", (last.time_us,),
        )  # fmt: skip


def _in_circles(
    method: str, refused: list[Transaction], met: list[Transaction], times: tuple[int, ...], *, won: bool
) -> Finding:
    final = met[-1].final
    assert final is not None
    challenge = final.fields.first(_CHALLENGES[final.status][0])
    nonces = [_nonce(_credentials(one)) for one in met]
    figures = (Figure("challenges", len(refused)),)
    if won or _STALE.search(challenge):
        return Finding(
            "stale-credentials", Severity.NOTE,
            f"{method} was challenged {len(refused)} times because its nonce had expired (stale)"
            + ("; it was accepted in the end." if won else "."),
            "RFC 7616 section 3.3", times, figures=figures,
        )  # fmt: skip
    if len(refused) >= _LOOP and len(set(nonces)) < len(nonces):
        return Finding(
            "credentials-loop", Severity.ERROR,
            f"{method} was challenged {len(refused)} times and repeats the same credentials: the client ignores the "
            "new nonce.",
            "RFC 3261 section 22.2", times, figures=figures,
        )  # fmt: skip
    user = _USER.search(_credentials(met[-1]))
    named = f" of user {brief(user[1])!r}" if user is not None else ""
    return Finding(
        "wrong-credentials", Severity.ERROR,
        f"{method} was challenged again although it carried credentials{named}{_realm(final)}"
        f" ({len(met)} of {len(refused)} refused requests did): user name or password are wrong.",
        "RFC 3261 section 22.2; RFC 7616 section 3.3", times, figures=figures,
    )  # fmt: skip


def _credentials(one: Transaction) -> str:
    step = one.request
    return "" if step is None else step.fields.first("authorization") or step.fields.first("proxy-authorization")


def _nonce(value: str) -> str:
    found = _NONCE.search(value)
    return "" if found is None else found[1]


def _realm(final: Step) -> str:
    found = _REALM.search(final.fields.first(_CHALLENGES[final.status][0]))
    return "" if found is None else f" for realm {brief(found[1])!r}"
