"""The HTTP connections to one other node: kept open, tried twice, never waited for beyond a limit."""

import time
from typing import Final, TypeVar

import httpx
import msgspec

from sipflow.cluster.exchange import MEDIA_TYPE, PREFIX, Pulse
from sipflow.errors import BadQuery, ServerUnreachable, StorageError
from sipflow.node import Node

T = TypeVar("T")

CONNECTIONS_MAX: Final = 16
# Other nodes close an idle connection after five seconds (uvicorn): ours go first, so that no question meets that.
_KEEP_S: Final = 4.0
_REFUSED: Final = (401, 403)


class TooLate(ServerUnreachable):
    """No answer within the limit: of a node that is slow, or stopped."""


class _Refusal(msgspec.Struct):
    message: str


class Connection:
    """Asks one node. Safe to use from several threads."""

    def __init__(self, node: Node, token: str | None) -> None:
        """Prepare to ask the node at its `http`; connects nowhere yet."""
        self._node = node
        limits = httpx.Limits(
            max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX, keepalive_expiry=_KEEP_S
        )
        headers = {"Content-Type": MEDIA_TYPE, **({"Authorization": f"Bearer {token}"} if token else {})}
        # Nodes are on the same network: a proxy of the environment is for other things.
        self._http = httpx.Client(headers=headers, limits=limits, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, kind: str, question: msgspec.Struct, answer: type[T], limit_s: float) -> T:
        """Ask a question of exchange.py. Raises TooLate, ServerUnreachable, BadQuery, StorageError of the node."""
        response = self._twice("POST", kind, msgspec.msgpack.encode(question), limit_s)
        try:
            return msgspec.msgpack.decode(response.content, type=answer)
        except msgspec.DecodeError as error:
            raise ServerUnreachable(f"answers as another version of sipflow does ({error})") from None

    def pulse(self, limit_s: float) -> Pulse:
        """Ask how the node is. Raises as `ask` does."""
        response = self._twice("GET", "pulse", b"", limit_s)
        try:
            return msgspec.msgpack.decode(response.content, type=Pulse)
        except msgspec.DecodeError as error:
            raise ServerUnreachable(f"answers as another version of sipflow does ({error})") from None

    def _twice(self, method: str, kind: str, body: bytes, limit_s: float) -> httpx.Response:
        until_s = time.monotonic() + limit_s
        try:
            return self._once(self._http, method, kind, body, limit_s)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # A connection that was kept open may have been closed meanwhile; questions change nothing.
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise TooLate(f"no answer within {limit_s:g} s") from None
        except httpx.TimeoutException:
            raise TooLate(f"no answer within {limit_s:g} s") from None
        except httpx.HTTPError as error:
            raise ServerUnreachable(_reason(error)) from None
        # A new one: the others that were kept may have been closed as well.
        with httpx.Client(headers=self._http.headers, trust_env=False) as fresh:
            try:
                return self._once(fresh, method, kind, body, left_s)
            except httpx.TimeoutException:
                raise TooLate(f"no answer within {limit_s:g} s") from None
            except httpx.HTTPError as error:
                raise ServerUnreachable(_reason(error)) from None

    def _once(self, http: httpx.Client, method: str, kind: str, body: bytes, limit_s: float) -> httpx.Response:
        url = f"{self._node.http}{PREFIX}/{kind}"
        response = http.request(method, url, content=body or None, timeout=httpx.Timeout(limit_s))
        if response.is_success:
            return response
        message = _message(response)
        if response.status_code == httpx.codes.BAD_REQUEST:
            raise BadQuery(message)
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise StorageError("ask", self._node.name, message)
        if response.status_code in _REFUSED:
            raise ServerUnreachable(f"refuses us: {message}")
        raise ServerUnreachable(f"answers {response.status_code}: {message}")


def _message(response: httpx.Response) -> str:
    try:
        return msgspec.json.decode(response.content, type=_Refusal).message
    except msgspec.DecodeError:
        return response.reason_phrase or "no reason given"


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
