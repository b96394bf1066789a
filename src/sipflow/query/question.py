"""Questions as people write them: times, windows, statuses, limits in text, checked once for every face."""

import re

from sipflow.clock import SECOND_US, parse_time
from sipflow.errors import BadQuery
from sipflow.query.answer import STATES, Criteria
from sipflow.query.window import Window

LIMIT_MAX = 1000

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
) -> Criteria:
    """Check each part of a search; blank means not asked for. Raises BadQuery."""
    if status and status not in STATES and not _STATUS.match(status):
        raise BadQuery(f"status: found {status!r}; allowed: a code (486), a class (4xx) or {', '.join(STATES)}")
    count = 50 if limit in (None, "") else int(limit) if str(limit).isascii() and str(limit).isdigit() else 0
    if not 1 <= count <= LIMIT_MAX:
        raise BadQuery(f"limit: found {limit!r}; allowed: 1 to {LIMIT_MAX}")
    return Criteria(window, call_id or None, user or None, status or None, count, after or None)


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
