"""A SIP message taken apart for people: start line, headers as written, values and their parameters (RFC 3261)."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

# One hostile datagram of 64 KiB could hold 30,000 lines; what is behind these stands in the last header.
HEADERS_MAX: Final = 400
VALUES_MAX: Final = 100

# RFC 3261, section 7.3.3 and the IANA registry of compact forms.
COMPACT: Final = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to", "s": "subject",
    "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip

# Headers whose values are a list; in the first kind the order of the list means nothing.
_SETS: Final = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "allow", "allow-events", "content-language", "in-reply-to",
        "proxy-require", "require", "supported", "unsupported",
    }
)  # fmt: skip
_LISTS: Final = frozenset(
    {
        "alert-info", "call-info", "contact", "diversion", "error-info", "history-info", "p-asserted-identity", "path",
        "privacy", "reason", "record-route", "route", "service-route", "via", "warning",
    }
)  # fmt: skip
# Their parameters stand behind commas: scheme name="value", name="value".
_CREDENTIALS: Final = frozenset(
    {"authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate", "authentication-info"}
)


class Header(msgspec.Struct, frozen=True):
    """One header; `name` as written, `value` unfolded, without blanks around it."""

    name: str
    value: str

    @property
    def key(self) -> str:
        """Give the full name in lower case, whatever form it was written in."""
        lower = self.name.lower()
        return COMPACT.get(lower, lower)


class Letter(msgspec.Struct, frozen=True):
    """A whole message as text."""

    start: str
    headers: tuple[Header, ...]
    body: str

    def first(self, key: str) -> str:
        """Give the value of the first header of this full name in lower case; empty when there is none."""
        return next((header.value for header in self.headers if header.key == key), "")


class Value(msgspec.Struct, frozen=True):
    """One value of a header: what stands before its parameters, and these, names in lower case.

    `comma` tells that its parameters stand behind commas, as those of credentials do.
    """

    text: str
    parameters: dict[str, str] = {}
    comma: bool = False

    def __str__(self) -> str:
        """Write the value as it was, without superfluous blanks."""
        pieces = [f"{name}={text}" if text else name for name, text in self.parameters.items()]
        if self.comma:
            return " ".join(filter(None, (self.text, ", ".join(pieces))))
        return ";".join([self.text, *pieces])


def is_unordered(key: str) -> bool:
    """Tell whether the values of a header are a set."""
    return key in _SETS


def read_letter(payload: bytes) -> Letter:
    """Take a message apart; never fails, line ends may be CRLF, LF or CR, octets that are not UTF-8 become U+FFFD."""
    text = payload.decode("utf-8", "replace")
    border = re.search(r"\r\n\r\n|\n\n|\r\r", text)
    head, body = (text[: border.start()], text[border.end() :]) if border else (text, "")
    start, *lines = re.split(r"\r\n|\n|\r", head)
    found: list[list[str]] = []
    for line in lines:
        # RFC 3261, section 7.3.1: a line that begins with a blank goes on with the header above.
        if found and (line[:1] in (" ", "\t") or len(found) == HEADERS_MAX):
            found[-1].append(line)
        else:
            found.append([line])
    return Letter(start, tuple(_header(" ".join(part.strip() for part in lines)) for lines in found), body)


def _header(line: str) -> Header:
    name, colon, value = line.partition(":")
    return Header(name.strip(), value.strip()) if colon else Header("", line)


def values_of(header: Header) -> tuple[Value, ...]:
    """Take the value of a header apart: its list, and the parameters of each."""
    if header.key in _CREDENTIALS:
        return (_credentials(header.value),)
    listed = header.key in _SETS or header.key in _LISTS
    parts = list(split(header.value, ",", VALUES_MAX)) if listed else [header.value]
    return tuple(_value(part) for part in parts)


def split(text: str, at: str, most: int = VALUES_MAX) -> Iterator[str]:
    """Split text at a character, but not inside "quotes" or <angles>; blanks around the parts are cut."""
    begin, count, quoted, angled, at_escape = 0, 1, False, False, False
    for place, char in enumerate(text):
        if at_escape:
            at_escape = False
        elif quoted and char == "\\":
            at_escape = True
        elif char == '"':
            quoted = not quoted
        elif not quoted and char in "<>":
            angled = char == "<"
        elif char == at and not quoted and not angled and count < most:
            yield text[begin:place].strip()
            begin, count = place + 1, count + 1
    yield text[begin:].strip()


def _value(text: str) -> Value:
    base, *rest = split(text, ";")
    return Value(base, parameters_of(rest))


def parameters_of(parts: list[str]) -> dict[str, str]:
    """Read name=value parts, names in lower case; of a name given twice the first counts."""
    found: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        found.setdefault(name.strip().lower(), value.strip())
    return found


def _credentials(text: str) -> Value:
    scheme, _, rest = text.partition(" ")
    if "=" in scheme:
        scheme, rest = "", text
    return Value(scheme, parameters_of([part for part in split(rest, ",") if part]), comma=True)
