"""Registrations by user: what the last REGISTER of each address-of-record came to (RFC 3261, section 10)."""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, cast

import msgspec

from sipflow.clock import SECOND_US
from sipflow.diagnose import Call
from sipflow.diagnose.dialogue import Dialogue, Step
from sipflow.diagnose.fields import parameter
from sipflow.query.answer import Fault, Flow
from sipflow.query.asking import Asking
from sipflow.query.attempts import Attempts, attempts_in, sum_of
from sipflow.query.census import is_inside
from sipflow.query.counting import COUNTED_HERE
from sipflow.query.enumerator import Enumerator, Room
from sipflow.query.parts import OpenPart, bounds
from sipflow.query.selection import glob
from sipflow.query.share import Share
from sipflow.query.window import Window

USERS_MAX: Final = 200
AGENTS_MAX: Final = 8
CONTACTS_MAX: Final = 16
# What a user's last attempt says lies within this of its end; a registration may be refreshed for weeks.
LATEST_US: Final = 60 * SECOND_US
_ROW = cast(type[tuple[Any, ...]], tuple.__class_getitem__((str, str, int | None, str, str, str, int, int, int)))
_LIST = (
    "SELECT to_uri, call_id, status, reason, user_agent, src, max(last_us), count(*), "
    "sum(status IS NULL OR status >= 300) FROM call_meta WHERE method = 'REGISTER'{} GROUP BY to_uri, user_agent"
)
_SECONDS: Final = re.compile(r"\d{1,10}\Z", re.ASCII)


class Binding(msgspec.Struct, frozen=True):
    """A Contact the registrar lists, and for how long from then on."""

    uri: str
    expires_s: int | None


class Registration(msgspec.Struct, frozen=True):
    """A user's registrations in a window: `aor` is the To URI, `call_id` and `last_us` the latest dialog's.

    `dialogs` counts Call-IDs, `failed` those that no 200 was seen for; `attempts`, `ineffective` and `rrd_s` are those
    of Attempts. `contacts` are those of the last 200.
    """

    aor: str
    call_id: str
    last_us: int
    status: int | None
    reason: str
    src: str
    user_agents: tuple[str, ...]
    dialogs: int
    failed: int
    contacts: tuple[Binding, ...] = ()
    attempts: int = 0
    ineffective: int = 0
    rrd_s: float | None = None


class Registrations(msgspec.Struct, frozen=True):
    """Users, the latest first; `users` counts all that fit, of which at most USERS_MAX are listed.

    `attempts`, `ineffective`, `ira` [percent] and `rrd_s` are those of all users. `counting` parts are not counted yet
    and are missing here, which makes the answer partial: ask again.
    """

    users: int
    registrations: list[Registration]
    partial: bool
    faults: list[Fault]
    attempts: int = 0
    ineffective: int = 0
    ira: float | None = None
    rrd_s: float | None = None
    counting: int = 0


class Registered(NamedTuple):
    """A user of one place, and the attempts there, which the line does not count yet: so both can be put together."""

    line: Registration
    tried: Attempts


class Enrolled(msgspec.Struct, frozen=True):
    """All users that one place knows, the latest first, what it could not read, and its parts not counted yet."""

    users: list[Registered]
    faults: list[Fault]
    counting: int = 0


class Registrar:
    """Lists registrations. Safe to ask from several threads."""

    def __init__(self, enumerator: Enumerator[list[Registered]]) -> None:
        """Remember nothing yet."""
        self._enumerator = enumerator

    def list(self, asking: Asking, window: Window, user: str | None = None, share: Share | None = None) -> Enrolled:
        """List users whose address-of-record contains `user` (exact with *), of a share if given, without contacts."""
        low, high = bounds(window)
        found: dict[str, Registered] = {}
        room, counting = Room(), 0
        for part in asking.parts():
            if (part.t1_us is None or part.t1_us >= low) and (part.t0_us is None or part.t0_us <= high):
                span = None if is_inside(part, low, high) else (low, high)
                ask = partial(_listed, span=span, user=user, share=share)
                counted = self._enumerator.count(asking, part, (span, user, share), ask, room)
                if counted is None:
                    counting += 1
                    continue
                asking.faults += counted.faults
                if counted.identity is not None and not counted.faults:
                    asking.recheck(part, counted.identity)
                for one in counted.total:
                    known = found.get(one.line.aor)
                    found[one.line.aor] = one if known is None else merged(known, one)
        return Enrolled(_latest_first(found.values()), [*dict.fromkeys(asking.faults)], counting)


