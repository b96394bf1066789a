"""A client of a sipflow server's /api/v1: the same questions and answers as a local history, from afar."""

from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec

from sipflow.clock import format_time
from sipflow.errors import BadQuery, CallUnknown, ConfigError, NothingToPlay, QueryError, ServerUnreachable
from sipflow.query.answer import CallPage, CallSummary, Criteria, Flow
from sipflow.query.transcript import Transcript, read_back
from sipflow.query.window import Window

T = TypeVar("T")

CONNECT_S = 5.0
# How long the server may be silent; a long answer may take as long as it keeps coming.
IDLE_S = 30.0
ALWAYS = Window()


class _Refusal(msgspec.Struct):
    message: str


class _Detail(msgspec.Struct):
    call: CallSummary


class SipflowClient:
    """Asks one server. Not meant to be shared between threads.

    Every method raises ServerUnreachable when no answer came or it was not one of a sipflow server, and QueryError when
    the server refused.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        """Prepare to ask the server at `url` (http or https); connects nowhere yet. Raises ConfigError."""
        base = url.rstrip("/")
        try:
            parsed = httpx.URL(base)
        except httpx.InvalidURL:
            parsed = httpx.URL("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigError("--url", url, "http://HOST:PORT or https://HOST:PORT")
        self.url = base
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.unread: list[str] = []
        self._http = httpx.Client(headers=headers, timeout=httpx.Timeout(IDLE_S, connect=CONNECT_S))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first. Raises BadQuery."""
        asked = {"call_id": criteria.call_id, "user": criteria.user, "status": criteria.status, "after": criteria.after}
        query = {name: value for name, value in asked.items() if value is not None}
        return self._get("", {**query, **_bounds(criteria.window), "limit": str(criteria.limit)}, CallPage)

    def call(self, call_id: str) -> CallSummary:
        """Give the summary of a call. Raises CallUnknown."""
        return self._get(_path(call_id), {}, _Detail, call_id).call

    def flow(self, call_id: str, window: Window = ALWAYS) -> Flow:
        """Give the messages of a call, octet for octet. Raises CallUnknown."""
        transcript = self._get(f"{_path(call_id)}/flow", _bounds(window), Transcript, call_id)
        try:
            return read_back(transcript)
        except ValueError as error:
            raise ServerUnreachable(f"{self.url} did not answer as sipflow does: {error}") from None

    def wav(self, call_id: str, window: Window = ALWAYS, leg: int | None = None) -> Iterator[bytes]:
        """Give the WAV of a call in parts. Raises NothingToPlay when the first part is asked for."""
        query = {**_bounds(window), **({} if leg is None else {"leg": str(leg)})}
        try:
            with self._http.stream("GET", self._address(f"{_path(call_id)}/media.wav"), params=query) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    answer.read()
                    raise NothingToPlay(_message(answer))
                self._check(answer, call_id)
                self.unread = [answer.headers["Sipflow-Faults"]] if "Sipflow-Faults" in answer.headers else []
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{self.url} did not answer: {_reason(error)}") from None

    def _get(self, path: str, query: dict[str, str], kind: type[T], call_id: str | None = None) -> T:
        try:
            answer = self._http.get(self._address(path), params=query)
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{self.url} did not answer: {_reason(error)}") from None
        self._check(answer, call_id)
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.DecodeError as error:
            raise ServerUnreachable(f"{self.url} did not answer as sipflow does: {error}") from None

    def _address(self, path: str) -> str:
        return f"{self.url}/api/v1/calls{path}"

    def _check(self, answer: httpx.Response, call_id: str | None) -> None:
        """Turn a refusal into the error it stands for."""
        if answer.is_success:
            return
        answer.read()
        message = _message(answer)
        match answer.status_code:
            case httpx.codes.NOT_FOUND if call_id is not None and message.startswith("no packet of call"):
                raise CallUnknown(call_id)
            case httpx.codes.NOT_FOUND:
                raise ServerUnreachable(f"{self.url} did not answer as sipflow does: no such page")
            case httpx.codes.BAD_REQUEST:
                raise BadQuery(message)
        raise QueryError(f"{self.url} refused ({answer.status_code}): {message}")


def _path(call_id: str) -> str:
    # Dots are escaped as well: a Call-ID of two dots must not become the directory above.
    return "/" + quote(call_id, safe="").replace(".", "%2E")


def _bounds(window: Window) -> dict[str, str]:
    bounds = {"since": window.start_us, "until": window.end_us}
    return {name: format_time(moment) for name, moment in bounds.items() if moment is not None}


def _message(answer: httpx.Response) -> str:
    try:
        return msgspec.json.decode(answer.content, type=_Refusal).message
    except msgspec.DecodeError:
        return answer.reason_phrase or "no reason given"


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
