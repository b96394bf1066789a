"""Objects of an archive: a thin, typed layer over an object store, whose errors are ours and tell no secret."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Self, TypeVar

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, LocalStore, ObjectStore, S3Store

from sipflow.archive.place import PIECE, Stored
from sipflow.destination import Upload
from sipflow.errors import ArchiveDenied, ArchiveError, ObjectMissing
from sipflow.version import __version__

T = TypeVar("T")
Pieces = Iterable[bytes]

# One retry of a request that failed costs less than the whole part; what lasts longer is for whoever plans the parts.
_RETRIES: Final = 2
_RETRY_SECONDS: Final = 20
# Pieces of a large file in flight: together they fill a line of a few hundred megabits with room for its delay.
CONCURRENCY: Final = 4
# Answers of stores that no repetition makes better, whatever their status; those of S3, Azure and versitygw.
_CODE: Final = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_DENIALS: Final = {
    "AccessDenied", "AllAccessDisabled", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId",
    "InvalidBucketName", "InvalidToken", "NoSuchBucket", "PermanentRedirect", "RequestTimeTooSkewed",
    "SignatureDoesNotMatch", "AuthenticationFailed", "AuthorizationFailure", "ContainerNotFound",
    "XAdminUserNotFound",
}  # fmt: skip
_MISSING: Final = {"NoSuchKey", "NoSuchUpload", "BlobNotFound"}
# How often the library tried is of no use to who reads that it failed; what the system said of it is.
_RETRIED: Final = re.compile(r" in [\d.]+\w*s, after \d+ retries, max_retries: \d+, retry_timeout: \S+")
_SYSTEM: Final = re.compile(r'\bOs \{[^}]*\bmessage: "([^"]+)"')
_TOLD_MAX: Final = 400


class Objects:
    """The objects under one root of one store. Any number of threads; nothing here holds the interpreter's lock long.

    Keys are relative to the root. What fails raises ArchiveError: ArchiveDenied when the store does not let us,
    ObjectMissing when there is no such object.
    """

    lists = True

    def __init__(
        self, store: ObjectStore, where: str, upload: Upload | None = None, secrets: Sequence[str] = ()
    ) -> None:
        """Work on an opened store; `where` names it for people, `secrets` are kept out of what errors say."""
        self.where = where
        self._store = store
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._attributes = {"Storage-Class": upload.storage_class} if upload and upload.storage_class else None

    @classmethod
    def open(cls, upload: Upload) -> Self:
        """Open the place that settings of type "s3" name; asks it nothing yet. Raises ArchiveError."""
        try:
            return cls(_store_of(upload), upload.where, upload, upload.secrets)
        except (BaseError, ValueError, OSError) as error:
            raise ArchiveDenied("", f"{upload.where}: {_scrubbed(str(error), upload.secrets)}") from None

    @classmethod
    def local(cls, path: Path) -> Self:
        """Open a directory of this machine as an archive, making it. Raises ArchiveError."""
        try:
            return cls(LocalStore(path, mkdir=True), str(path))
        except (BaseError, ValueError, OSError) as error:
            raise ArchiveError("", str(error)) from None

    def walk(self, prefix: str = "") -> Iterator[Stored]:
        """Walk the objects whose keys begin with the segments of `prefix`, in no order that counts."""
        listing = self._ask(prefix, lambda: obstore.list(self._store, prefix or None, chunk_size=1000))
        while some := self._ask(prefix, lambda: next(listing, None)):
            for one in some:
                yield Stored(one["path"], one["size"], one["e_tag"])

    def below(self, prefix: str = "") -> list[str]:
        """Name the next segments of keys under a prefix, as a directory names its directories."""
        found = self._ask(prefix, lambda: obstore.list_with_delimiter(self._store, prefix or None))
        return sorted(one.rstrip("/") for one in found["common_prefixes"])

    def head(self, key: str) -> Stored:
        """Ask for size and mark of an object."""
        found = self._ask(key, lambda: obstore.head(self._store, key))
        return Stored(found["path"], found["size"], found["e_tag"])

    def get(self, key: str) -> bytes:
        """Fetch a whole object."""
        return self._ask(key, lambda: obstore.get(self._store, key).bytes().to_bytes())

    def stream(self, key: str, octets: int = PIECE) -> Iterator[bytes]:
        """Fetch an object piece by piece, each of about so many octets."""
        pieces = self._ask(key, lambda: iter(obstore.get(self._store, key).stream(min_chunk_size=octets)))
        while (piece := self._ask(key, lambda: next(pieces, None))) is not None:
            yield piece.to_bytes() if hasattr(piece, "to_bytes") else bytes(piece)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Fetch `length` octets of an object from `start` on; fewer at its end."""
        return self._ask(key, lambda: obstore.get_range(self._store, key, start=start, length=length).to_bytes())

    def get_ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Fetch several stretches at once; those that lie close together travel in one request."""

        def fetch() -> list[bytes]:
            found = obstore.get_ranges(self._store, key, starts=starts, lengths=lengths)
            return [one.to_bytes() for one in found]

        return self._ask(key, fetch) if starts else []

    def put(self, key: str, octets: bytes) -> Stored:
        """Put a small object, in one request."""
        found = self._ask(
            key, lambda: obstore.put(self._store, key, octets, attributes=self._attributes, use_multipart=False)
        )
        return Stored(key, len(octets), found["e_tag"])

    def put_pieces(self, key: str, pieces: Pieces, octets: int, piece: int = PIECE) -> Stored:
        """Put a large object of `octets` in pieces of `piece` octets, several at a time; whole or not at all.

        What `pieces` raises is raised here, and nothing is put.
        """
        raised: list[Exception] = []

        def told() -> Iterator[bytes]:
            try:
                yield from pieces
            except Exception as error:
                raised.append(error)
                raise

        try:
            found = self._ask(
                key,
                lambda: obstore.put(
                    self._store, key, told(), attributes=self._attributes, use_multipart=True, chunk_size=piece,
                    max_concurrency=CONCURRENCY,
                ),
            )  # fmt: skip
        except ArchiveError:
            if raised:
                raise raised[0] from None
            raise
        return Stored(key, octets, found["e_tag"])

    def delete(self, *keys: str) -> None:
        """Delete objects; those that are gone already are well."""
        for key in keys:
            try:
                self._ask(key, lambda key=key: obstore.delete(self._store, key))  # type: ignore[misc]
            except ObjectMissing:
                continue

    def _ask(self, key: str, question: Callable[[], T]) -> T:
        try:
            return question()
        except (BaseError, OSError, ValueError) as error:
            raise self._said(key, error) from None

    def _said(self, key: str, error: Exception) -> ArchiveError:
        text = str(error)
        code = _CODE.search(text)
        if code is not None and code[1] in _DENIALS:
            return ArchiveDenied(key, self._told(error))
        # A 404 for another reason, as some servers answer to an unknown key's name, is no missing object.
        if isinstance(error, FileNotFoundError) and (code is None or code[1] in _MISSING):
            return ObjectMissing(key)
        denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
        return (ArchiveDenied if denied else ArchiveError)(key, self._told(error))

    def _told(self, error: Exception) -> str:
        return f"{self.where}: {_scrubbed(_reason(str(error)), self._secrets)[:_TOLD_MAX]}"


def _scrubbed(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    # What a store tells of a request that it refuses may hold its signature and the key's name.
    text = re.sub(r"<(AWSAccessKeyId|StringToSign|SignatureProvided|CanonicalRequest)>.*?</\1>", "", text, flags=re.S)
    return re.sub(r"(Signature|Credential|sig|X-Amz-[A-Za-z-]+)=[^\s&,\"]+", r"\1=***", text)


def _reason(text: str) -> str:
    """Make a sentence of what the library says: the store's own words where it answered, else the innermost cause."""
    code, message = _CODE.search(text), re.search("<Message>(.*?)</Message>", text, re.S)
    if code is not None:
        return f"{code[1]}: {message[1].strip()}" if message is not None else code[1]
    told, _, cause = text.partition("\n\nDebug source")
    told = _RETRIED.sub("", " ".join(told.split()))
    system = _SYSTEM.search(cause)
    return told if system is None else f"{told}: {system[1]}"