def together(enrolled: Sequence[Enrolled], limit: int) -> Registrations:
    """List the users that one or more places know, each once, the latest first, `limit` and USERS_MAX at most."""
    found: dict[str, Registered] = {}
    for one in (one for place in enrolled for one in place.users):
        known = found.get(one.line.aor)
        found[one.line.aor] = one if known is None else merged(known, one)
    newest = _latest_first(found.values())[: min(limit, USERS_MAX)]
    once = [*dict.fromkeys(fault for place in enrolled for fault in place.faults)]
    counting = sum(place.counting for place in enrolled)
    every = sum_of(one.tried for one in found.values())
    return Registrations(
        len(found), [_line(one) for one in newest], bool(once) or counting > 0, once, every.attempts,
        every.ineffective, every.ira, every.rrd_s, counting,
    )  # fmt: skip


def _latest_first(found: Iterable[Registered]) -> list[Registered]:
    return sorted(found, key=lambda one: (-one.line.last_us, one.line.aor))


def _line(one: Registered) -> Registration:
    tried = one.tried
    return msgspec.structs.replace(one.line, attempts=tried.attempts, ineffective=tried.ineffective, rrd_s=tried.rrd_s)


def _listed(opened: OpenPart, span: tuple[int, int] | None, user: str | None, share: Share | None) -> list[Registered]:
    clauses, values = "", list[object]()
    if span is not None:
        clauses, values = " AND last_us >= ? AND first_us <= ?", [*span]
    if user:
        clauses += " AND to_uri GLOB ?"
        values.append(glob(user if "*" in user else f"*{user}*"))
    if share is not None:
        opened.counted_here(share.counts)
        clauses += COUNTED_HERE
    tried = attempts_in(opened, clauses, values, span)
    found: dict[str, Registered] = {}
    for aor, call_id, status, reason, agent, src, last_us, dialogs, failed in opened.select(
        _ROW, _LIST.format(clauses), values
    ):
        agents = (agent,) if agent else ()
        line = Registration(aor, call_id, last_us, status, reason, src, agents, dialogs, failed)
        known = found.get(aor)
        one = Registered(line, Attempts() if known else tried.get(aor, Attempts()))
        found[aor] = one if known is None else merged(known, one)
    return [*found.values()]


def merged(one: Registered, other: Registered) -> Registered:
    """Put together what two places know of one user."""
    a, b = one.line, other.line
    late, early = (a, b) if a.last_us >= b.last_us else (b, a)
    agents = tuple(dict.fromkeys((*late.user_agents, *early.user_agents)))[:AGENTS_MAX]
    line = msgspec.structs.replace(late, user_agents=agents, dialogs=a.dialogs + b.dialogs, failed=a.failed + b.failed)
    return Registered(line, one.tried.plus(other.tried))


def with_contacts(registration: Registration, flow: Flow) -> Registration:
    """Fill in what only messages tell: the contacts of the last 200, and what the last attempt came to."""
    dialogue = Dialogue(Call(flow.call_id, tuple(flow.messages)))
    finals = [final for one in dialogue.of("REGISTER") if (final := one.final) is not None]
    if not finals:
        return registration
    last = max(finals, key=lambda step: step.time_us)
    good = [step for step in finals if 200 <= step.status < 300]
    contacts = _contacts(good[-1]) if good else ()
    return msgspec.structs.replace(registration, status=last.status, reason=last.head.reason, contacts=contacts)


def _contacts(step: Step) -> tuple[Binding, ...]:
    whole = step.fields.first("expires")
    found = []
    for value in step.fields.every("contact"):
        for one in _split(value):
            uri = re.search(r"<([^>]*)>", one)
            seconds = parameter(one, "expires") or whole
            expires = int(seconds) if _SECONDS.match(seconds) else None
            found.append(Binding(uri[1] if uri is not None else one.partition(";")[0].strip(), expires))
    return tuple(found[:CONTACTS_MAX])


def _split(value: str) -> list[str]:
    """Take a list of contacts apart at its commas, not at those in quotes or angle brackets."""
    return [part.strip() for part in re.findall(r"(?:\"[^\"]*\"|<[^>]*>|[^,\"<])+", value) if part.strip()]
