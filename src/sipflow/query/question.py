"""Questions as people write them: times, windows, statuses, limits in text, checked once for every face."""

import re
from ipaddress import ip_network
from typing import Final

from sipflow.clock import SECOND_US, parse_time
from sipflow.errors import BadQuery
from sipflow.query.answer import STATES, Criteria
from sipflow.query.term import Field, Term
from sipflow.query.window import Window

LIMIT_MAX = 1000
# What may be asked for beside user and status: names as parameters and options have them, and the fields they mean.
FILTERS: Final[dict[str, Field]] = {
    "from": "from", "to": "to", "ua": "ua", "ip": "ip", "method": "method", "text": "text",
}  # fmt: skip

_STATUS = re.compile(r"[1-6](\d\d|xx)\Z", re.ASCII)
_WHOLE_SECONDS = re.compile(r"(-?\d{1,11}|[^.]*:[^.]*)\Z", re.ASCII)
_WHOLE_MILLIS = re.compile(r"-?\d{12,14}\Z", re.ASCII)


def parse_window(start: str | None, end: str | None, names: tuple[str, str] = ("start", "end")) -> Window:
    """Read both bounds, inclusive; None or blank is unbounded. Raises BadQuery.

    An end covers the whole of the unit it was written in: 1753000000 and 2025-07-20T08:26:40Z reach to the last
    microsecond of their second, a number of milliseconds to the last of its millisecond.
    """
    start_us = None if not start or not start.strip() else _time(start, names[0])
    end_us = None
    if end and end.strip():
        end_us = _time(end, names[1])
        if _WHOLE_SECONDS.match(end.strip()):
            end_us += SECOND_US - 1
        elif _WHOLE_MILLIS.match(end.strip()):
            end_us += 999
    if start_us is not None and end_us is not None and start_us > end_us:
        raise BadQuery(
            f"{names[0]}: found {start!r}, which is after {names[1]} {end!r}; allowed: the earlier one first"
        )
    return Window(start_us, end_us)


def parse_criteria(
    *,
    window: Window,
    call_id: str | None = None,
    user: str | None = None,
    status: str | None = None,
    limit: str | int | None = None,
    after: str | None = None,
    **more: str | None,
) -> Criteria:
    """Check each part of a search; blank means not asked for. Raises BadQuery.

    `more` are `mos_below`, `loss_above` and terms by the names of FILTERS.
    """
    mos_below, loss_above = more.pop("mos_below", None), more.pop("loss_above", None)
    if status:
        check_status(status)
    count = 50 if limit in (None, "") else int(limit) if str(limit).isascii() and str(limit).isdigit() else 0
    if not 1 <= count <= LIMIT_MAX:
        raise BadQuery(f"limit: found {limit!r}; allowed: 1 to {LIMIT_MAX}")
    return Criteria(
        window,
        call_id or None,
        user or None,
        status or None,
        count,
        after or None,
        check_number(mos_below, "mos_below") if mos_below else None,
        check_number(loss_above, "loss_above") if loss_above else None,
        tuple(_term(name, value) for name, value in more.items() if value),
    )


def _term(name: str, value: str) -> Term:
    check = {"ip": check_network, "method": check_method}.get(name)
    return Term(FILTERS[name], value if check is None else check(value))


def check_status(text: str) -> str:
    """Check a status: a code, a class, a state. Raises BadQuery."""
    if text not in STATES and not _STATUS.match(text):
        raise BadQuery(f"status: found {text!r}; allowed: a code (486), a class (4xx) or {', '.join(STATES)}")
    return text


def check_network(text: str) -> str:
    """Check an IP address or a network. Raises BadQuery."""
    try:
        return str(ip_network(text.strip("[]")))
    except ValueError as error:
        reason = f" ({error})" if "host bits" in str(error) else ""
        raise BadQuery(f"ip: found {text!r}; allowed: an address or a network, e.g. 10.0.0.0/8{reason}") from None


def check_method(text: str) -> str:
    """Check a method, which may have wildcards; gives it in capitals. Raises BadQuery."""
    if not re.fullmatch(r"[A-Za-z0-9*.!%_+`'~-]{1,64}", text):
        raise BadQuery(f"method: found {text!r}; allowed: a method of SIP, e.g. INVITE or REGISTER")
    return text.upper()


def check_number(text: str, name: str) -> float:
    """Read a figure without a sign. Raises BadQuery."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?%?", text, re.ASCII):
        raise BadQuery(f"{name}: found {text!r}; allowed: a number, e.g. 3.5")
    return float(text.rstrip("%"))


def parse_leg(text: str | None) -> int | None:
    """Read the leg to play: 0 the caller, 1 the callee, None or blank both. Raises BadQuery."""
    if text is None or not text.strip():
        return None
    if text.strip() not in ("0", "1"):
        raise BadQuery(f"leg: found {text!r}; allowed: 0 (caller), 1 (callee), or none for both")
    return int(text)


def _time(text: str, name: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise BadQuery(f"{name}: {error}") from None
