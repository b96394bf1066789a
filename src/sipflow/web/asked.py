"""What a request asks for: its parameters, read leniently where peers escape badly, strictly where a typo would lie."""

import difflib
import re
from collections.abc import Iterable
from urllib.parse import unquote, unquote_plus

from starlette.requests import Request

from sipflow.errors import BadQuery
from sipflow.query.answer import Criteria
from sipflow.query.question import FILTERS, parse_criteria, parse_window
from sipflow.query.search import parse_search
from sipflow.query.window import Window


def spellings(request: Request, name: str) -> list[str]:
    """List what a parameter may mean, likeliest first: decoded as a form, then with `+` taken literally.

    RustPBX pastes Call-IDs into URLs unescaped, so a `+` may be a plus. The last one counts when it is repeated.
    Empty when it is absent.
    """
    query: bytes = request.scope.get("query_string", b"")
    found: str | None = None
    for part in query.decode("utf-8", "replace").split("&"):
        key, _, value = part.partition("=")
        if unquote_plus(key) == name:
            found = value
    return [] if found is None else list(dict.fromkeys((unquote_plus(found), unquote(found))))


def call_ids(request: Request) -> list[str]:
    """List the Call-IDs that `callid` may mean, likeliest first. Raises BadQuery when it is missing or empty."""
    found = [text for text in spellings(request, "callid") if text]
    if not found:
        raise BadQuery("Missing 'callid' query parameter")
    return found


def window(request: Request, start: str = "start", end: str = "end") -> Window:
    """Read the window of a request; without bounds it is all history. Raises BadQuery."""
    return parse_window(_moment(request, start), _moment(request, end), (start, end))


def diagnosed_window(request: Request) -> Window:
    """Read the window of /diag, which also takes RustPBX's @SECONDS, YYYYMMDD and YYYYMMDDHHMMSS, here in UTC."""
    bounds = [_spelt_out(_moment(request, name)) for name in ("start", "end")]
    return parse_window(bounds[0], bounds[1])


ASKED = ("q", "since", "until", "call_id", "user", "status", *FILTERS, "mos_below", "loss_above", "limit", "after")


def searched(request: Request, *more: str) -> Criteria:
    """Read a search for calls: `q` in the language of search.py, and parameters beside it; `more` are let pass.

    Raises BadQuery.
    """
    only(request, (*ASKED, *more))
    asked = request.query_params
    plain = {name: asked.get(name) for name in ASKED if name not in ("q", "since", "until")}
    criteria = parse_criteria(window=window(request, "since", "until"), **plain)
    return parse_search(asked.get("q", ""), criteria)


def only(request: Request, known: Iterable[str]) -> None:
    """Refuse parameters that are not known: a misspelt filter would list the wrong calls. Raises BadQuery."""
    names = list(known)
    for name in request.query_params:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"{close[0]} (did you mean that?)" if close else ", ".join(names)
            raise BadQuery(f"{name}: found an unknown parameter; allowed: {hint}")


def _moment(request: Request, name: str) -> str | None:
    """Pick the spelling of a time: an offset's `+` is literal, a blank between date and time may be a `+`."""
    found = spellings(request, name)
    if not found:
        return None
    form, literal = found[0], found[-1]
    # 2026-06-01T00:00:00+02:00 pasted unescaped; 2026-06-01+00:00:00Z is a form's blank.
    return literal if "T" in literal.upper() else form


def _spelt_out(text: str | None) -> str | None:
    """Turn the forms only /diag knows into the ones all know; what is none of them stays as it is."""
    plain = (text or "").strip()
    if re.fullmatch(r"@-?\d+", plain, re.ASCII):
        return plain[1:]
    if not re.fullmatch(r"\d{8}|\d{14}", plain, re.ASCII):
        return text
    clock = plain[8:] or "000000"
    return f"{plain[:4]}-{plain[4:6]}-{plain[6:8]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}Z"
