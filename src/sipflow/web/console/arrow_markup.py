"""Arrows of a ladder as SVG: a page has thousands, and a template takes several times as long for each."""

from functools import lru_cache

from markupsafe import Markup, escape

from sipflow.web.console.drawing import DrawnArrow, Part
from sipflow.web.console.wording import clock, duration

_LONG_US = 1_000_000
_TIMES = "\u00d7"


def arrow_times(part: Part) -> Markup:
    """Write when each message of a part was captured, and how long after the one before."""
    found = []
    for arrow in part.arrows:
        y = arrow.y - part.y + 21
        long = " long" if arrow.delta_us >= _LONG_US else ""
        found.append(
            f'<text x="4" y="{y}" data-clock="{arrow.time_us}">{clock(arrow.time_us)}</text>'
            f'<text x="144" y="{y}" class="delta{long}">+{duration(arrow.delta_us)}</text>\n'
        )
    return Markup("".join(found))  # noqa: S704 - numbers alone


def arrow_marks(part: Part, address: str) -> Markup:
    """Write the arrows of a part, each a link to its message: `address` and the number of the message."""
    head = str(escape(address))
    return Markup("".join(_mark(arrow, arrow.y - part.y, head) for arrow in part.arrows))  # noqa: S704 - escaped there


def _mark(arrow: DrawnArrow, top: int, head: str) -> str:
    # What was captured is escaped here, once; numbers and our own words need not be.
    label, source, target = _escaped(arrow.label), _escaped(arrow.source), _escaped(arrow.target)
    said = f"Message {arrow.number}: {label} from {source} to {target}{', retransmission' if arrow.repeat else ''}"
    return (
        f'<a class="arrow {arrow.tone}{" repeat" if arrow.repeat else ""}" href="{head}{arrow.number}" '
        f'data-message="{arrow.number}" data-us="{arrow.time_us}" aria-label="{said}">'
        f'<rect class="hit" width="100%" height="30" y="{top}"/>{_line(arrow, top + 22, label)}</a>\n'
    )


@lru_cache(1024)
def _escaped(text: str) -> str:
    # The arrows of a call say much the same.
    return str(escape(text))


def _line(arrow: DrawnArrow, y: int, label: str) -> str:
    if arrow.loops:
        return (
            f'<svg x="{arrow.x1}%" y="{y}" overflow="visible"><path class="loop" d="M0-8h14v8h-10"/>'
            f'<path class="tip" d="M0 0l8-4v8z"/></svg><text class="after" x="{arrow.x1}%" dx="20" y="{y - 1}">'
            f"{label}</text>"
        )
    tip = "M-1 0l-9-4.5v9z" if arrow.x2 > arrow.x1 else "M1 0l9-4.5v9z"
    again = (" ↻" if arrow.repeat else "") + (f" {_TIMES}{arrow.again + 1}" if arrow.again else "")
    return (
        f'<line x1="{arrow.x1}%" x2="{arrow.x2}%" y1="{y}" y2="{y}"/>'
        f'<svg x="{arrow.x2}%" y="{y}" overflow="visible"><path class="tip" d="{tip}"/></svg>'
        f'<text x="{arrow.middle}%" y="{y - 6}">{label}{again}</text>'
    )
