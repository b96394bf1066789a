"""Objects on a plain HTTP server: put by PUT or POST under its URL, asked for by HEAD and GET."""

import asyncio
import base64
import binascii
import email.utils
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from sipflow.archive.place import PIECE, Stored
from sipflow.destination import Upload, bare_url
from sipflow.errors import ArchiveDenied, ArchiveError, ObjectMissing
from sipflow.version import __version__

T = TypeVar("T")

_DENIED = (401, 403, 407)
_MISSING = (404, 410)


class HttpObjects:
    """The objects under one URL. Any number of threads.

    What it asks of the server: PUT (or POST) URL/KEY stores a file and answers 2xx, HEAD tells its Content-Length, GET
    gives it back, with Range where it can, DELETE removes it. A server that reports an MD5, as ETag or Content-MD5,
    saves the reading back.

    Every request, and every piece of a large one, has `timeout_secs` altogether: the library's own timeouts begin anew
    with each octet, and a server that answers one octet at a time would hold us for ever. Hence asyncio, which can give
    up; its loop runs on a thread of its own.
    """

    lists = False

    def __init__(self, upload: Upload) -> None:
        """Make the client; asks nothing yet."""
        self.where = upload.where
        self._upload = upload
        self._base = httpx.URL(upload.url)
        self._secrets = upload.secrets
        self._client = httpx.AsyncClient(
            headers={"User-Agent": f"sipflow/{__version__}", **dict(upload.headers)},
            timeout=httpx.Timeout(upload.timeout_secs, connect=upload.connect_timeout_secs),
            # Where a redirect leads is not where the settings say; and it would carry the headers along.
            follow_redirects=False,
        )
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=_turn, args=(self._loop,), name="http-archive", daemon=True).start()
        # Whoever opened it need not know that it has connections, which an object store closes by itself. The end of
        # the process closes them anyway.
        weakref.finalize(self, _close, self._client, self._loop).atexit = False

    @classmethod
    def open(cls, upload: Upload) -> Self:
        """Open the place that settings of type "http" name. Raises ArchiveError."""
        try:
            return cls(upload)
        except (httpx.InvalidURL, ValueError) as error:
            raise ArchiveDenied("", f"{bare_url(upload.url)}: {type(error).__name__}") from None

    def walk(self, prefix: str = "") -> Iterator[Stored]:
        """Refuse: HTTP has no listing. Raises ArchiveError."""
        raise ArchiveError(prefix, f"{self.where}: an HTTP server cannot be asked for a list of what it has")

    def head(self, key: str) -> Stored:
        """Ask for size and mark of an object."""
        answer = self._ask("HEAD", key)
        length = answer.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit():
            raise ArchiveError(key, f"{self.where}: the answer to HEAD has no Content-Length")
        return Stored(key, int(length), _mark(answer.headers))

    def get(self, key: str) -> bytes:
        """Fetch a whole object."""
        return self._ask("GET", key).content

    def stream(self, key: str, octets: int = PIECE) -> Iterator[bytes]:
        """Fetch an object piece by piece."""
        answer = self._run(key, self._in_time(self._client.send(self._request("GET", key), stream=True)))
        try:
            self._check(key, answer)
            pieces = answer.aiter_bytes(octets)
            while piece := self._run(key, self._in_time(anext(pieces, b""))):
                yield piece
        finally:
            self._run(key, answer.aclose())

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Fetch `length` octets from `start` on; a server that knows no ranges sends everything."""
        if length == 0:
            return b""
        answer = self._ask("GET", key, headers={"Range": f"bytes={start}-{start + length - 1}"})
        whole = answer.content
        return whole if answer.status_code == httpx.codes.PARTIAL_CONTENT else whole[start : start + length]

    def get_ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Fetch several stretches, one after the other."""
        return [self.get_range(key, start, length) for start, length in zip(starts, lengths, strict=True)]

    def put(self, key: str, octets: bytes) -> Stored:
        """Put a small object."""
        self._ask(self._upload.method.upper(), key, content=octets)
        return Stored(key, len(octets), None)

    def put_pieces(self, key: str, pieces: Iterable[bytes], octets: int, piece: int = PIECE) -> Stored:  # noqa: ARG002
        """Put a large object as one body that is read as it goes; what `pieces` raises is raised here."""
        # With its length told, so that a server knows a body that was cut from one that ended.
        headers = {"Content-Length": str(octets)}
        self._ask(self._upload.method.upper(), key, content=iter(pieces), headers=headers)
        return Stored(key, octets, None)

    def delete(self, *keys: str) -> None:
        """Delete objects; those that are gone already are well."""
        for key in keys:
            try:
                self._ask("DELETE", key)
            except ObjectMissing:
                continue

    def _url(self, key: str) -> httpx.URL:
        path = "/".join((self._base.path.rstrip("/"), *(one for one in (self._upload.root, key) if one)))
        return self._base.copy_with(raw_path=quote(path, safe="/").encode() + _query(self._base))

    def _ask(
        self, method: str, key: str, *, content: bytes | Iterator[bytes] = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        answer = self._run(key, self._whole(key, method, content, headers or {}))
        self._check(key, answer)
        return answer

    async def _whole(
        self, key: str, method: str, content: bytes | Iterator[bytes], headers: dict[str, str]
    ) -> httpx.Response:
        async with asyncio.timeout(self._upload.timeout_secs) as deadline:
            told = content if isinstance(content, bytes) else self._told(content, deadline)
            answer = await self._client.send(self._request(method, key, told, headers), stream=True)
            try:
                await answer.aread()
            finally:
                await answer.aclose()
        return answer

    async def _told(self, pieces: Iterator[bytes], deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
        # The disk, and a limit of the bandwidth, take the time they take; the network has so much for each piece.
        while piece := await asyncio.to_thread(next, pieces, b""):
            deadline.reschedule(self._loop.time() + self._upload.timeout_secs)
            yield piece
            deadline.reschedule(None)
        deadline.reschedule(self._loop.time() + self._upload.timeout_secs)

    async def _in_time(self, question: Awaitable[T]) -> T:
        async with asyncio.timeout(self._upload.timeout_secs):
            return await question

    def _request(
        self,
        method: str,
        key: str,
        content: bytes | AsyncIterator[bytes] = b"",
        headers: dict[str, str] | None = None,
    ) -> httpx.Request:
        return self._client.build_request(
            method, self._url(key), content=content, headers={"Accept-Encoding": "identity", **(headers or {})}
        )

    def _run(self, key: str, question: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(question, self._loop).result()
        except TimeoutError:
            raise ArchiveError(key, f"{self.where}: no answer in {self._upload.timeout_secs} s") from None
        except httpx.HTTPError as error:
            raise self._failure(key, error) from None

    def _check(self, key: str, answer: httpx.Response) -> None:
        code = answer.status_code
        if answer.is_success:
            return
        if code in _MISSING:
            raise ObjectMissing(key)
        after = answer.headers.get("retry-after", "")
        said = f"{self.where}: {answer.request.method} was answered {code} {answer.reason_phrase}".rstrip()
        if after.isdigit() or email.utils.parsedate_tz(after):
            said += f" (Retry-After: {after})"
        raise (ArchiveDenied if code in _DENIED else ArchiveError)(key, self._scrubbed(said))

    def _failure(self, key: str, error: httpx.HTTPError) -> ArchiveError:
        words = str(error) or {"ReadTimeout": "no answer in time", "WriteTimeout": "it takes nothing more"}.get(
            type(error).__name__, type(error).__name__
        )
        return ArchiveError(key, self._scrubbed(f"{self.where}: {words}"))

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _close(client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
    """Have the connections closed, and the loop ended, without waiting for it.

    This is called wherever garbage happens to be collected, such as on the loop of another of these, or while a module
    is imported that closing needs: to wait there is to wait for ever.
    """
    asyncio.run_coroutine_threadsafe(client.aclose(), loop).add_done_callback(
        lambda _closed: loop.call_soon_threadsafe(loop.stop)
    )


def _query(url: httpx.URL) -> bytes:
    return b"?" + url.query if url.query else b""


def _mark(headers: httpx.Headers) -> str | None:
    """Give the MD5 that a server reports for an object, in hexadecimal; None when it reports none."""
    if "content-md5" in headers:  # RFC 1864
        try:
            return base64.b64decode(headers["content-md5"], validate=True).hex()
        except binascii.Error:
            return None
    etag: str = headers.get("etag", "")
    return None if not etag or etag.startswith("W/") else etag.strip('"')
