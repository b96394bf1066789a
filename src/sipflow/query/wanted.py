"""Which part of a call's sound is wanted: leg, mix and cut, read once for every face."""

import re
from typing import NamedTuple

from sipflow.errors import BadQuery
from sipflow.query.question import parse_leg

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?\Z", re.ASCII)


class Wanted(NamedTuple):
    """A part of a recording: one leg or both, mixed or stereo, from `start_s` to `end_s` after its first sample.

    `conceal` fills what was lost by what was heard before. `copy` asks for G.711 codes as they were captured, in a WAV
    file, of the whole.
    """

    leg: int | None = None
    mono: bool = False
    start_s: float | None = None
    end_s: float | None = None
    copy: bool = False
    conceal: bool = False

    @property
    def whole(self) -> bool:
        """Tell whether nothing is mixed or cut."""
        return not self.mono and self.start_s is None and self.end_s is None

    def parameters(self) -> dict[str, str]:
        """Write it as the parameters that parse_wanted reads."""
        said = {
            "leg": None if self.leg is None else str(self.leg),
            "mix": "mono" if self.mono else None,
            "start": None if self.start_s is None else f"{self.start_s:.9f}",
            "end": None if self.end_s is None else f"{self.end_s:.9f}",
            "copy": "1" if self.copy else None,
            "conceal": "1" if self.conceal else None,
        }
        return {name: text for name, text in said.items() if text is not None}


def parse_wanted(
    leg: str | None = None,
    mix: str | None = None,
    start: str | None = None,
    end: str | None = None,
    conceal: str | None = None,
    copy: str | None = None,
) -> Wanted:
    """Read what is wanted; None or blank is everything, in stereo. Raises BadQuery."""
    if mix and mix not in ("mono", "stereo"):
        raise BadQuery(f"mix: found {mix!r}; allowed: mono, stereo")
    start_s, end_s = _seconds(start, "start"), _seconds(end, "end")
    if end_s is not None and end_s <= (start_s or 0.0):
        raise BadQuery(f"end: found {end!r}; allowed: later than start ({start or 0} s)")
    wanted = Wanted(parse_leg(leg), mix == "mono", start_s, end_s, _flag(copy, "copy"), _flag(conceal, "conceal"))
    if wanted.copy and (wanted.conceal or not wanted.whole):
        raise BadQuery("copy: found with mix, start, end or conceal; allowed: of a whole recording or one whole leg")
    return wanted


def parse_width(text: str | None, most: int, usual: int) -> int:
    """Read how many buckets a waveform has; None or blank is `usual`. Raises BadQuery."""
    if text is None or not text.strip():
        return usual
    width = int(text) if re.fullmatch(r"\d{1,9}", text.strip(), re.ASCII) else 0
    if not 1 <= width <= most:
        raise BadQuery(f"width: found {text!r}; allowed: 1 to {most}")
    return width


def _flag(text: str | None, name: str) -> bool:
    if text and text not in ("0", "1"):
        raise BadQuery(f"{name}: found {text!r}; allowed: 0, 1")
    return text == "1"


def _seconds(text: str | None, name: str) -> float | None:
    if text is None or not text.strip():
        return None
    if not _SECONDS.match(text.strip()):
        raise BadQuery(f"{name}: found {text!r}; allowed: seconds from the start of the recording, e.g. 12.5")
    return float(text)
