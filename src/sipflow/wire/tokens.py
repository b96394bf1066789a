"""The words of a SIP message by what they are, for colouring them (RFC 3261, section 25)."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from sipflow.wire.header import Header
from sipflow.wire.visible import visible

# Longer lines are shown in one colour: nobody reads them, and a page is not a place to spend a second.
LINE_MAX: Final = 4000


class Token(NamedTuple):
    """A piece of text and what it is: one of method, uri, version, status, reason, name, punct, param, text, number,
    string, address."""

    kind: str
    text: str


_VALUE: Final = re.compile(
    r"(?P<string>\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<uri>\b(?:sips?|tel|urn|https?|im|pres):[^\s<>\",;]+)"
    r"|(?P<address>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?)"
    r"|(?P<param>;\s*[A-Za-z][\w.!%*+`'~-]*)"
    r"|(?P<number>(?<![\w.:/@-])\d+(?:\.\d+)?(?![\w.:/@-]))"
    r"|(?P<punct>[<>;,=])"
)
_VERSION: Final = re.compile(r"SIP/\d\.\d\Z", re.IGNORECASE)


def start_tokens(line: str) -> list[Token]:
    """Colour a request line or a status line."""
    first, blank, rest = line.partition(" ")
    if _VERSION.match(first):
        status, gap, reason = rest.partition(" ")
        found = [("version", first), ("punct", blank), ("status", status), ("punct", gap), ("reason", reason)]
    else:
        uri, gap, version = rest.rpartition(" ")
        found = [("method", first), ("punct", blank), ("uri", uri), ("punct", gap), ("version", version)]
    return [Token(kind, visible(text)) for kind, text in found if text]


def header_tokens(header: Header) -> list[Token]:
    """Colour a header: its name, and what its value is made of."""
    head = [Token("name", visible(header.name)), Token("punct", ": ")] if header.name else []
    return [*head, *value_tokens(header.value)]


def value_tokens(text: str) -> list[Token]:
    """Colour the value of a header; put together, the tokens are the text, made visible."""
    if len(text) > LINE_MAX:
        return [Token("text", visible(text))]
    return [Token(kind, visible(part)) for kind, part in _split(text) if part]


def _split(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    for match in _VALUE.finditer(text):
        yield "text", text[at : match.start()]
        at = match.end()
        kind, found = str(match.lastgroup), match.group()
        if kind == "param":
            name = found[1:].lstrip()
            yield "punct", found[: len(found) - len(name)]
            found = name
        yield kind, found
    yield "text", text[at:]
