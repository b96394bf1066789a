"""Time: integer microseconds since the Unix epoch, UTC, everywhere (`_us`)."""

import re
import time
from datetime import UTC, datetime, timedelta

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
# datetime covers the years 1 to 9999; anything a person asks for lies well inside.
EARLIEST_US = -62_135_596_800 * SECOND_US
LATEST_US = 253_402_300_799 * SECOND_US + 999_999

ACCEPTED = (
    "RFC 3339 (2026-06-01T00:00:00Z, an offset or Z is required), or Unix time in seconds, "
    "milliseconds (13 digits) or microseconds (16 digits)"
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?\d{1,17}(\.\d{1,6})?\Z", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)\Z", re.ASCII)


def now_us() -> int:
    """Tell the wall clock [microseconds since the epoch]."""
    return time.time_ns() // 1000


def monotonic_us() -> int:
    """Tell the clock that never leaps, common to all processes of the machine [microseconds since some past moment]."""
    return time.monotonic_ns() // 1000


def parse_time(text: str) -> int:
    """Read a time as people and programs write it; gives microseconds since the epoch.

    Whole numbers are seconds up to 11 digits, milliseconds up to 14, microseconds beyond. A fraction is allowed on
    seconds. Raises ValueError whose text says what is accepted.
    """
    text = text.strip()
    if _NUMBER.match(text):
        whole, _, fraction = text.partition(".")
        digits = len(whole.lstrip("-"))
        if fraction and digits <= 11:
            micros = int(fraction.ljust(6, "0"))
            value = int(whole) * SECOND_US + (-micros if whole.startswith("-") else micros)
        elif fraction:
            raise ValueError(f"not a time: {text!r}; accepted: {ACCEPTED}")
        else:
            value = int(whole) * (SECOND_US if digits <= 11 else 1000 if digits <= 14 else 1)
    elif _RFC3339.match(text):
        try:
            moment = datetime.fromisoformat(_six_digits(text.upper().replace(" ", "T")))
        except ValueError as error:
            raise ValueError(f"not a time: {text!r} ({error}); accepted: {ACCEPTED}") from None
        value = (moment - _EPOCH) // timedelta(microseconds=1)
    else:
        raise ValueError(f"not a time: {text!r}; accepted: {ACCEPTED}")
    if not EARLIEST_US <= value <= LATEST_US:
        raise ValueError(f"not a time: {text!r} (outside the years 1 to 9999); accepted: {ACCEPTED}")
    return value


def format_time(time_us: int) -> str:
    """Write a time as RFC 3339 in UTC with microseconds, e.g. 2026-06-01T00:00:00.000000Z."""
    return to_datetime(time_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_datetime(time_us: int) -> datetime:
    """Give the aware UTC datetime of a time; times outside the years 1 to 9999 are moved to the nearest one inside."""
    bounded = min(max(time_us, EARLIEST_US), LATEST_US)
    return _EPOCH + timedelta(microseconds=bounded)


def _six_digits(text: str) -> str:
    # fromisoformat takes at most microseconds: further digits of the fraction are cut, never rounded up.
    return re.sub(r"(\.\d{6})\d+", r"\1", text)
