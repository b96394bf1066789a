"""Where files of single calls go: objects of a store, or forms to an HTTP server, as RustPBX sends them."""

import asyncio
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol
from urllib.parse import quote

import httpx

from sipflow.archive.call_upload_name import CallName, Kind
from sipflow.archive.objects import Objects, is_virtual
from sipflow.archive.place import PIECE, piece_of
from sipflow.destination import Upload, bare_url
from sipflow.errors import ArchiveDenied, ArchiveError
from sipflow.version import __version__

# Names and types of the one part of a form.
_PARTS: Final[dict[Kind, tuple[str, str]]] = {
    "media": ("recording", "audio/wav"), "signaling": ("signaling", "application/jsonl")
}  # fmt: skip
_DENIED: Final = (401, 403)
# An answer names a URL, or is a page that nobody reads.
_ANSWER_OCTETS: Final = 64 << 10


class Target(Protocol):
    """A place that takes files of calls. Any number of threads."""

    def put(self, kind: Kind, name: CallName, file: BinaryIO, octets: int) -> str:
        """Upload an open file of so many octets from where it stands; gives its URL. Raises ArchiveError."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def open_target(upload: Upload) -> Target:
    """Open the place that settings name; asks it nothing yet. Raises ArchiveError."""
    return ObjectTarget(Objects.open(upload), upload) if upload.type == "s3" else FormTarget(upload)


class ObjectTarget:
    """Puts each file under its key."""

    def __init__(self, objects: Objects, upload: Upload) -> None:
        self._objects = objects
        self._upload = upload

    def put(self, kind: Kind, name: CallName, file: BinaryIO, octets: int) -> str:
        """Upload a file; one that is large in pieces, of which a few are in memory."""
        del kind
        if octets <= PIECE:
            self._objects.put(name.key, file.read(octets))
        else:
            self._objects.put_pieces(name.key, _pieces(file), octets, piece_of(octets))
        return url_of(self._upload, name.key)

    def close(self) -> None:
        """Do nothing: the store's client holds no connection open for long."""


class FormTarget:
    """Posts each file as a form of one part (RFC 7578).

    The whole exchange has `timeout_secs`, and as much again for each 8 MiB: the library's own timeouts begin
    anew with each octet, and a server that answers one octet at a time would hold a place for ever.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._where = bare_url(upload.url)
        self._tls = httpx.create_ssl_context()

    def put(self, kind: Kind, name: CallName, file: BinaryIO, octets: int) -> str:
        """Post a file; the server may answer with the URL under which it keeps it."""
        try:
            # Each on a loop of its own: whatever becomes of one, no other waits for it.
            answer, told = asyncio.run(self._post(kind, name, file, octets))
        except TimeoutError:
            raise ArchiveError(name.key, f"{self._where}: no answer in {self._upload.timeout_secs} s") from None
        except httpx.HTTPError as error:
            raise ArchiveError(name.key, f"{self._where}: {self._told(error)}") from None
        if not answer.is_success:
            kind_of_error = ArchiveDenied if answer.status_code in _DENIED else ArchiveError
            raise kind_of_error(name.key, f"{self._where}: answered {answer.status_code} {answer.reason_phrase}")
        text = told.decode("utf-8", "replace").strip()
        return text if kind == "media" and text.startswith("http") and text.isprintable() else self._where

    def close(self) -> None:
        """Do nothing: each exchange closes its connection."""

    async def _post(self, kind: Kind, name: CallName, file: BinaryIO, octets: int) -> tuple[httpx.Response, bytes]:
        part, media_type = _PARTS[kind]
        upload = self._upload
        async with (
            asyncio.timeout(upload.timeout_secs * (1 + octets // PIECE)),
            httpx.AsyncClient(
                headers={"User-Agent": f"sipflow/{__version__}", **dict(upload.headers)},
                timeout=httpx.Timeout(upload.timeout_secs, connect=upload.connect_timeout_secs),
                verify=self._tls,
                # A form that is sent on to somebody else would take its credentials along.
                follow_redirects=False,
            ) as client,
            client.stream("POST", upload.url, files={part: (name.file, file, media_type)}) as answer,
        ):
            return answer, await _start_of(answer)

    def _told(self, error: httpx.HTTPError) -> str:
        text = str(_cause_of(error)) or "no answer"
        for secret in self._upload.secrets:
            text = text.replace(secret, "***")
        return f"{text} ({type(error).__name__})"


def _cause_of(error: BaseException) -> BaseException:
    """Give what was wrong in the first place: what is told above it is that all attempts to connect failed."""
    return error if error.__cause__ is None else _cause_of(error.__cause__)


async def _start_of(answer: httpx.Response) -> bytes:
    told = b""
    async for piece in answer.aiter_bytes():
        told += piece
        if len(told) > _ANSWER_OCTETS:
            break
    return told[:_ANSWER_OCTETS]


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(1 << 20):
        yield piece


def url_of(upload: Upload, key: str) -> str:
    """Write the URL of an object as its vendor has it; without an endpoint, by the vendor's scheme."""
    path = quote("/".join(part for part in (upload.root, key) if part))
    if not upload.endpoint or upload.vendor in ("gcp", "azure"):
        return f"{upload.where.removesuffix(upload.root).rstrip('/')}/{path}"
    scheme, _, host = upload.endpoint.partition("://")
    if not is_virtual(upload):
        return f"{scheme}://{host}/{upload.bucket}/{path}"
    named = host if host.startswith(f"{upload.bucket}.") else f"{upload.bucket}.{host}"
    return f"{scheme}://{named}/{path}"
