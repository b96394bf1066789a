"""The ladder of a call as a picture that stands alone: SVG, light, without references; PNG where resvg is installed."""

import importlib
import re
from functools import cache
from importlib.util import find_spec
from typing import Final

from sipflow.errors import NoEncoder
from sipflow.export.parcel import Parcel
from sipflow.media.announcement import Announcements
from sipflow.media.quality import quality
from sipflow.media.stream import streams
from sipflow.query.dialogs import dialogs
from sipflow.query.ladder import draw
from sipflow.web.console.drawing import draw_ladder
from sipflow.web.console.lanes import Style
from sipflow.web.console.media_band import media_bands
from sipflow.web.console.render import fragment

RESVG: Final = "resvg_py"
GUTTER: Final = 170
TOP: Final = 44
# A picture is held whole, and drawn by others whole: what is behind these is left out, and the title says so.
MESSAGES_MAX: Final = 5000
PNG_MESSAGES_MAX: Final = 500
# A letter and nothing, in the fonts of ladder.svg: they look alike where there is no font.
_PROBE: Final = """<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" font-family="sans-serif">
<text y="20">{}</text></svg>"""
# XML 1.0, production 2: what no document may have, however it is written.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TONES: Final = {
    "kind-request": "#2563c9", "kind-1xx": "#0c6c85", "kind-2xx": "#1a7540", "kind-3xx": "#8f5a00",
    "kind-4xx": "#c02a2a", "kind-5xx": "#c02a2a", "kind-6xx": "#c02a2a", "kind-unreadable": "#8f5a00",
    "good": "#1a7540", "warn": "#8f5a00", "bad": "#c02a2a",
}  # fmt: skip


def ladder_svg(parcel: Parcel, most: int = MESSAGES_MAX, *, linked: bool = False) -> str:
    """Draw the ladder with the bands of its media as one SVG document; `linked` for a page that has messages #mN."""
    messages = list(parcel.messages[:most])
    announcements = Announcements.of(messages)
    payloads = announcements.everything()
    measured = [quality(stream, payloads) for stream in streams(parcel.chunks)]
    bands = media_bands(parcel.call_id, measured, announcements)
    drawing = draw_ladder(
        draw(messages), dialogs(messages), bands, announcements.holds(), Style(aliases=parcel.aliases)
    )
    cut = "" if len(parcel.messages) <= most else f", the first {most} of {len(parcel.messages)} messages"
    drawn = fragment(
        "ladder.svg",
        drawing=drawing,
        tones=_TONES,
        linked=linked,
        gutter=GUTTER,
        top=TOP,
        lanes_width=drawing.width_px,
        width=GUTTER + drawing.width_px,
        height=TOP + drawing.height + 16,
        title=f"sipflow: {parcel.call_id}{cut}",
    )
    return _NO_XML.sub("\ufffd", drawn)


def png_possible() -> bool:
    """Tell whether `ladder_png` can draw here: resvg is installed, and finds a font."""
    return find_spec(RESVG) is not None and has_font()


@cache
def has_font() -> bool:
    """Tell whether resvg, which has to be installed, finds a font to write text with."""
    draw_svg = importlib.import_module(RESVG).svg_to_bytes
    return bytes(draw_svg(svg_string=_PROBE.format("M"))) != bytes(draw_svg(svg_string=_PROBE.format("")))


def ladder_png(parcel: Parcel) -> bytes:
    """Draw the same as PNG, at most PNG_MESSAGES_MAX messages. Raises NoEncoder without resvg (extra `png`) or font."""
    try:
        resvg = importlib.import_module(RESVG)
    except ImportError:
        raise NoEncoder("ladder.png: needs resvg, which is not installed (pip install 'sipflow[png]'); "
                        "allowed: ladder.svg") from None  # fmt: skip
    if not has_font():
        raise NoEncoder(
            "ladder.png: this machine has no font, so that the picture would have no text; install one "
            "(apt-get install fonts-dejavu-core) and start the server again; allowed: ladder.svg"
        )
    svg = ladder_svg(parcel, PNG_MESSAGES_MAX)
    return bytes(resvg.svg_to_bytes(svg_string=svg, zoom=2.0))
