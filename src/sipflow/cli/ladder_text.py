"""A ladder drawn in characters, as wide as the terminal allows."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.text import Text

from sipflow.clock import format_time
from sipflow.query.ladder import Arrow, Ladder

STYLES = {
    "request": "cyan",
    "1xx": "yellow",
    "2xx": "green",
    "3xx": "magenta",
    "4xx": "red",
    "5xx": "red",
    "6xx": "red",
    "unreadable": "reverse",
}
# Columns between two lanes: below the first a label is no longer readable, above the second the eye loses the row.
NARROWEST = 18
WIDEST = 40
# "08:26:40.123456 +12.345678  "
_TIME = 15
_DELTA = 12
_GUTTER = _TIME + 1 + _DELTA + 1


class Glyphs(NamedTuple):
    """The characters lines are made of."""

    lane: str
    line: str
    dotted: str
    right: str
    left: str
    loop: str
    cut: str


UNICODE = Glyphs("│", "─", "┄", "►", "◄", "↺", "…")
ASCII = Glyphs("|", "-", ".", ">", "<", "@", "~")


def render(ladder: Ladder, width: int, glyphs: Glyphs = UNICODE) -> Iterator[Text]:
    """Draw line by line; where the lanes do not fit into `width` columns it is a list, one line per message."""
    if not ladder.arrows:
        return
    day = None
    spacing = _spacing(ladder, width)
    if spacing is not None:
        yield from _header(ladder, spacing, glyphs)
    for arrow in ladder.arrows:
        moment = format_time(arrow.time_us)
        if moment[:10] != day:
            day = moment[:10]
            yield Text(f"{day} UTC", style="bold")
        line = Text(f"{moment[11:26]} {_delta(arrow.delta_us):>{_DELTA}} ")
        if spacing is None:
            line.append(_listed(ladder, arrow, glyphs), style=_style(arrow))
        else:
            _draw(line, ladder, arrow, spacing, glyphs)
        yield line


def printable(text: str) -> str:
    """Make text from the network harmless for a terminal: control characters become visible."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def _spacing(ladder: Ladder, width: int) -> int | None:
    """Choose the columns between two lanes; None when they do not fit."""
    longest = max(len(_label(arrow)) for arrow in ladder.arrows) + 8
    names = max(len(str(lane)) for lane in ladder.lanes) + 2
    room = (width - _GUTTER) // len(ladder.lanes)
    spacing = min(max(longest, names, NARROWEST), room, WIDEST)
    return spacing if spacing >= NARROWEST else None


def _header(ladder: Ladder, spacing: int, glyphs: Glyphs) -> Iterator[Text]:
    names = [str(lane) for lane in ladder.lanes]
    if any(len(name) > spacing - 1 for name in names):
        # The full address stands above, a letter over the lane.
        for index, name in enumerate(names):
            yield Text(f"{_letter(index)}  {name}", style="bold")
        names = [_letter(index) for index in range(len(names))]
    line = " " * _GUTTER + "".join(f"{name:^{spacing}}" for name in names)
    yield Text(line.rstrip(), style="bold")
    yield Text((" " * _GUTTER + f"{glyphs.lane:^{spacing}}" * len(names)).rstrip(), style="dim")


def _draw(line: Text, ladder: Ladder, arrow: Arrow, spacing: int, glyphs: Glyphs) -> None:
    """Append the lanes with one arrow across them."""
    cells = list(f"{glyphs.lane:^{spacing}}" * len(ladder.lanes))
    at = f"{glyphs.lane:^{spacing}}".index(glyphs.lane)
    columns = [at + lane * spacing for lane in range(len(ladder.lanes))]
    low, high = sorted((columns[arrow.source], columns[arrow.target]))
    start, length = low + 1, high - low - 1
    if low == high:
        shaft = _clip(f"{glyphs.loop} {_label(arrow)}", spacing - 2, glyphs)
    else:
        label = _label(arrow)
        if len(label) > length - 4:
            label = _clip(printable(arrow.label), length - 4, glyphs)
        # A retransmission has a dotted shaft, so that it shows even where the word for it has no room.
        shaft = f" {label} ".center(length, glyphs.dotted if arrow.repeat else glyphs.line)
        shaft = shaft[:-1] + glyphs.right if arrow.target > arrow.source else glyphs.left + shaft[1:]
    line.append("".join(cells[:start]), style="dim")
    line.append(shaft, style=_style(arrow))
    line.append("".join(cells[start + len(shaft) :]).rstrip(), style="dim")


def _listed(ladder: Ladder, arrow: Arrow, glyphs: Glyphs) -> str:
    shaft = f"{glyphs.line}{glyphs.right}"
    return f"{ladder.lanes[arrow.source]} {shaft} {ladder.lanes[arrow.target]}  {_label(arrow)}"


def _label(arrow: Arrow) -> str:
    return printable(arrow.label) + (" again" if arrow.repeat else "")


def _style(arrow: Arrow) -> str:
    style = STYLES.get(arrow.kind, "")
    return f"dim {style}" if arrow.repeat else style


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else f"A{index}"


def _clip(text: str, room: int, glyphs: Glyphs) -> str:
    return text if len(text) <= room else text[: max(0, room - 1)] + glyphs.cut


def _delta(delta_us: int) -> str:
    return f"{delta_us / 1_000_000:+.6f}" if abs(delta_us) < 10_000_000_000 else f"{delta_us // 1_000_000:+d}"
