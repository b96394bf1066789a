"""Captured text as a person may safely look at it: nothing in it moves the cursor, hides, or turns the line around."""

import unicodedata
from typing import Final

# Line and paragraph separators break lines where none was; unassigned and private characters show as nothing.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_PICTURES: Final = 0x2400  # "control pictures": U+2400 shows U+0000, U+2421 shows DEL
_DELETE: Final = 0x7F


def visible(text: str) -> str:
    """Replace control characters by their pictures, and format characters (bidi overrides, zero width) by U+XXXX."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(char) if unicodedata.category(char) in _HIDDEN else char for char in text)


def _shown(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\u2421" if code == _DELETE else f"\u27e8U+{code:04X}\u27e9"
