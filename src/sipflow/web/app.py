"""The HTTP face: every route behind one door, every error in one shape."""

import logging
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from sipflow.archive.call_upload import CallUploads
from sipflow.cluster.cluster import Cluster
from sipflow.config import Settings
from sipflow.errors import BadQuery, CallUnknown, Expired, NoEncoder, NothingToPlay, SipflowError, StorageError
from sipflow.query.discreet import Discreet
from sipflow.query.source import CallSource, Holding
from sipflow.web.access import Access
from sipflow.web.archiving import Archiving
from sipflow.web.calls import Calls
from sipflow.web.cluster_status import ClusterNodes, ClusterStatus
from sipflow.web.console import routes
from sipflow.web.console.aliases import names_of
from sipflow.web.console.render import error_page, wants_page
from sipflow.web.exports import Exports
from sipflow.web.insight import Insight
from sipflow.web.peers import Peers
from sipflow.web.probes import Probes
from sipflow.web.recorded import Recordings
from sipflow.web.reply import Refusal, reply
from sipflow.web.rustpbx import RustPbx
from sipflow.web.senders import Senders
from sipflow.web.sound import Sound
from sipflow.web.status import RecorderStatus
from sipflow.web.upload import UploadRoute

log = logging.getLogger(__name__)

# What each error means to a caller; the first that fits counts.
CODES: tuple[tuple[type[SipflowError], int], ...] = (
    (BadQuery, 400),
    (CallUnknown, 404),
    (Expired, 404),
    (NothingToPlay, 404),
    (NoEncoder, 501),
    (StorageError, 503),
    (SipflowError, 500),
)


def build(
    history: CallSource,
    recorder_status: RecorderStatus,
    settings: Settings,
    uploads: CallUploads | None = None,
    *,
    cluster: Cluster | None = None,
    own: Holding | None = None,
) -> Starlette:
    """Build the application over a history, the state of a recorder and uploads of calls; it opens and owns nothing.

    `cluster` tells how the other nodes are, where there are any; `own` is what this node gives other nodes when they
    ask, None for nothing.

    Serve it with `proxy_headers` off: who asks is decided by the peer's address, which a header must not replace.
    """
    hide = settings.hide_digits
    archiving = Archiving(settings)
    recordings = Recordings(history, hide_digits=hide)
    sound = Sound(history, recordings, hide_digits=hide)
    shown = Discreet(history) if hide else history
    # What is exported is masked as a whole, which needs the digits themselves.
    more = {**Insight(shown).views, **Exports(history, hide_digits=hide, aliases=names_of(settings.aliases)).views}
    senders = Senders()
    nodes = ClusterNodes(cluster, recorder_status, senders, settings)
    status = recorder_status if cluster is None else ClusterStatus(recorder_status, cluster)
    return Starlette(
        routes=[
            *Probes(status, archiving, uploads, senders, nodes.health, settings.node or "").routes,
            *archiving.routes,
            *([] if own is None else Peers(own, recorder_status, senders, settings, nodes.names).routes),
            *RustPbx(shown, sound).routes,
            *UploadRoute(shown, uploads).routes,
            *Calls(shown, sound, recordings, more).routes,
            *routes(shown, sound, status, settings, nodes),
        ],
        middleware=[Middleware(Access, settings=settings)],
        exception_handlers={SipflowError: _refuse, HTTPException: _refuse_http, Exception: _fail},
    )


def _refusal(request: Request, message: str, code: int, headers: Mapping[str, str] | None = None) -> Response:
    """Answer an error as a page to a browser, as JSON to everybody else."""
    if wants_page(request):
        return error_page(request, message, code, headers)
    return reply(Refusal(message), code, headers)


async def _refuse(request: Request, error: Exception) -> Response:
    code = next((code for kind, code in CODES if isinstance(error, kind)), 500)
    if code >= 500:
        log.error("%s", error)
    return _refusal(request, str(error), code)


async def _refuse_http(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    words = {404: f"no such page: {request.url.path}", 405: f"{request.method} is not allowed here"}
    return _refusal(request, words.get(code, str(error)), code, headers)


async def _fail(request: Request, error: Exception) -> Response:
    # The server logs the trace; the caller learns nothing of our insides.
    log.error("a request failed: %s", type(error).__name__)
    return _refusal(request, "internal error; the server's log says more", 500)
