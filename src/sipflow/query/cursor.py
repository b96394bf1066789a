"""Where a page of calls ended, written so that it can be carried in a URL."""

import base64

import msgspec

from sipflow.errors import BadQuery
from sipflow.query.descent import Began


def write_cursor(ended: Began) -> str:
    """Write down where a page ended."""
    return base64.urlsafe_b64encode(msgspec.json.encode(ended)).decode().rstrip("=")


def read_cursor(text: str | None) -> Began | None:
    """Read where a page ended; None for the first page. Raises BadQuery for what is no cursor of ours."""
    if text is None:
        return None
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(octets, type=Began)
    except (ValueError, msgspec.MsgspecError):
        raise BadQuery(f"after: found {text!r}; allowed: the `next` of an earlier answer") from None
