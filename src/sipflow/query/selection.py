"""Which calls fit the terms of a search: exactly, by their summaries, and roughly before, by the rows of an index.

A row knows one part of a call. What is asked of rows must pass every row that may belong to a call that fits; whoever
lists sums the call up and asks again.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, ip_address, ip_network
from typing import NamedTuple

from sipflow.query.answer import CallSummary
from sipflow.query.term import Term
from sipflow.wire.endpoint import parse_endpoint


class Condition(NamedTuple):
    """A clause of SQL over call_meta, and the values of its marks."""

    clause: str
    values: tuple[object, ...]


def glob(pattern: str) -> str:
    """Turn a pattern in which only * is special into one for SQLite's GLOB."""
    return "".join(f"[{c}]" if c in "?[" else c for c in pattern)


def matches(pattern: str, text: str) -> bool:
    """Tell whether all of a text fits a pattern in which only * is special."""
    return _whole(pattern).match(text) is not None


@lru_cache(maxsize=256)
def _whole(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))) + r"\Z", re.DOTALL)


@lru_cache(maxsize=256)
def _within(pattern: str) -> re.Pattern[str]:
    # Case is ignored in ASCII only, as SQLite's LIKE has it.
    return re.compile(".*?".join(map(re.escape, pattern.split("*"))), re.DOTALL | re.IGNORECASE | re.ASCII)


def contains(pattern: str, text: str) -> bool:
    """Tell whether a pattern in which only * is special is somewhere in a text, whatever the case."""
    return _within(pattern).search(text) is not None


# --- by summary, exactly ---


def fits(call: CallSummary, terms: Sequence[Term]) -> bool:
    """Tell whether a call fits all terms but those of its text."""
    return all(_FITS[term.field](call, term.pattern) != term.negated for term in terms if term.field != "text")


def has_status(call: CallSummary, wanted: str | None) -> bool:
    """Tell whether a call has a status: a code, a class like 4xx, or a state."""
    if wanted is None or wanted == call.state:
        return True
    if call.status is None:
        return False
    return wanted == str(call.status) or (wanted.endswith("xx") and wanted[0] == str(call.status)[0])


def _is_party(pattern: str, user: str, uri: str) -> bool:
    if "@" not in pattern:
        return matches(pattern, user)
    # A scheme before it, port and parameters behind it do not count (RFC 3261, section 19.1).
    address = uri.partition(":")[2]
    return matches(pattern, re.split(r"[;?]", address, maxsplit=1)[0]) or matches(pattern, _without_port(address))


def _without_port(address: str) -> str:
    return re.sub(r"(:\d+)?([;?].*)?\Z", "", address, flags=re.DOTALL)


def _is_in(pattern: str, *ends: str) -> bool:
    network = ip_network(pattern)
    for end in ends:
        try:
            ip = ip_address(parse_endpoint(end).ip)
        except ValueError:
            continue
        mapped = getattr(ip, "ipv4_mapped", None)
        if ip in network or (mapped is not None and mapped in network):
            return True
    return False


_FITS: dict[str, Callable[[CallSummary, str], bool]] = {
    "any": lambda call, p: p == call.call_id or contains(p, call.from_user) or contains(p, call.to_user),
    "user": lambda call, p: _is_party(p, call.from_user, call.from_uri) or _is_party(p, call.to_user, call.to_uri),
    "from": lambda call, p: _is_party(p, call.from_user, call.from_uri),
    "to": lambda call, p: _is_party(p, call.to_user, call.to_uri),
    "ua": lambda call, p: contains(p, call.user_agent),
    "ip": lambda call, p: _is_in(p, call.src, call.dst),
    "method": lambda call, p: matches(p, call.method),
    "callid": lambda call, p: matches(p, call.call_id),
    "status": has_status,
}


def may_fit(call_id: str, from_user: str, to_user: str, terms: Sequence[Term]) -> bool:
    """Tell whether a live call may fit, of which only these are known; empty users are not known yet."""
    for term in terms:
        users = [user for user in (from_user, to_user) if user]
        match term.field:
            case "callid":
                fit = matches(term.pattern, call_id)
            case "any" if users:
                fit = term.pattern == call_id or any(contains(term.pattern, user) for user in users)
            case "user" if users and "@" not in term.pattern:
                fit = any(matches(term.pattern, user) for user in users)
            case "from" if from_user and "@" not in term.pattern:
                fit = matches(term.pattern, from_user)
            case "to" if to_user and "@" not in term.pattern:
                fit = matches(term.pattern, to_user)
            case _:
                continue
        if fit == term.negated:
            return False
    return True


