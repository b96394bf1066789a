"""Who may ask: everybody on loopback, and beyond it only a token or a trusted network."""

import hmac
import logging
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from sipflow.config import TOKEN_VARIABLE, Settings
from sipflow.web.reply import Refusal, reply

log = logging.getLogger(__name__)

# Answered to everybody, without details, so that load balancers need no secret.
OPEN_PATHS = ("/health",)


class Access:
    """ASGI middleware: answers 401, with the line to add to the configuration, to whom nothing allows.

    Sets `scope["sipflow.known"]`: whether the caller may see details on the paths that are open to all.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._open = settings.http.loopback
        self._trusted = settings.trusted
        self._token = settings.token.encode() if settings.token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        known = self._open or self._has_token(scope) or self._is_trusted(scope)
        scope["sipflow.known"] = known
        if known or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        peer = _peer(scope)
        log.warning("refused HTTP from %s: %s", peer or "an unknown address", _advice(peer))
        headers = {"WWW-Authenticate": "Bearer"}
        await reply(Refusal(_advice(peer)), status=401, headers=headers)(scope, receive, send)

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
