"""Where an archive lies: the settings of `[sipflow.upload]`, as RustPBX writes them and with ours.

What is secret is kept out of every text that is made of these settings.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from sipflow.amount import AGES
from sipflow.errors import ConfigError
from sipflow.given import Given, age, choice, flag, nearest, size, whole

Kind: TypeAlias = Literal["s3", "http"]
Vendor: TypeAlias = Literal["aws", "gcp", "azure", "aliyun", "tencent", "minio", "digitalocean"]

UPLOAD = "upload"
MIB = 1 << 20
HOUR_US = AGES["h"]
MINUTE_US = AGES["m"]


@dataclass(frozen=True)
class Upload:
    """A place for sealed buckets, and how they travel there. Each default says why it is what it is."""

    type: Kind
    vendor: Vendor = "aws"
    bucket: str = ""
    region: str = ""
    # Empty: from the environment, or from the machine's own identity (an instance profile, a managed identity).
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    # Empty: the vendor's own for the region.
    endpoint: str = ""
    # What all names of objects begin with.
    root: str = ""
    # "auto" is what the vendor asks for: Alibaba and Tencent take the bucket in the host name only, MinIO in the path.
    addressing: Literal["auto", "path", "virtual"] = "auto"
    # Empty: the class that the bucket gives its objects by itself.
    storage_class: str = ""
    # Empty: what the bucket does by itself, which at AWS is AES256.
    encryption: Literal["", "aes256", "aws:kms", "aws:kms:dsse"] = ""
    kms_key: str = ""
    url: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    method: Literal["put", "post"] = "put"
    # "auto" believes a checksum that the destination reports, and reads everything back where it reports none.
    verify: Literal["auto", "read", "size"] = "auto"
    # Octets per second; None takes what the line gives.
    bandwidth: int | None = None
    # For one request, that is for one piece of a large file: 8 MiB in a minute is a slow line, less a dead one.
    timeout_secs: int = 60
    connect_timeout_secs: int = 10
    # None: for ever, as with everything that is deleted.
    keep_local: int | None = None
    keep_archive: int | None = None
    # Each call as files of its own when it ends, as RustPBX has it: off, because a bucket holds it already.
    calls: bool = False
    # Of a call: its sound, as RustPBX sends it unless told otherwise, and its messages, which RustPBX sends when told.
    media: bool = True
    signaling: bool = False
    # G.711 is sent as it was captured, in half the octets; or everything as PCM of one rate.
    force_pcm: bool = False
    pcm_sample_rate: int = 16_000
    # A bucket travels packed when somebody packs it within this time [us] after its sealing.
    pack_wait: int = 15 * MINUTE_US
    # So many octets may wait; None: as many as the disk has room for, since what is given up is in no archive.
    queue_limit: int | None = None

    @property
    def where(self) -> str:
        """Name the place in a few words, without anything secret."""
        if self.type == "http":
            return bare_url(self.url)
        scheme = {"gcp": "gs", "azure": "az"}.get(self.vendor, "s3")
        return f"{scheme}://{self.bucket}/{self.root.strip('/')}".rstrip("/")

    @property
    def secrets(self) -> tuple[str, ...]:
        """List what must never be seen: keys, values of headers, and what a URL has for a password."""
        parts = urlsplit(self.url)
        found = [self.access_key, self.secret_key, parts.password, parts.query, *(value for _, value in self.headers)]
        return tuple(one for one in found if one)


def bare_url(url: str) -> str:
    """Write a URL without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host, query="", fragment="").geturl()


_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


NODE_NAME_FORM = "1 to 64 letters, digits, dots, dashes or underscores, e.g. pbx-1"


def is_node_name(name: object) -> bool:
    """Tell whether an archive can have a node by this name, which is a segment of the names of objects."""
    return isinstance(name, str) and bool(_KEY.match(name)) and bool(name.strip("."))


def node_name(item: Given) -> str:
    """Read the name that an archive has a node by. Raises ConfigError."""
    if is_node_name(item.value):
        return str(item.value)
    raise item.wrong(NODE_NAME_FORM)


def upload_from(given: Mapping[str, Given]) -> Upload | None:
    """Read the settings under `upload.`; None when there are none. Raises ConfigError."""
    whole_table = given.get(UPLOAD)
    if whole_table is not None:
        raise whole_table.secretly_wrong("a table [sipflow.upload]")
    items = {name.partition(".")[2]: item for name, item in given.items() if name.startswith(f"{UPLOAD}.")}
    if not items:
        return None
    if "type" not in items:
        raise ConfigError(f"{UPLOAD}.type", "nothing", '"s3" or "http"', next(iter(items.values())).where)
    kind = choice("s3", "http")(items["type"])
    keys = _COMMON | (_S3 if kind == "s3" else _HTTP)
    checked: dict[str, Any] = {}
    for name, item in items.items():
        if name in keys:
            checked[name] = keys[name](item)
        elif name in _S3 or name in _HTTP:
            raise item.secretly_wrong(f'nothing with type = "{kind}"')
        else:
            raise ConfigError(item.key, "an unknown key", nearest(name, list(keys)), item.where)
    for name in ("vendor", "bucket") if kind == "s3" else ("url",):
        if not checked.get(name):
            raise ConfigError(f"{UPLOAD}.{name}", "nothing", f'a value; type = "{kind}" needs it', items["type"].where)
    # The readers return the type of the field they are listed under.
    upload = dataclasses.replace(Upload(type=kind), **checked)  # type: ignore[arg-type]
    _agree(upload, items)
    return upload


