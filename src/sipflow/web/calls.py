"""The API of sipflow, /api/v1: calls by search, and everything about one call."""

import asyncio
import os
from collections.abc import Mapping

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.errors import BadQuery
from sipflow.media.figures import StreamFigures
from sipflow.query.answer import CallSummary, Fault, Flow
from sipflow.query.expiry import have_expired
from sipflow.query.source import CallSource
from sipflow.query.transcript import Entry, transcribe
from sipflow.query.window import Window
from sipflow.web.asked import only, searched, window
from sipflow.web.audio import Audio, Postponed, View
from sipflow.web.call_path import split_path
from sipflow.web.compared import compared, messages_of, sought
from sipflow.web.derived import Derived
from sipflow.web.recorded import Recordings
from sipflow.web.reply import reply
from sipflow.web.sound import Sound
from sipflow.web.timeline import TimelineAnswer, timeline

PREFIX = "/api/v1/calls"
# Encoding and measuring take a processor each; the recorder on the same machine needs some as well.
WORKERS = max(1, (os.cpu_count() or 2) // 2)


class Page(msgspec.Struct, frozen=True):
    """Calls, newest first; `next` goes into `after` for the following page; `stopped_us` as CallPage has it."""

    calls: list[CallSummary]
    next: str | None
    partial: bool
    faults: list[Fault]
    stopped_us: int | None = None


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

    def __init__(
        self, history: CallSource, sound: Sound, recordings: Recordings, more: Mapping[str, View] | None = None
    ) -> None:
        """Answer from a history; `more` are further views of a call, by the last part of their paths."""
        self._history = history
        self._sound = sound
        self._timelines: Derived[TimelineAnswer] = Derived()
        self._workers = asyncio.Semaphore(WORKERS)
        self._views: dict[str, View] = {
            "": self.detail,
            "flow": self.flow,
            "compare": self.compare,
            "timeline": self.timeline,
            **Audio(history, sound, recordings).views,
            **(more or {}),
        }
        self.routes = [Route(PREFIX, self.search), Route(PREFIX + "/{rest:anything}", self.one)]

    def search(self, request: Request) -> Response:
        """List calls by time, parties, status and the rest of what a search may say."""
        criteria = searched(request)
        page = self._history.calls(criteria)
        return reply(Page(page.calls, page.next, bool(page.faults), page.faults, page.stopped_us))

    async def one(self, request: Request) -> Response:
        """Answer /{id} and its views. What takes a processor waits here, where waiting takes no thread."""
        call_id, view = split_path(request, PREFIX, self._views)
        if not call_id:
            allowed = ", ".join(f"{PREFIX}/ID{'/' * bool(name)}{name}" for name in self._views)
            raise BadQuery(f"the path names no call; allowed: {allowed}")
        answer = await run_in_threadpool(self._views[view], request, call_id)
        if isinstance(answer, Postponed):
            async with self._workers:
                return await run_in_threadpool(answer.work)
        return answer

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

    def compare(self, request: Request, call_id: str) -> Response:
        """Answer what two messages say differently: `a` and `b` by number, `b` of the call `with` if that is given."""
        seek = sought(self._history, request, call_id)
        return reply(compared(request, seek, messages_of(self._history, seek.b_call)).answer)

    def timeline(self, request: Request, call_id: str) -> Postponed:
        """Answer everything of a call that has a time."""
        only(request, ())
        return Postponed(lambda: reply(timeline(self._history, self._sound, call_id, self._timelines)))

    def _known(self, call_id: str, span: Window) -> Flow:
        flow = self._history.flow(call_id, span)
        if not flow.messages and (not flow.faults or have_expired(flow.faults)):
            # An empty window of a known call is an answer; an unknown call is not.
            self._history.call(call_id)
        return flow
