"""POST /upload: a call uploaded when somebody asks, to the destination of the configuration and nowhere else."""

import asyncio
import hmac
import logging
from functools import partial
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.archive.call_upload import CallUploads, Uploaded
from sipflow.archive.call_upload_name import SUFFIXES, CallName, Kind, name_of, plain
from sipflow.archive.call_upload_queue import CallFile
from sipflow.clock import EARLIEST_US, LATEST_US, SECOND_US, now_us
from sipflow.destination import UPLOAD, Upload, upload_from
from sipflow.errors import ConfigError
from sipflow.given import Given
from sipflow.query.answer import CallSummary
from sipflow.query.source import CallSource
from sipflow.web.reply import Refusal, reply

LOG = logging.getLogger(__name__)

BODY_MAX_OCTETS = 2 << 20
# A PBX asks when it has hung up: the answer to its BYE may still be on its way.
_SETTLE_US = SECOND_US
_LOOKS, _LOOK_SECONDS = 6, 0.5
# What makes a destination, by its type.
_PLACE: Final = {
    "http": ("type", "url", "headers"),
    "s3": ("type", "vendor", "bucket", "region", "access_key", "secret_key", "endpoint", "root"),
}
# How a file is made, which is no matter of where it goes.
_FORM = ("signaling", "media", "force_pcm", "pcm_sample_rate")


class Asked(msgspec.Struct, frozen=True):
    """What RustPBX sends: a call, its times in seconds, the destination as the PBX has it, and names for the files."""

    call_id: str
    start: int | float | None = None
    end: int | float | None = None
    upload: dict[str, Any] | None = None
    media_key: str | None = None
    signaling_key: str | None = None
    signaling_file_name: str | None = None


class UploadAnswer(msgspec.Struct, frozen=True):
    """What became of it; `queued` when something has to wait, and `message` says why."""

    media_url: str | None
    media_size: int
    signaling_uploaded: bool
    queued: bool
    message: str


class UploadRoute:
    """The route, over the uploads of a server; without any it refuses."""

    def __init__(self, history: CallSource, uploads: CallUploads | None) -> None:
        self._history = history
        self._uploads = uploads
        self.routes = [Route("/upload", self.upload, methods=["POST"])]

    async def upload(self, request: Request) -> Response:
        """Upload a call; 200 when all of it has arrived, 202 when some of it waits to be tried again."""
        if self._uploads is None:
            return reply(Refusal("no destination is configured: add a table [sipflow.upload]"), 403)
        configured = self._uploads.upload
        try:
            asked = await _read(request)
            _check_place(asked.upload, configured)
            kinds = _kinds(asked.upload, configured)
            call = await self._settled(asked.call_id)
            start_us = call.first_us if asked.start is None else int(asked.start * SECOND_US)
            files = [_file(asked, kind, start_us, configured) for kind in kinds]
        except _Refused as refused:
            return reply(Refusal(str(refused)), refused.code)
        loop = asyncio.get_running_loop()
        sent = [await loop.run_in_executor(None, self._uploads.send_or_wait, file) for file in files]
        return _answer(dict(zip(kinds, sent, strict=True)))

    async def _settled(self, call_id: str) -> CallSummary:
        """Wait a moment for what follows the end of a call. Raises CallUnknown, Expired, StorageError."""
        loop = asyncio.get_running_loop()
        ask = partial(self._history.call, call_id)
        call = await loop.run_in_executor(None, ask)
        for _ in range(_LOOKS):
            if abs(now_us() - call.last_us) > _SETTLE_US:
                break
            await asyncio.sleep(_LOOK_SECONDS)
            call = await loop.run_in_executor(None, ask)
        return call