def _agree(upload: Upload, items: Mapping[str, Given]) -> None:
    """Refuse settings that are right each for itself and wrong together. Raises ConfigError."""
    if upload.vendor != "gcp" and bool(upload.access_key) != bool(upload.secret_key):
        missing = "secret_key" if upload.access_key else "access_key"
        raise ConfigError(f"{UPLOAD}.{missing}", "nothing", "both keys, or neither for those of the machine", "")
    if upload.kms_key and not upload.encryption.startswith("aws:kms"):
        raise items["kms_key"].wrong('nothing without encryption = "aws:kms"')
    if upload.encryption and upload.vendor != "aws" and upload.vendor not in ("minio", "digitalocean"):
        raise items["encryption"].wrong(f"nothing with vendor {upload.vendor}: its buckets encrypt by themselves")
    if upload.keep_archive is not None and upload.keep_archive < (upload.keep_local or 0):
        raise items["keep_archive"].wrong("as much as keep_local or more: what is archived outlives its local files")
    if upload.vendor in ("aliyun", "tencent", "minio", "digitalocean") and upload.type == "s3" and not upload.endpoint:
        raise ConfigError(f"{UPLOAD}.endpoint", "nothing", f"the URL of {upload.vendor}", items["type"].where)


def _text(item: Given) -> str:
    if isinstance(item.value, str) and item.value.isprintable():
        return item.value.strip()
    raise item.wrong("text in one line")


def _secret(item: Given) -> str:
    # A service account of Google is JSON, which may have several lines.
    if isinstance(item.value, str) and "\0" not in item.value:
        return item.value.strip()
    raise item.secretly_wrong("text; leave it out to use the environment or the machine's own identity")


def _root(item: Given) -> str:
    text = _text(item).strip("/")
    if any(part in ("", ".", "..") for part in text.split("/")) and text:
        raise item.wrong("names between single slashes, none of them . or .., e.g. sipflow/")
    return text


def _url(item: Given) -> str:
    try:
        parts = urlsplit(item.value) if isinstance(item.value, str) else None
        if parts is not None and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return str(item.value).strip()
    except ValueError:
        pass
    raise item.secretly_wrong("a URL, e.g. https://archive.example.com/sipflow")


def _endpoint(item: Given) -> str:
    return _url(item).rstrip("/") if item.value else ""


def _headers(item: Given) -> tuple[tuple[str, str], ...]:
    form = 'a table of names and values, e.g. { Authorization = "Bearer ..." }'
    if not isinstance(item.value, Mapping):
        raise item.secretly_wrong(form)
    for name, value in item.value.items():
        named = item._replace(key=f"{item.key}.{name}", value=value)
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise named.secretly_wrong("a name of letters, digits and dashes (RFC 9110, section 5.1)")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise named.secretly_wrong("a value of printable ASCII characters")
    return tuple((str(name), str(value)) for name, value in item.value.items())


def _bandwidth(item: Given) -> int | None:
    octets = size(item)
    if octets is not None and octets < 10_000:
        raise item.wrong('octets per second, 10KB or more, e.g. 20MB; or "none"')
    return octets


def _wait(item: Given) -> int:
    return age(0, "0m or more")(item) or 0


_Reader: TypeAlias = Callable[[Given], object]
_COMMON: dict[str, _Reader] = {
    "type": choice("s3", "http"),
    "root": _root,
    "verify": choice("auto", "read", "size"),
    "bandwidth": _bandwidth,
    "timeout_secs": whole(1, 3600),
    "connect_timeout_secs": whole(1, 600),
    "keep_local": age(0, "0m or more"),
    "keep_archive": age(HOUR_US, "one hour or more"),
    "calls": flag,
    "media": flag,
    "signaling": flag,
    "force_pcm": flag,
    "pcm_sample_rate": whole(8_000, 48_000),
    "pack_wait": _wait,
    "queue_limit": size,
}
_S3: dict[str, _Reader] = {
    "vendor": choice("aws", "gcp", "azure", "aliyun", "tencent", "minio", "digitalocean"),
    "bucket": _text,
    "region": _text,
    "access_key": _secret,
    "secret_key": _secret,
    "endpoint": _endpoint,
    "addressing": choice("auto", "path", "virtual"),
    "storage_class": _text,
    "encryption": choice("", "aes256", "aws:kms", "aws:kms:dsse"),
    "kms_key": _text,
}
_HTTP: dict[str, _Reader] = {"url": _url, "headers": _headers, "method": choice("put", "post")}
# The keys that one type has and the other has not.
S3_ONLY = frozenset(_S3)
HTTP_ONLY = frozenset(_HTTP)
