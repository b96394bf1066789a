"""The header fields of a message, looked up by name."""

import re
from typing import Final

from sipflow.wire.header import Letter, read_letter

_ANGLES: Final = re.compile(r"<[^>]*>")
_PARAMETER: Final = re.compile(r";\s*([^\s=;,\"]+)\s*(?:=\s*(\"(?:[^\"\\]|\\.)*\"|[^\s;,]*))?")


class Fields:
    """The headers of one message; names are given in small letters and long form."""

    def __init__(self, message: bytes) -> None:
        """Read the head of a message; never fails."""
        self.letter: Letter = read_letter(message)

    def every(self, name: str) -> list[str]:
        """List the values of all lines of this name."""
        return [header.value for header in self.letter.headers if header.key == name]

    def first(self, name: str) -> str:
        """Give the value of the first line of this name, empty without one."""
        return self.letter.first(name)


def parameter(value: str, name: str) -> str | None:
    """Find a parameter `;name=value` of a header value, unquoted; empty for a flag, None when it is not there.

    Parameters inside angle brackets belong to the URI and are not looked at.
    """
    for found in _PARAMETER.finditer(_ANGLES.sub("", value)):
        if found[1].lower() == name:
            return (found[2] or "").strip('"')
    return None
