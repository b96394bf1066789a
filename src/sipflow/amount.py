"""Ages and sizes as people write them: 30d, 36h, 500GB, 5%."""

import re
from typing import NamedTuple

from sipflow.clock import DAY_US, SECOND_US

AGES = {"m": 60 * SECOND_US, "h": 3600 * SECOND_US, "d": DAY_US, "w": 7 * DAY_US}
# The makers of disks count in thousands; the binary units are there for those who do not.
SIZES = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15,
    "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40, "PIB": 1 << 50,
}  # fmt: skip

AGE_FORM = "a whole number of minutes, hours, days or weeks, e.g. 90m, 36h, 30d, 4w"
SIZE_FORM = "octets, or a number with B, KB, MB, GB, TB (thousands) or KiB, MiB, GiB, TiB, e.g. 500GB"

_AGE = re.compile(r"(\d{1,9})\s*([mhdw])\Z", re.ASCII)
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)\s*([A-Za-z]*)\Z", re.ASCII)
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%\Z", re.ASCII)


class Room(NamedTuple):
    """Room on a disk: a share of it, a number of octets, or whichever of both is less; neither is no room."""

    share: float | None = None
    octets: int | None = None

    def on(self, total: int) -> int:
        """Give the octets that this is on a disk of `total` octets."""
        wanted = [] if self.share is None else [int(total * self.share)]
        if self.octets is not None:
            wanted.append(self.octets)
        return min(wanted, default=0)

    def __str__(self) -> str:
        """Write as it may be read again, the two together joined by `or`."""
        parts = [] if self.share is None else [f"{self.share * 100:g}%"]
        if self.octets is not None:
            parts.append(size_text(self.octets))
        return " or ".join(parts) or "0"


def parse_age(text: str) -> int:
    """Read an age; gives microseconds. Raises ValueError."""
    match = _AGE.match(text.strip().lower())
    if match is None:
        raise ValueError(f"not an age: {text!r}")
    return int(match[1]) * AGES[match[2]]


def parse_size(text: str) -> int:
    """Read a size; gives octets. Raises ValueError."""
    match = _SIZE.match(text.strip())
    unit = SIZES.get(match[2].upper() or "B") if match else None
    if match is None or unit is None:
        raise ValueError(f"not a size: {text!r}")
    whole, _, fraction = match[1].partition(".")
    return int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


def parse_room(text: str) -> Room:
    """Read a share of a disk (5%) or a size. Raises ValueError."""
    match = _SHARE.match(text.strip())
    if match is None:
        return Room(octets=parse_size(text))
    share = float(match[1]) / 100
    if share > 1:
        raise ValueError(f"not a share: {text!r}")
    return Room(share=share)


def age_text(age_us: int) -> str:
    """Write an age in the largest unit that divides it, e.g. 30d."""
    for unit in ("d", "h", "m"):
        if age_us % AGES[unit] == 0:
            return f"{age_us // AGES[unit]}{unit}"
    return f"{age_us // SECOND_US}s"


def size_text(octets: int) -> str:
    """Write a size for people: three digits and the unit of thousands, e.g. 20GB."""
    for unit in ("PB", "TB", "GB", "MB", "KB"):
        # What would be rounded to a thousand of the lesser unit is one of this.
        if octets * 10_000 >= SIZES[unit] * 9_995:
            return (
                f"{octets / SIZES[unit]:.3g}{unit}" if octets < 1000 * SIZES[unit] else f"{octets // SIZES[unit]}{unit}"
            )
    return f"{octets}B"
