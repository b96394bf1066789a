"""Uploads in pieces that were begun and never finished: found and aborted, for their pieces are paid for."""

import hashlib
import hmac
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import httpx

from sipflow.archive.objects import is_virtual
from sipflow.destination import Upload
from sipflow.errors import ArchiveError, ObjectMissing

# Vendors whose stores speak S3; those of Google and Azure drop what nobody finished by themselves, after a week.
_SPEAK_S3 = ("aws", "aliyun", "tencent", "minio", "digitalocean")
_EMPTY = hashlib.sha256(b"").hexdigest()
_PAGES_MAX = 100


def abort_uploads(upload: Upload, node: str) -> int:
    """Abort all unfinished uploads of a node; gives how many. None may be under way. Raises ArchiveError.

    The object library has no such request. With the machine's own identity there are no keys to sign one with; then,
    and with other stores, nothing is done: docs/ARCHIVE.md names the lifecycle rule that does it.
    """
    signer = _signer_of(upload)
    if upload.type != "s3" or upload.vendor not in _SPEAK_S3 or signer is None:
        return 0
    prefix = f"{upload.root}/{node}/" if upload.root else f"{node}/"
    count = 0
    with httpx.Client(timeout=httpx.Timeout(upload.timeout_secs, connect=upload.connect_timeout_secs)) as client:
        for key, upload_id in _unfinished(client, signer, prefix):
            with suppress(ObjectMissing):  # finished or aborted after all
                signer.ask(client, "DELETE", key, {"uploadId": upload_id})
                count += 1
    return count


def _unfinished(client: httpx.Client, signer: "_Signer", prefix: str) -> Iterator[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    after: dict[str, str] = {}
    for _ in range(_PAGES_MAX):
        answer = signer.ask(client, "GET", "", {"uploads": "", "prefix": prefix, **after})
        try:
            page = ElementTree.fromstring(answer.content)  # noqa: S314 - of our own store
        except ElementTree.ParseError as error:
            raise ArchiveError("", f"the list of unfinished uploads is none: {error}") from None
        texts = {
            name: page.findtext(f"{{*}}{name}", "") for name in ("IsTruncated", "NextKeyMarker", "NextUploadIdMarker")
        }
        found += [(one.findtext("{*}Key", ""), one.findtext("{*}UploadId", "")) for one in page.iterfind("{*}Upload")]
        if texts["IsTruncated"] != "true":
            break
        after = {"key-marker": texts["NextKeyMarker"], "upload-id-marker": texts["NextUploadIdMarker"]}
    yield from found


class _Signer:
    """Signs requests with Signature Version 4 (AWS General Reference, "Create a signed request")."""

    def __init__(self, upload: Upload, access_key: str, secret_key: str, token: str) -> None:
        self._where = upload.where
        self._keys = access_key, secret_key, token
        self._region = (
            upload.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
        )
        endpoint = upload.endpoint or f"https://s3.{self._region}.amazonaws.com"
        scheme, _, host = endpoint.partition("://")
        if is_virtual(upload):
            host = host if host.startswith(f"{upload.bucket}.") else f"{upload.bucket}.{host}"
            self._path = "/"
        else:
            self._path = f"/{upload.bucket}/"
        self._host = host.partition("/")[0]
        self._base = f"{scheme}://{self._host}"

    def ask(self, client: httpx.Client, method: str, key: str, query: dict[str, str]) -> httpx.Response:
        """Make a request without a body. Raises ArchiveError, for anything but a 2xx."""
        path = quote(self._path + key, safe="/-_.~")
        words = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
        try:
            answer = client.request(method, f"{self._base}{path}?{words}", headers=self._signed(method, path, words))
        except httpx.HTTPError as error:
            raise ArchiveError(key, f"{self._where}: {error or type(error).__name__}") from None
        if not answer.is_success:
            code = re.search(r"<Code>(\w+)</Code>", answer.text)
            if code is not None and code[1] == "NoSuchUpload":
                raise ObjectMissing(key)
            raise ArchiveError(key, f"{self._where}: {code[1] if code else answer.status_code}")
        return answer

    def _signed(self, method: str, path: str, query: str) -> dict[str, str]:
        access_key, secret_key, token = self._keys
        moment = datetime.now(UTC)
        day, when = moment.strftime("%Y%m%d"), moment.strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": self._host, "x-amz-content-sha256": _EMPTY, "x-amz-date": when}
        if token:
            headers["x-amz-security-token"] = token
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{_EMPTY}"
        scope = f"{day}/{self._region}/s3/aws4_request"
        signed = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = f"AWS4{secret_key}".encode()
        for part in (day, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, signed.encode(), "sha256").hex()
        del headers["host"]
        return {
            **headers,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}",
        }


def _signer_of(upload: Upload) -> _Signer | None:
    if upload.access_key:
        return _Signer(upload, upload.access_key, upload.secret_key, "")
    access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if access_key and secret_key:
        return _Signer(upload, access_key, secret_key, os.environ.get("AWS_SESSION_TOKEN", ""))
    return None