def _store_of(upload: Upload) -> ObjectStore:
    client = {
        "timeout": timedelta(seconds=upload.timeout_secs),
        "connect_timeout": timedelta(seconds=upload.connect_timeout_secs),
        "allow_http": upload.endpoint.startswith("http://"),
        "user_agent": f"sipflow/{__version__}",
    }
    retry = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)}
    common = {"prefix": upload.root or None, "client_options": client, "retry_config": retry}
    if upload.vendor == "gcp":
        key = {"service_account_key": upload.secret_key} if upload.secret_key else {}
        return GCSStore(upload.bucket, config=key, **common)  # type: ignore[arg-type]
    if upload.vendor == "azure":
        keys = {"account_name": upload.access_key, "account_key": upload.secret_key} if upload.access_key else {}
        if upload.endpoint:
            keys["endpoint"] = upload.endpoint
        return AzureStore(upload.bucket, config=keys, **common)  # type: ignore[arg-type]
    return S3Store(upload.bucket, config=_s3_config(upload), **common)  # type: ignore[arg-type]


def _s3_config(upload: Upload) -> dict[str, object]:
    config: dict[str, object] = {}
    if upload.access_key:
        config |= {"access_key_id": upload.access_key, "secret_access_key": upload.secret_key}
    if upload.region:
        config["region"] = upload.region
    virtual = is_virtual(upload)
    config["virtual_hosted_style_request"] = virtual
    if upload.endpoint:
        scheme, _, host = upload.endpoint.partition("://")
        named = virtual and not host.startswith(f"{upload.bucket}.")
        config["endpoint"] = f"{scheme}://{upload.bucket}.{host}" if named else upload.endpoint
    if upload.encryption:
        config["server_side_encryption"] = "AES256" if upload.encryption == "aes256" else upload.encryption
    if upload.kms_key:
        config["sse_kms_key_id"] = upload.kms_key
    # Alibaba has no deletion of many objects in one request that this library speaks.
    config["disable_bulk_delete"] = upload.vendor != "aws"
    return config


def is_virtual(upload: Upload) -> bool:
    """Tell whether the bucket stands in the host name of requests, or in their path."""
    if upload.addressing == "auto":
        return upload.vendor in ("aliyun", "tencent") or (
            upload.vendor in ("aws", "digitalocean") and not _is_own(upload)
        )
    return upload.addressing == "virtual"


def _is_own(upload: Upload) -> bool:
    """Tell whether an endpoint is somebody's own, whose host name has no place for buckets."""
    host = upload.endpoint.partition("://")[2]
    return bool(host) and not host.split(":")[0].endswith(
        (".amazonaws.com", ".amazonaws.com.cn", ".digitaloceanspaces.com")
    )
