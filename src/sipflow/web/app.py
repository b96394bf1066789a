"""The HTTP face: every route behind one door, every error in one shape."""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from sipflow.config import Settings
from sipflow.errors import BadQuery, CallUnknown, Expired, NothingToPlay, SipflowError, StorageError
from sipflow.query.source import CallSource
from sipflow.web.access import Access
from sipflow.web.calls import Calls
from sipflow.web.probes import Probes
from sipflow.web.reply import Refusal, reply
from sipflow.web.rustpbx import RustPbx
from sipflow.web.sound import Sound
from sipflow.web.status import RecorderStatus

log = logging.getLogger(__name__)

# What each error means to a caller; the first that fits counts.
CODES: tuple[tuple[type[SipflowError], int], ...] = (
    (BadQuery, 400),
    (CallUnknown, 404),
    (Expired, 404),
    (NothingToPlay, 404),
    (StorageError, 503),
    (SipflowError, 500),
)


def build(history: CallSource, recorder_status: RecorderStatus, settings: Settings) -> Starlette:
    """Build the application over a history and the state of a recorder; it opens and owns nothing.

    Serve it with `proxy_headers` off: who asks is decided by the peer's address, which a header must not replace.
    """
    sound = Sound(history)
    return Starlette(
        routes=[*Probes(recorder_status).routes, *RustPbx(history, sound).routes, *Calls(history, sound).routes],
        middleware=[Middleware(Access, settings=settings)],
        exception_handlers={SipflowError: _refuse, HTTPException: _refuse_http, Exception: _fail},
    )


async def _refuse(_request: Request, error: Exception) -> Response:
    code = next((code for kind, code in CODES if isinstance(error, kind)), 500)
    if code >= 500:
        log.error("%s", error)
    return reply(Refusal(str(error)), code)


async def _refuse_http(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    words = {404: f"no such page: {request.url.path}", 405: f"{request.method} is not allowed here"}
    return reply(Refusal(words.get(code, str(error))), code, headers)


async def _fail(_request: Request, error: Exception) -> Response:
    # The server logs the trace; the caller learns nothing of our insides.
    log.error("a request failed: %s", type(error).__name__)
    return reply(Refusal("internal error; the server's log says more"), 500)
