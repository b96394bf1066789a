"""A client of a sipflow server's /api/v1: the same questions and answers as a local history, from afar."""

from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec

from sipflow.clock import format_time
from sipflow.errors import BadQuery, CallUnknown, ConfigError, Expired, NothingToPlay, QueryError, ServerUnreachable
from sipflow.media.assessment import Assessment
from sipflow.media.figures import StreamReport
from sipflow.media.rendering import Progress
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault, Flow
from sipflow.query.diagnosed import Diagnosis
from sipflow.query.search import write_search
from sipflow.query.transcript import Transcript, read_back
from sipflow.query.wanted import Wanted
from sipflow.query.window import Window

T = TypeVar("T")

CONNECT_S = 5.0
# How long the server may be silent; a long answer may take as long as it keeps coming.
IDLE_S = 30.0
# A server encodes a recording whole before it sends any of it: some minutes for a day of sound.
ENCODE_S = 600.0
ALWAYS = Window()


class _Refusal(msgspec.Struct):
    message: str


class _Detail(msgspec.Struct):
    call: CallSummary


class _Quality(Assessment, frozen=True):
    faults: list[Fault]


class _Streams(StreamReport, frozen=True):
    faults: list[Fault]


class SipflowClient:
    """Asks one server. Not meant to be shared between threads.

    Every method raises ServerUnreachable when no answer came or it was not one of a sipflow server, and QueryError when
    the server refused.
    """

    def __init__(self, url: str, token: str | None = None, idle_s: float = IDLE_S) -> None:
        """Prepare to ask the server at `url` (http or https), which may be silent for `idle_s`; connects nowhere yet.

        Raises ConfigError.
        """
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
        self.note = ""
        self._http = httpx.Client(headers=headers, timeout=httpx.Timeout(idle_s, connect=min(CONNECT_S, idle_s)))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first. Raises BadQuery."""
        asked = {"call_id": criteria.call_id, "user": criteria.user, "status": criteria.status, "after": criteria.after}
        query = {name: value for name, value in asked.items() if value is not None}
        rest = write_search(
            Criteria(terms=criteria.terms, mos_below=criteria.mos_below, loss_above=criteria.loss_above)
        )
        query |= {"q": rest} if rest else {}
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
        yield from self.audio(call_id, "wav", Wanted(leg), window)

    def audio(
        self, call_id: str, form: str, wanted: Wanted, window: Window = ALWAYS, progress: Progress | None = None
    ) -> Iterator[bytes]:
        """Give what is wanted of a call's sound in a form (wav, opus, mp3, flac), in parts.

        Raises NothingToPlay and the like when the first part is asked for, after the server has encoded it all.
        """
        query = {**_bounds(window), **wanted.parameters()}
        address = self._address(f"{_path(call_id)}/media.{form}")
        patience = httpx.Timeout(ENCODE_S, connect=CONNECT_S)
        try:
            with self._http.stream("GET", address, params=query, timeout=patience) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    answer.read()
                    message = _message(answer)
                    raise (Expired if message.startswith("expired:") else NothingToPlay)(message)
                self._check(answer, call_id)
                self.unread = [answer.headers["Sipflow-Faults"]] if "Sipflow-Faults" in answer.headers else []
                self.note = answer.headers.get("Sipflow-Completeness", "")
                total = int(answer.headers.get("Content-Length", 0))
                for part in answer.iter_bytes():
                    yield part
                    if progress is not None:
                        progress(answer.num_bytes_downloaded, total)
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{self.url} did not answer: {_reason(error)}") from None

    def streams(self, call_id: str, window: Window = ALWAYS) -> tuple[StreamReport, list[Fault]]:
        """Give the figures of a call's streams, and what could not be read for them. Raises CallUnknown."""
        answer = self._get(f"{_path(call_id)}/streams", _bounds(window), _Streams, call_id)
        return StreamReport(answer.call_id, answer.streams, answer.completeness, answer.note), answer.faults

    def diagnosis(self, call_id: str) -> Diagnosis:
        """Give what the server found of a call. Raises CallUnknown."""
        return self._get(f"{_path(call_id)}/diagnosis", {}, Diagnosis, call_id)

    def export(
        self, call_id: str, view: str, *, pseudonyms: bool = False, hide_digits: bool = False
    ) -> Iterator[bytes]:
        """Give a file of a call in parts; whether digits are hidden, the server decides. Raises CallUnknown."""
        if hide_digits:
            raise BadQuery("--hide-digits: the server decides that; allowed: with --dir")
        query = {"pseudonyms": "1"} if pseudonyms else {}
        patience = httpx.Timeout(ENCODE_S, connect=CONNECT_S)
        address = self._address(f"{_path(call_id)}/{view}")
        try:
            with self._http.stream("GET", address, params=query, timeout=patience) as answer:
                self._check(answer, call_id)
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{self.url} did not answer: {_reason(error)}") from None

    def assess(self, call_id: str, window: Window = ALWAYS) -> tuple[Assessment, list[Fault]]:
        """Give the quality of a call's streams and the verdict on its media. Raises CallUnknown."""
        answer = self._get(f"{_path(call_id)}/quality", _bounds(window), _Quality, call_id)
        whole = Assessment(answer.call_id, answer.streams, answer.flows, answer.text, answer.findings)
        return whole, answer.faults

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
            case httpx.codes.NOT_FOUND if message.startswith("expired:"):
                raise Expired(message)
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
