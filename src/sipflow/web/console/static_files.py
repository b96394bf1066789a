"""Files of the console as they are served: modules name what they import by addresses that change with the content."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

STATIC: Final = Path(__file__).parent / "static"
_VERSION_DIGITS: Final = 12
_IMPORT: Final = re.compile(rb'^(import (?:[^"\n]+ from )?")\./([\w-]+\.js)(";)$', re.MULTILINE)


@cache
def content(name: str) -> bytes:
    """Give a file of `static/` as it is served. Raises OSError when there is none."""
    octets = (STATIC / name).read_bytes()
    if not name.endswith(".js"):
        return octets
    return _IMPORT.sub(lambda found: b"%s./%s%s" % (found[1], _versioned(found[2].decode()).encode(), found[3]), octets)


@cache
def version_of(name: str) -> str:
    """Name the content of a file, and of all that it imports. Raises OSError when there is none."""
    return hashlib.sha256(content(name)).hexdigest()[:_VERSION_DIGITS]


@cache
def imported(name: str) -> tuple[str, ...]:
    """List what a module imports, and what that imports in turn, each once. Raises OSError."""
    found: dict[str, None] = {}
    for one in _IMPORT.findall((STATIC / name).read_bytes()):
        direct = one[1].decode()
        found |= dict.fromkeys((direct, *imported(direct)))
    return tuple(found)


def address(name: str) -> str:
    """Give the address of a file, which changes with its content."""
    return f"/static/{_versioned(name)}"


def _versioned(name: str) -> str:
    return f"{quote(name)}?v={version_of(name)}"