class _Refused(Exception):
    """A request that is not carried out, and the status code that says so."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


async def _read(request: Request) -> Asked:
    """Read a request, within bounds. Raises _Refused."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refused(415, "Content-Type: allowed: application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_MAX_OCTETS:
            raise _Refused(413, f"the body is longer than {BODY_MAX_OCTETS} octets")
    try:
        asked = msgspec.json.decode(body, type=Asked)
    except msgspec.ValidationError as error:
        raise _Refused(422, f"the body: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Refused(400, f"the body is not JSON: {error}") from None
    if not asked.call_id:
        raise _Refused(422, "call_id: found nothing; allowed: a Call-ID")
    if asked.start is not None and not EARLIEST_US <= asked.start * SECOND_US <= LATEST_US:
        raise _Refused(422, f"start: found {asked.start}; allowed: seconds since 1970, of the years 1 to 9999")
    return asked


def _check_place(given: dict[str, Any] | None, configured: Upload) -> None:
    """Let a destination pass that is that of the configuration, or none at all. Raises _Refused."""
    # What another PBX says of the form of files does not make it another destination.
    place = {name: value for name, value in (given or {}).items() if name not in _FORM and value is not None}
    try:
        asked = upload_from({f"{UPLOAD}.{name}": Given(value, name) for name, value in place.items()})
        differs = next((name for name in _PLACE[configured.type] if asked and not _same(asked, configured, name)), "")
    except ConfigError as error:
        differs = error.key
    if differs:
        LOG.warning("an upload to a destination that is not configured was refused: %s differs", differs)
        found = f"upload: {differs} is not what is configured here"
        raise _Refused(403, f"{found}; allowed: the destination of this server's configuration, or none")


def _same(asked: Upload, configured: Upload, name: str) -> bool:
    # In the same time whatever is right: some of them are secrets.
    theirs, ours = (repr(getattr(one, name)).encode() for one in (asked, configured))
    return hmac.compare_digest(theirs, ours)


def _kinds(given: dict[str, Any] | None, configured: Upload) -> list[Kind]:
    """List what is wanted: as the request says, else as it is configured."""
    said = given or {}
    wanted: dict[Kind, object] = {kind: said.get(kind) for kind in ("media", "signaling")}
    return [kind for kind, value in wanted.items() if (getattr(configured, kind) if value is None else value is True)]


def _file(asked: Asked, kind: Kind, start_us: int, configured: Upload) -> CallFile:
    """Name a file of a call, by the request where that is harmless. Raises _Refused."""
    name = name_of(asked.call_id, start_us, kind)
    key = asked.media_key if kind == "media" else asked.signaling_key
    file = asked.signaling_file_name if kind == "signaling" else None
    if key:
        name = CallName(_own_key(key, kind, configured), name.file)
    if file:
        name = CallName(name.key, plain(file))
    return CallFile(asked.call_id, start_us, kind, *name)


def _own_key(key: str, kind: Kind, configured: Upload) -> str:
    """Take a key that a request names when it can only ever be that of a call's file. Raises _Refused.

    RustPBX takes it as it is, without the root; here it has to lie under the root, and gives what is below.
    """
    root = f"{configured.root}/" if configured.root else ""
    below = key.lstrip("/").removeprefix(root)
    sound = all(part not in ("", ".", "..") for part in below.split("/")) and below.isprintable()
    if not key.lstrip("/").startswith(root) or not below.endswith(SUFFIXES[kind]) or not sound:
        where = f"under {root}" if root else "without empty, . or .. segments"
        raise _Refused(403, f"{kind}_key: found {key!r}; allowed: a key {where} that ends in {SUFFIXES[kind]}")
    return below


def _answer(sent: dict[Kind, Uploaded | str]) -> Response:
    media, signaling = sent.get("media"), sent.get("signaling")
    waiting = [one for one in sent.values() if isinstance(one, str)]
    answer = UploadAnswer(
        media.url if isinstance(media, Uploaded) else None,
        media.octets if isinstance(media, Uploaded) else 0,
        isinstance(signaling, Uploaded) and signaling.url is not None,
        bool(waiting),
        "; ".join(waiting),
    )
    return reply(answer, 202 if waiting else 200)