# --- by rows, roughly ---


def conditions(terms: Sequence[Term]) -> list[Condition]:
    """Give what rows have to fulfil."""
    found = []
    for term in terms:
        condition = _CONDITIONS[term.field](term.pattern)
        if condition is None or (term.negated and term.field not in _EXACT_BY_ROW):
            continue
        clause = f"NOT ({condition.clause})" if term.negated else condition.clause
        # A part that saw no request knows no party: another part of the call does.
        found.append(Condition(f"(method = '' OR {clause})" if term.field in _OF_PARTY else clause, condition.values))
    return found


_OF_PARTY = frozenset(("any", "user", "from", "to", "ua", "ip", "method"))
# Where a row fits if and only if a call fits whose request it holds; only of these does "not" mean something by row.
_EXACT_BY_ROW = frozenset(("ua", "method", "callid"))
_NOT_OVER = "bye_us IS NULL AND coalesce(status, 0) < 300"


def _like(pattern: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern)
    return "%" + escaped.replace("*", "%") + "%"


def _of_party(pattern: str, *sides: str) -> Condition:
    if "@" not in pattern:
        return Condition(" OR ".join(f"{side}_user GLOB ?" for side in sides), (glob(pattern),) * len(sides))
    return Condition(" OR ".join(f"{side}_uri GLOB ?" for side in sides), (f"*:{glob(pattern)}*",) * len(sides))


def _any(pattern: str) -> Condition:
    like = _like(pattern)
    clause = r"call_id = ? OR from_user LIKE ? ESCAPE '\' OR to_user LIKE ? ESCAPE '\'"
    return Condition(clause, (pattern, like, like))


def _ip(pattern: str) -> Condition:
    starts = [glob(start) + "*" for start in _starts(pattern)]
    return Condition(" OR ".join("src GLOB ? OR dst GLOB ?" for _ in starts), tuple(s for s in starts for _ in "sd"))


def _starts(pattern: str) -> list[str]:
    """Tell how the text of an endpoint inside a network begins, as far as whole octets or groups of it say."""
    network = ip_network(pattern)
    if isinstance(network, IPv4Network):
        octets = str(network.network_address).split(".")[: network.prefixlen // 8]
        start = ".".join(octets) + ("." if 0 < len(octets) < 4 else ":" if octets else "")
        return [start, f"[::ffff:{start.replace(':', ']')}"]
    groups = network.network_address.exploded.split(":")[: network.prefixlen // 16]
    short = [f"{int(group, 16):x}" for group in groups]
    # Behind a group of zeros the text may be abridged.
    known = short[: short.index("0")] if "0" in short else short
    return ["[" + "".join(f"{group}:" for group in known[:7])]


def _status(wanted: str) -> Condition:
    if wanted.isdigit():
        return Condition("(status = ? OR status IS NULL)", (int(wanted),))
    if wanted.endswith("xx"):
        low = int(wanted[0]) * 100
        return Condition("(status BETWEEN ? AND ? OR status IS NULL)", (low, low + 99))
    if wanted == "completed":
        return Condition("(bye_us IS NOT NULL OR answer_us IS NOT NULL)", ())
    if wanted in ("failed", "cancelled"):
        return Condition(f"(status >= 300 OR {_NOT_OVER})", ())
    if wanted == "other":
        return Condition("invite_us IS NULL", ())
    return Condition(f"({_NOT_OVER})", ())


_CONDITIONS: dict[str, Callable[[str], Condition | None]] = {
    "any": _any,
    "user": lambda pattern: _of_party(pattern, "from", "to"),
    "from": lambda pattern: _of_party(pattern, "from"),
    "to": lambda pattern: _of_party(pattern, "to"),
    "ua": lambda pattern: Condition(r"user_agent LIKE ? ESCAPE '\'", (_like(pattern),)),
    "ip": _ip,
    "method": lambda pattern: Condition("method GLOB ?", (glob(pattern),)),
    "callid": lambda pattern: Condition("call_id GLOB ?", (glob(pattern),)),
    "status": _status,
    "text": lambda _pattern: None,
}
