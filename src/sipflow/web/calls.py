"""The API of sipflow, /api/v1: calls by search, and everything about one call."""

from collections.abc import Callable
from urllib.parse import quote, unquote

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.errors import BadQuery
from sipflow.query.answer import CallSummary, Fault, Flow
from sipflow.query.expiry import have_expired
from sipflow.query.question import parse_criteria, parse_leg
from sipflow.query.source import CallSource
from sipflow.query.transcript import Entry, transcribe
from sipflow.query.window import Window
from sipflow.web.asked import only, window
from sipflow.web.reply import reply
from sipflow.web.sound import Sound, StreamFigures

PREFIX = "/api/v1/calls"
VIEWS = ("flow", "media.wav")


class _Anything(Convertor[str]):
    """The rest of a path, line breaks included, which Starlette's own `path` leaves out."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


register_url_convertor("anything", _Anything())


class Page(msgspec.Struct, frozen=True):
    """Calls, newest first; `next` goes into `after` for the following page."""

    calls: list[CallSummary]
    next: str | None
    partial: bool
    faults: list[Fault]


class CallDetail(msgspec.Struct, frozen=True):
    """Everything about one call except its audio."""

    call: CallSummary
    lanes: list[str]
    messages: list[Entry]
    streams: list[StreamFigures]
    partial: bool
    faults: list[Fault]


class Calls:
    """Routes of /api/v1/calls."""

    def __init__(self, history: CallSource, sound: Sound) -> None:
        self._history = history
        self._sound = sound
        self.routes = [Route(PREFIX, self.search), Route(PREFIX + "/{rest:anything}", self.one)]

    def search(self, request: Request) -> Response:
        """List calls by time, Call-ID, user and status."""
        only(request, ("since", "until", "call_id", "user", "status", "limit", "after"))
        asked = request.query_params
        criteria = parse_criteria(
            window=window(request, "since", "until"),
            call_id=asked.get("call_id"),
            user=asked.get("user"),
            status=asked.get("status"),
            limit=asked.get("limit"),
            after=asked.get("after"),
        )
        page = self._history.calls(criteria)
        return reply(Page(page.calls, page.next, bool(page.faults), page.faults))

    def one(self, request: Request) -> Response:
        """Answer /{id}, /{id}/flow and /{id}/media.wav."""
        call_id, view = _split(request)
        if not call_id:
            raise BadQuery(f"the path names no call; allowed: {PREFIX}/ID, {PREFIX}/ID/flow, {PREFIX}/ID/media.wav")
        views: dict[str, Callable[[Request, str], Response]] = {
            "": self.detail,
            "flow": self.flow,
            "media.wav": self.recording,
        }
        return views[view](request, call_id)

    def detail(self, request: Request, call_id: str) -> Response:
        """Answer summary, messages and stream figures."""
        only(request, ())
        summary = self._history.call(call_id)
        flow = self._history.flow(call_id)
        figures, faults = self._sound.figures(flow)
        written = transcribe(flow)
        every = [*flow.faults, *(fault for fault in faults if fault not in flow.faults)]
        return reply(CallDetail(summary, written.lanes, written.messages, figures, bool(every), every))

    def flow(self, request: Request, call_id: str) -> Response:
        """Answer the messages of a call, with their places in the ladder."""
        only(request, ("since", "until"))
        flow = self._known(call_id, window(request, "since", "until"))
        return reply(transcribe(flow))

    def recording(self, request: Request, call_id: str) -> Response:
        """Answer the audio of a call."""
        only(request, ("since", "until", "leg"))
        span, leg = window(request, "since", "until"), parse_leg(request.query_params.get("leg"))
        return self._sound.play(request, self._history.media(call_id, span), leg)

    def _known(self, call_id: str, span: Window) -> Flow:
        flow = self._history.flow(call_id, span)
        if not flow.messages and (not flow.faults or have_expired(flow.faults)):
            # An empty window of a known call is an answer; an unknown call is not.
            self._history.call(call_id)
        return flow


def _split(request: Request) -> tuple[str, str]:
    """Take Call-ID and view out of the path before it is decoded, so that an escaped slash stays part of the id."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.decode("utf-8", "replace").partition("?")[0]
    if PREFIX not in path:  # the prefix itself was escaped
        path = request.scope["path"]
    rest = path.partition(PREFIX)[2].removeprefix("/")
    head, slash, tail = rest.rpartition("/")
    return (unquote(head), tail) if slash and tail in VIEWS else (unquote(rest), "")
