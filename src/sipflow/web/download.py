"""Sends a long body in parts, whole or the range that was asked for, under a file name that no Call-ID can break."""

import re
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sipflow.web.reply import Refusal, reply

_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*\Z", re.ASCII)
_PLAIN = re.compile(r"[^A-Za-z0-9._@+-]")
NAME_MAX = 128


class Body(Protocol):
    """Something of a known length that can be read from anywhere."""

    @property
    def length_octets(self) -> int:
        """Tell the whole length."""
        ...

    def iterate(self, start: int, end: int | None, /) -> Iterator[bytes]:
        """Give the octets from `start` up to, not including, `end`, in parts."""
        ...


def download(request: Request, body: Body, name: str, media_type: str, headers: dict[str, str]) -> Response:
    """Answer 200 with all of it, 206 with one range (RFC 9110, section 14), or 416.

    More than one range at once is answered with all of it, as the RFC allows; a range is honoured after `If-Range` only
    while the ETag still holds, because a live call grows.
    """
    common = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "Content-Disposition": disposition(name),
        **headers,
    }
    wanted = request.headers.get("range")
    guard = request.headers.get("if-range")
    if wanted is None or (guard is not None and guard != headers.get("ETag")):
        wanted = ""
    match = _RANGE.match(wanted.strip())
    start, end = 0, body.length_octets
    status = 200
    if match and (match[1] or match[2]):
        span = _span(match[1], match[2], body.length_octets)
        if span is None:
            refusal = Refusal(f"Range: found {wanted!r}; allowed: inside the {body.length_octets} octets of this file")
            return reply(refusal, 416, {"Content-Range": f"bytes */{body.length_octets}"})
        start, end = span
        status = 206
        common["Content-Range"] = f"bytes {start}-{end - 1}/{body.length_octets}"
    common["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=common, media_type=media_type)
    return StreamingResponse(body.iterate(start, end), status, common, media_type)


def disposition(name: str) -> str:
    """Write Content-Disposition for any name: plain ASCII for old clients, RFC 8187 for the exact one."""
    plain = file_name(name)
    exact = "".join(char for char in name if char.isprintable() and char not in "/\\")[:NAME_MAX]
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(exact, safe='')}"


def file_name(name: str) -> str:
    """Make a safe file name of any text: harmless ASCII, no path, never hidden or empty."""
    plain = _PLAIN.sub("_", name)[-NAME_MAX:] or "call"
    return "_" + plain[1:] if plain[0] in ".-" else plain


def _span(first: str, last: str, length: int) -> tuple[int, int] | None:
    """Give start and end (exclusive) of a range inside `length` octets, None when it lies outside."""
    # 20 digits are beyond any file; a longer number is a way to burn time in int().
    if len(first) > 20 or len(last) > 20:
        return None
    if not first:
        count = min(int(last), length)
        return (length - count, length) if count else None
    start, end = int(first), min(int(last) + 1, length) if last else length
    return (start, end) if start < end else None
