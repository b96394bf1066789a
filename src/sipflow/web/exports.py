"""Files of a call under /api/v1/calls/ID: captures, text, pictures, and all in one page."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sipflow.errors import BadQuery, CallUnknown
from sipflow.export.capture import write_capture
from sipflow.export.parcel import Parcel, parcel
from sipflow.export.sound import recording_of
from sipflow.export.text import as_lines, as_text
from sipflow.query.answer import together
from sipflow.query.expiry import have_expired
from sipflow.query.source import CallSource
from sipflow.web.asked import only
from sipflow.web.audio import Postponed, View
from sipflow.web.console.bundle import bundle
from sipflow.web.console.ladder_file import ladder_png, ladder_svg
from sipflow.web.download import disposition

_FLAGS: Final = {"": False, "0": False, "false": False, "1": True, "true": True}


class Export(NamedTuple):
    """One form of file: the name of its view and the end of its file name, and who writes it."""

    view: str
    suffix: str
    media_type: str
    write: Callable[[Parcel], Iterable[bytes]]


def _comment(of: Parcel) -> str:
    with recording_of(of) as recording:
        text = f"none ({recording})" if isinstance(recording, str) else recording.completeness.text
    return " ".join([f"Call {of.call_id}. Recording: {text}.", *of.notes])


EXPORTS: Final = {
    export.view: export
    for export in (
        Export("call.pcapng", ".pcapng", "application/vnd.tcpdump.pcap",
               lambda of: write_capture(of.messages, of.chunks, _comment(of))),
        Export("call.txt", ".txt", "text/plain; charset=utf-8", as_text),
        Export("call.jsonl", ".jsonl", "application/x-ndjson", as_lines),
        Export("ladder.svg", ".svg", "image/svg+xml", lambda of: [ladder_svg(of).encode("utf-8", "replace")]),
        Export("ladder.png", ".png", "image/png", lambda of: [ladder_png(of)]),
        Export("bundle.html", ".html", "text/html; charset=utf-8", lambda of: [bundle(of)]),
    )
}  # fmt: skip


class Exports:
    """The views, by the last part of their paths; `pseudonyms=1` replaces names."""

    def __init__(
        self, history: CallSource, *, hide_digits: bool = False, aliases: Mapping[str, str] | None = None
    ) -> None:
        self._history = history
        self._hide_digits = hide_digits
        self._aliases = aliases
        self.views: dict[str, View] = {view: partial(self._answer, export) for view, export in EXPORTS.items()}

    def _answer(self, export: Export, request: Request, call_id: str) -> Response | Postponed:
        only(request, ("pseudonyms",))
        asked = request.query_params.get("pseudonyms", "")
        if asked not in _FLAGS:
            raise BadQuery(f"pseudonyms: found {asked!r}; allowed: 0 or 1")

        def work() -> Response:
            found = packed(
                self._history,
                call_id,
                hide_digits=self._hide_digits,
                pseudonyms=_FLAGS[asked],
                aliases=self._aliases,
            )
            headers = {
                # Always a file, never a page of this server: what is in it was captured.
                "Content-Disposition": disposition(f"{found.call_id}{export.suffix}"),
                "Content-Security-Policy": "sandbox; default-src 'none'",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
            }
            parts = iter(export.write(found))
            # The first part is made here, so that what goes wrong is an answer and not half a file.
            first = next(parts, b"")
            return StreamingResponse(_chain(first, parts), 200, headers, export.media_type)

        return Postponed(work)


def packed(
    history: CallSource,
    call_id: str,
    *,
    hide_digits: bool = False,
    pseudonyms: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> Parcel:
    """Read a call for export. Raises CallUnknown, Expired, StorageError."""
    flow, media = history.flow(call_id), history.media(call_id)
    faults = together(flow.faults, media.faults)
    if not flow.messages and not media.chunks and (not faults or have_expired(faults)):
        history.call(call_id)
        raise CallUnknown(call_id)
    return parcel(flow, media, hide_digits=hide_digits, pseudonyms=pseudonyms, aliases=aliases)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
