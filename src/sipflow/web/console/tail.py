"""The list of calls as it grows: server-sent events, each a line of the page that is new or has changed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sipflow.errors import SipflowError
from sipflow.query.answer import CallSummary, Criteria
from sipflow.query.source import CallSource
from sipflow.web.console.inquiry import read_inquiry
from sipflow.web.console.render import SECURITY_HEADERS, fragment
from sipflow.web.reply import Refusal, reply

# Each asks the history once in a while: more than these would keep a processor busy.
READERS_MAX: Final = 16
_EVERY_S = 1.5
_PATIENCE_S = 0.5
_CALLS = 50


class Line(msgspec.Struct, frozen=True):
    """A line of the list, for whoever has a line of this call to replace it."""

    call_id: str
    first_us: int
    html: str


class Tail:
    """Answers with calls as they come, to a few readers at once."""

    def __init__(self, history: CallSource) -> None:
        self._history = history
        self._readers = 0

    async def stream(self, request: Request) -> Response:
        """Answer a stream of `call` events that fit the search; the newest calls come first of all."""
        inquiry = read_inquiry(request, _PATIENCE_S)
        if inquiry.wrong:
            return reply(Refusal(inquiry.wrong), 400)
        if self._readers >= READERS_MAX:
            return reply(Refusal(f"{READERS_MAX} live lists are open already"), 503, {"Retry-After": "30"})
        criteria = msgspec.structs.replace(inquiry.criteria, limit=_CALLS, after=None)
        headers = {**SECURITY_HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(criteria), 200, headers, "text/event-stream")

    async def _events(self, criteria: Criteria) -> AsyncIterator[bytes]:
        self._readers += 1
        known: dict[str, CallSummary] = {}
        try:
            yield b"retry: 3000\n\n"
            while True:
                try:
                    lines, known = await run_in_threadpool(self._changed, criteria, known)
                except SipflowError as error:
                    yield b"event: fault\ndata: " + msgspec.json.encode(str(error)) + b"\n\n"
                    lines = []
                for line in lines:
                    yield b"event: call\ndata: " + msgspec.json.encode(line) + b"\n\n"
                yield b": beat\n\n"
                await asyncio.sleep(_EVERY_S)
        finally:
            self._readers -= 1

    def _changed(self, criteria: Criteria, known: dict[str, CallSummary]) -> tuple[list[Line], dict[str, CallSummary]]:
        calls = self._history.calls(criteria).calls
        fresh = [call for call in reversed(calls) if known.get(call.call_id) != call]
        lines = [Line(call.call_id, call.first_us, fragment("call_row.html", call=call)) for call in fresh]
        return lines, {call.call_id: call for call in calls}
