"""Calls in paths: an id may hold anything, slashes and line breaks included."""

from collections.abc import Container
from typing import Final
from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request


class _Anything(Convertor[str]):
    """The rest of a path, line breaks included, which Starlette's own `path` leaves out."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


register_url_convertor("anything", _Anything())


# Browsers take a segment of dots for a way through directories, escaped or not (RFC 3986, section 5.2.4). An unescaped
# `=` stands in no other id that `segment` writes.
_DOTS: Final = {".": ".=", "..": "..="}
_READ: Final = {written: call_id for call_id, written in _DOTS.items()}


def segment(call_id: str) -> str:
    """Write a Call-ID as one segment of a path, whatever it holds."""
    return _DOTS.get(call_id) or quote(call_id, safe="")


def _read(written: str) -> str:
    return _READ.get(written) or unquote(written)


def split_path(request: Request, prefix: str, views: Container[str]) -> tuple[str, str]:
    """Take Call-ID and view out of the path before it is decoded, so that an escaped slash stays part of the id."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.decode("utf-8", "replace").partition("?")[0]
    if prefix not in path:  # the prefix itself was escaped
        path = request.scope["path"]
    rest = path.partition(prefix)[2].removeprefix("/")
    head, slash, tail = rest.rpartition("/")
    return (_read(head), tail) if slash and tail in views else (_read(rest), "")
