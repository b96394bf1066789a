"""Who may ask: everybody on loopback, and beyond it only a token or a trusted network."""

import hmac
import logging
import re
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sipflow.config import TOKEN_VARIABLE, Settings
from sipflow.web.console.render import render, wants_page
from sipflow.web.reply import Refusal, reply
from sipflow.web.session import Session, proof_in

log = logging.getLogger(__name__)

# Answered to everybody, without details, so that load balancers need no secret; and what the sign-in page is made of.
OPEN_PATHS = ("/health",)
OPEN_PREFIX = "/static/"
SIGN_IN = "/sign-in"
_FORM_MAX_OCTETS = 4096


class Access:
    """ASGI middleware: answers 401, with the line to add to the configuration, to whom nothing allows.

    A browser is asked for the token instead, and keeps a proof of it in a cookie. Sets `scope["sipflow.known"]`:
    whether the caller may see details on the paths that are open to all.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._open = settings.http.loopback
        self._trusted = settings.trusted
        self._token = settings.token.encode() if settings.token else None
        self._session = Session(self._token) if self._token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        known = self._open or self._has_token(scope) or self._has_session(scope) or self._is_trusted(scope)
        scope["sipflow.known"] = known
        if known or scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_PREFIX):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if request.url.path == SIGN_IN and request.method == "POST":
            await (await self._sign_in(request))(scope, receive, send)
            return
        if request.method == "GET" and wants_page(request):
            await self._ask(request, asked="/" if request.url.path == SIGN_IN else _here(request))(scope, receive, send)
            return
        peer = _peer(scope)
        log.warning("refused HTTP from %s: %s", peer or "an unknown address", _advice(peer))
        headers = {"WWW-Authenticate": "Bearer"}
        await reply(Refusal(_advice(peer)), status=401, headers=headers)(scope, receive, send)

    def _ask(self, request: Request, asked: str, wrong: bool = False) -> Response:
        """Answer with the page that takes the token, or says that there is none."""
        return render(
            request, "sign_in.html", 401, asked=asked, wrong=wrong, possible=self._token is not None,
            advice=_advice(_peer(request.scope)),
        )  # fmt: skip

    async def _sign_in(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _FORM_MAX_OCTETS:
                return reply(Refusal(f"the form is longer than {_FORM_MAX_OCTETS} octets"), 413)
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        asked = form.get("asked", "/")
        # Back to a page of this server: two slashes would be another one.
        asked = asked if re.match(r"/(?![/\\])[\x21-\x7e]*\Z", asked) else "/"
        given = form.get("token", "").strip().encode()
        if self._session is None or self._token is None or not hmac.compare_digest(given, self._token):
            log.warning("a sign-in from %s was refused", _peer(request.scope) or "an unknown address")
            return self._ask(request, asked, wrong=True)
        cookie = self._session.header(int(time.time()), secure=request.url.scheme == "https")
        return RedirectResponse(asked, 303, {"Set-Cookie": cookie, "Cache-Control": "no-store"})

    def _has_session(self, scope: Scope) -> bool:
        if self._session is None:
            return False
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        proofs = [proof_in(value.decode("latin-1")) for value in cookies]
        return any(proof is not None and self._session.holds(proof, int(time.time())) for proof in proofs)

    def _has_token(self, scope: Scope) -> bool:
        if self._token is None:
            return False
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(values) != 1:
            return False
        scheme, _, given = values[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)

    def _is_trusted(self, scope: Scope) -> bool:
        peer = _peer(scope)
        return peer is not None and any(peer in network for network in self._trusted)


def _here(request: Request) -> str:
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope.get("query_string", b"")
    return (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _peer(scope: Scope) -> IPv4Address | IPv6Address | None:
    """Give the address the request came from; IPv4 seen through an IPv6 socket is IPv4."""
    client = scope.get("client")
    if not client:
        return None
    try:
        address = ip_address(client[0].partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _advice(peer: IPv4Address | IPv6Address | None) -> str:
    network = f"{peer}/{peer.max_prefixlen}" if peer else "192.0.2.0/24"
    return (
        f'{peer or "this address"} is not trusted; under [sipflow] in the configuration add  trusted = ["{network}"]  '
        f'or add  token = "..."  (or set {TOKEN_VARIABLE}) and send  Authorization: Bearer ...'
    )
