"""Texts with holes, and what each call has in them.

A hole is a run of one private-use character, as long as what will stand there, so that a text with holes has its final
length and can be put together like any other.
"""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sipflow.load.draw import Draw, draw, draw_below

_BASE = 0xE000
_RUN = re.compile("([\ue000-\uf8ff])\\1*")


class Form(enum.IntEnum):
    """How a field is written; the numbers are those of mould.h."""

    HEX = 0
    DECIMAL = 1
    BINARY = 2


@dataclass(frozen=True)
class Field:
    """What goes into a hole: low + step * [0, count), or with a count of 0 as many random digits as there is room for.

    `width` counts digits, or octets of a BINARY field, which is big-endian.
    """

    form: Form
    width: int
    draw: int
    low: int = 0
    count: int = 0
    step: int = 1

    def value(self, key: int) -> int:
        """Give the number a call has here."""
        if self.count == 0:
            return draw(key, self.draw) >> (64 - 4 * self.width)
        return self.low + self.step * draw_below(key, self.draw, self.count)

    def write(self, value: int) -> bytes:
        """Write a value as it stands in the hole."""
        if self.form is Form.BINARY:
            return value.to_bytes(self.width)
        return f"{value:0{self.width}{'x' if self.form is Form.HEX else 'd'}}".encode()


class Patch(NamedTuple):
    """A hole of a frame: where it is, and the number of its field."""

    at: int
    field: int


class Holes:
    """Makes the holes of a mould; `fields` says what goes into them."""

    def __init__(self) -> None:
        """Begin with none."""
        self.fields: list[Field] = []
        self._next = int(Draw.FREE)

    def draws(self, count: int) -> int:
        """Reserve so many draws; gives the first."""
        first, self._next = self._next, self._next + count
        return first

    def hex(self, width: int) -> str:
        """Make a hole for hexadecimal digits, 16 at most, all of them random."""
        return self._make(Field(Form.HEX, width, self.draws(1)))

    def decimal(self, low: int, count: int, *, step: int = 1, width: int = 0) -> str:
        """Make a hole for a decimal number from `low` on; the largest gives the width unless it is given."""
        width = width or len(str(low + step * (count - 1)))
        return self._make(Field(Form.DECIMAL, width, self.draws(1), low, count, step))

    def hex_number(self, low: int, count: int) -> str:
        """Make a hole for a number from `low` on in hexadecimal."""
        return self._make(Field(Form.HEX, len(f"{low + count - 1:x}"), self.draws(1), low, count))

    def plus(self, hole: str, more: int) -> str:
        """Make a hole for the number of another one and `more`; the width stays."""
        own = self.fields[number_of(hole)]
        return self._make(replace(own, low=own.low + more))

    def binary(self, hole: str, width: int) -> int:
        """Make a field for the number of a hole in octets; gives its number."""
        self._make(replace(self.fields[number_of(hole)], form=Form.BINARY, width=width))
        return len(self.fields) - 1

    def add(self, field: Field) -> int:
        """Take a field as it is; gives its number."""
        self.fields.append(field)
        return len(self.fields) - 1

    def _make(self, field: Field) -> str:
        self.fields.append(field)
        return chr(_BASE + len(self.fields) - 1) * field.width


class Stamp:
    """Fills holes as one call has them."""

    def __init__(self, fields: Sequence[Field], key: int) -> None:
        """Compute nothing yet."""
        self._fields = fields
        self._key = key
        self._texts: dict[str, str] = {}

    def fill(self, text: str) -> str:
        """Fill the holes of a text."""
        return _RUN.sub(self._filling, text)

    def _filling(self, run: re.Match[str]) -> str:
        hole = run[0]
        if hole not in self._texts:
            field = self._fields[number_of(hole)]
            once = field.write(field.value(self._key)).decode()
            self._texts[hole] = once * (len(hole) // field.width)
        return self._texts[hole]


def number_of(hole: str) -> int:
    """Tell the field of a hole."""
    return ord(hole[0]) - _BASE


def is_hole(text: str) -> bool:
    """Tell whether a text is one hole and nothing else."""
    return _RUN.fullmatch(text) is not None


def octets_in(text: str) -> int:
    """Count the octets of a text when its holes are filled."""
    return len(_RUN.sub(lambda run: "0" * len(run[0]), text).encode())


def template(text: str, fields: Sequence[Field]) -> tuple[bytes, list[Patch]]:
    """Write a text with the lowest values in its holes, and tell where these are."""
    octets = bytearray()
    patches = []
    at = 0
    for run in _RUN.finditer(text):
        octets += text[at : run.start()].encode()
        at = run.end()
        number = number_of(run[0])
        field = fields[number]
        for _ in range(len(run[0]) // field.width):
            patches.append(Patch(len(octets), number))
            octets += field.write(field.low)
    return bytes(octets + text[at:].encode()), patches
