"""The geometry of a ladder: where its lanes, arrows, media bands and notes stand. Pure; templates write it as SVG.

Across, places are percent of the width, so that one drawing fits every screen; down, they are pixels.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from sipflow.media.announcement import Hold
from sipflow.query.ladder import Ladder
from sipflow.web.console.lanes import Lane, Lanes, Style, shortened
from sipflow.web.console.media_band import MediaBand

ARROW_PX: Final = 30
BAND_PX: Final = 42
NOTE_PX: Final = 28
LANE_PX: Final = 132  # narrower, and the names of neighbours meet
COLOURS: Final = 8
# Rows of one part: what a browser lays out, or skips, at once.
PART_ROWS: Final = 50


class DrawnArrow(NamedTuple):
    """One message; `number` counts from 1, `again` are the retransmissions that are hidden behind it."""

    number: int
    y: int
    x1: float
    x2: float
    label: str
    tone: str
    repeat: bool
    again: int
    time_us: int
    delta_us: int
    source: str
    target: str

    @property
    def middle(self) -> float:
        """Tell where its label stands."""
        return (self.x1 + self.x2) / 2

    @property
    def loops(self) -> bool:
        """Tell an arrow that ends where it begins."""
        return self.x1 == self.x2


class DrawnBand(NamedTuple):
    """One stream: a band at `y` from its sender to its receiver, and a strip along the sender's lane until it ended."""

    number: int
    y: int
    x1: float
    x2: float
    until_y: int
    band: MediaBand

    @property
    def left(self) -> float:
        """Tell where the band begins."""
        return min(self.x1, self.x2)

    @property
    def width(self) -> float:
        """Tell how wide the band is; that of a stream to its own lane is never nothing."""
        return abs(self.x2 - self.x1) or 4.0


class DrawnNote(NamedTuple):
    """A line across the ladder."""

    y: int
    text: str
    time_us: int


class Part(NamedTuple):
    """Some rows of a drawing, to be written as one SVG."""

    y: int
    height: int
    arrows: list[DrawnArrow]
    bands: list[DrawnBand]
    notes: list[DrawnNote]
    strips: list[DrawnBand]


class Drawing(msgspec.Struct, frozen=True):
    """A ladder, drawn; `width_px` is the least that keeps labels apart, `hidden` counts what was left out."""

    lanes: list[Lane]
    arrows: list[DrawnArrow]
    bands: list[DrawnBand]
    notes: list[DrawnNote]
    height: int
    width_px: int
    hidden: int

    def parts(self, rows: int = PART_ROWS) -> list[Part]:
        """Cut the drawing into parts of some rows, from top to bottom."""
        everything = sorted([each.y for some in (self.arrows, self.bands, self.notes) for each in some])
        tops = [0, *everything[rows::rows], self.height]
        # They stand from top to bottom, and there may be thousands.
        starts = [bisect_left(self.arrows, top, key=lambda each: each.y) for top in tops]
        pairs = zip(pairwise(tops), pairwise(starts), strict=True)
        return [self._part(*span, self.arrows[first:last]) for span, (first, last) in pairs if span[1] > span[0]]

    def _part(self, top: int, bottom: int, arrows: list[DrawnArrow]) -> Part:
        return Part(
            top,
            bottom - top,
            arrows,
            [each for each in self.bands if top <= each.y < bottom],
            [each for each in self.notes if top <= each.y < bottom],
            [each for each in self.bands if each.y < bottom and each.until_y > top],
        )


def draw_ladder(
    ladder: Ladder, dialogs: Sequence[int], bands: Sequence[MediaBand], holds: Sequence[Hold], style: Style
) -> Drawing:
    """Place everything: messages in their order, and streams and holds where they begin between them.

    `dialogs` has the number of the dialog of each message.
    """
    lanes = Lanes(ladder, style)
    ways = [lanes.way(band) for band in bands]
    x, names = lanes.places(), lanes.names()
    rows = _rows(ladder, bands, holds, style)
    y = 0
    arrows: list[DrawnArrow] = []
    drawn: list[DrawnBand] = []
    notes: list[DrawnNote] = []
    previous_us = rows[0].time_us if rows else 0
    for row in rows:
        if row.rank == _ARROW:
            arrow = ladder.arrows[row.place]
            tone = f"lane{dialogs[row.place] % COLOURS + 1}" if style.by_dialog else f"kind-{arrow.kind}"
            source, target = lanes.of_message(arrow.source), lanes.of_message(arrow.target)
            arrows.append(
                DrawnArrow(
                    row.place + 1,
                    y,
                    x[source],
                    x[target],
                    shortened(arrow.label),
                    tone,
                    arrow.repeat,
                    row.again,
                    arrow.time_us,
                    arrow.time_us - previous_us,
                    names[source],
                    names[target],
                )
            )
            previous_us = arrow.time_us
            y += ARROW_PX
        elif row.rank == _BAND:
            source, target = ways[row.place]
            drawn.append(DrawnBand(row.place + 1, y, x[source], x[target], 0, bands[row.place]))
            y += BAND_PX
        else:
            notes.append(DrawnNote(y, _held(holds[row.place]), row.time_us))
            y += NOTE_PX
    ends = [(each.y, each.time_us) for each in arrows]
    drawn = [each._replace(until_y=_until(each, ends, y)) for each in drawn]
    hidden = sum(arrow.repeat for arrow in ladder.arrows) if style.hide_repeats else 0
    return Drawing(lanes.drawn(), arrows, drawn, notes, y, LANE_PX * max(lanes.count, 1), hidden)


_ARROW, _BAND, _NOTE = 0, 1, 2


class _Row(NamedTuple):
    """A row to be: sorted by time, then messages before what they begin."""

    time_us: int
    rank: int
    place: int
    again: int = 0


def _rows(ladder: Ladder, bands: Sequence[MediaBand], holds: Sequence[Hold], style: Style) -> list[_Row]:
    messages: list[_Row] = []
    last: dict[tuple[int, int, str], int] = {}
    for index, arrow in enumerate(ladder.arrows):
        key = (arrow.source, arrow.target, arrow.label)
        if style.hide_repeats and arrow.repeat:
            if key in last:
                messages[last[key]] = messages[last[key]]._replace(again=messages[last[key]].again + 1)
            continue
        last[key] = len(messages)
        # Messages keep their order, whatever their times say: it is that of the flow.
        messages.append(_Row(max(arrow.time_us, messages[-1].time_us if messages else arrow.time_us), _ARROW, index))
    between = [_Row(band.first_us, _BAND, index) for index, band in enumerate(bands)]
    between += [_Row(hold.from_us, _NOTE, index) for index, hold in enumerate(holds)]
    return sorted([*messages, *between], key=lambda row: row[:3])


def _until(band: DrawnBand, ends: Sequence[tuple[int, int]], bottom: int) -> int:
    """Find the first arrow behind the end of a stream; to the bottom when there is none."""
    return next((y for y, time_us in ends if time_us >= band.band.last_us and y > band.y), bottom)


def _held(hold: Hold) -> str:
    who = "the caller" if hold.by_caller else "the called side"
    return f"on hold by {who} for {(hold.to_us - hold.from_us) / 1e6:.1f} s"
