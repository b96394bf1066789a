"""Lists of calls as files: all pages of a search, one call a line, as CSV or JSON."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from sipflow.clock import format_time
from sipflow.query.answer import CallSummary, Criteria
from sipflow.query.source import CallSource

CALLS_MAX: Final = 100_000
_AT_ONCE = 500
_TIMES: Final = ("first_us", "last_us", "invite_us", "ring_us", "answer_us", "end_us", "media_expired_us")
_FIELDS: Final = CallSummary.__struct_fields__
# Names of columns: times are written as people and spreadsheets read them.
COLUMNS: Final = tuple(name.removesuffix("_us") if name in _TIMES else name for name in _FIELDS)
_FORMULA = re.compile(r"[=@\t\r]|[+-](?!\d+\Z)")


def every_call(history: CallSource, criteria: Criteria) -> Iterator[CallSummary]:
    """Give the calls of all pages, newest first, at most CALLS_MAX."""
    left, after = CALLS_MAX, criteria.after
    while left > 0:
        asked = msgspec.structs.replace(criteria, limit=min(left, _AT_ONCE), after=after)
        page = history.calls(asked)
        yield from page.calls
        left -= len(page.calls)
        after = page.next
        if after is None:
            return


def as_csv(calls: Iterator[CallSummary]) -> Iterator[bytes]:
    """Write calls as CSV (RFC 4180) in UTF-8, a head of COLUMNS first."""
    yield _line(COLUMNS)
    for call in calls:
        yield _line([_cell(name, getattr(call, name)) for name in _FIELDS])


def as_json_lines(calls: Iterator[CallSummary]) -> Iterator[bytes]:
    """Write calls as JSON, an object a line."""
    for call in calls:
        yield msgspec.json.encode(call) + b"\n"


def _line(cells: list[str] | tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "replace")


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if name in _TIMES and isinstance(value, int):
        return format_time(value)
    if not isinstance(value, str):
        return str(value)
    # A spreadsheet must not take what a stranger wrote for a formula; numbers with a plus stay what they are.
    return f"'{value}" if _FORMULA.match(value) else value
