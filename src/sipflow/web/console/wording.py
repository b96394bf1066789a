"""How figures are written for people: times, durations, sizes, counts."""

from collections.abc import Callable
from typing import Final

from markupsafe import Markup, escape

from sipflow.amount import age_text
from sipflow.clock import SECOND_US, format_time, to_datetime
from sipflow.wire.visible import visible

_MINUTE_US = 60 * SECOND_US
_HOUR_US = 3600 * SECOND_US
_DAY_MS = 24 * 3600 * 1000
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_STEP = 1000
DASH: Final = "\u2013"
_NONE: Final = Markup('<span class="none">{}</span>').format(DASH)


def when(time_us: int | None, precision: int = 3) -> Markup:
    """Write a time in UTC as an element that a module turns into the viewer's zone; a dash for None.

    `precision` are the digits behind the seconds, 3 or none.
    """
    if time_us is None:
        return _NONE
    second = f"{to_datetime(time_us):%Y-%m-%d %H:%M:%S}"
    exact = f"{second}.{time_us // 1000 % 1000:03d}"
    stamp = format_time(time_us)
    return Markup('<time datetime="{}" data-us="{}" data-precision="{}" title="{} UTC">{}</time>').format(
        stamp, time_us, precision, exact, exact if precision else second
    )


def clock(time_us: int) -> str:
    """Write the time of day in UTC, to the millisecond."""
    # Days of UTC are all of one length in Unix time, so that no calendar is needed: a ladder has thousands of these.
    seconds, millis = divmod(time_us // 1000 % _DAY_MS, 1000)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}.{millis:03d}"


def duration(span_us: float | None) -> str:
    """Write a span of time, e.g. 340 ms, 4.2 s, 3:07, 1:02:03; a dash for None."""
    if span_us is None:
        return DASH
    sign, span = ("-", -span_us) if span_us < 0 else ("", span_us)
    if span < SECOND_US:
        return f"{sign}{span / 1000:.0f} ms"
    if span < 10 * SECOND_US:
        return f"{sign}{span / SECOND_US:.1f} s"
    seconds = round(span / SECOND_US)
    if span < _MINUTE_US and seconds < 60:
        return f"{sign}{seconds} s"
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{sign}{hours}:{minutes:02d}:{rest:02d}" if hours else f"{sign}{minutes}:{rest:02d}"


def ago(span_us: int) -> str:
    """Write how long something is past, in one unit: 3 s, 5 min, 2 h, 4 d."""
    seconds = max(0, span_us // SECOND_US)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def size(octets: float | None) -> str:
    """Write a number of octets in thousands, e.g. 1.2 GB; a dash for None."""
    if octets is None:
        return DASH
    value, unit = float(octets), 0
    while abs(value) >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:.0f} B" if unit == 0 else f"{value:.{1 if abs(value) < 100 else 0}f} {_UNITS[unit]}"


def count(number: float | None) -> str:
    """Write a number with its thousands apart; a dash for None."""
    if number is None:
        return DASH
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number:,.1f}" if abs(number) < 10 and number != round(number) else f"{number:,.0f}"


def status_tone(status: int | None, state: str = "") -> str:
    """Name the tone of a final status: good, warn, bad, info or quiet."""
    if status is None:
        return "bad" if state == "failed" else "info" if state in ("trying", "ringing") else "quiet"
    if status == 487 or 300 <= status < 400:
        return "warn"
    return "good" if status < 300 else "bad"


def one_line(text: str) -> str:
    """Make the captured text of one line visible: control characters become spaces or their pictures."""
    return "".join(_picture(char) for char in text)


def _picture(char: str) -> str:
    code = ord(char)
    if code < 32:
        return chr(0x2400 + code)
    # Marks that turn the direction of what follows could make a page say what it does not.
    return "\ufffd" if code == 127 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 else char


def nothing(text: str) -> Markup | str:
    """Give text, or a quiet dash for none."""
    return escape(one_line(text)) if text else _NONE


FILTERS: Final[dict[str, Callable[..., object]]] = {
    "when": when,
    "duration": duration,
    "age": age_text,
    "ago": ago,
    "size": size,
    "count": count,
    "one_line": one_line,
    "nothing": nothing,
    "clock": clock,
    "visible": visible,
}
