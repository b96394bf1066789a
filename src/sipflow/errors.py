"""Every error of sipflow.

SipflowError
  ConfigError                 a setting: which key, what was found, what is allowed
  WireError(ValueError)       bytes that are not what they claim: .reason, .offset
  StorageError                a file or directory: .op, .path, .hint
    RootBusy                  another recorder owns the data root
    UnfitBucket               a bucket that must not be written any further
    DamagedBlock              a block that fails its checks: .offset
    DamagedSeal               a data.raw that does not end in the seal of its bucket
    NewerFormat               written by a later version of sipflow
    BadCapture                a capture file that cannot be read from its first octet: .found, .allowed
  QueryError                  a question that cannot be answered
    BadQuery                  the question itself is wrong (HTTP 400)
    CallUnknown               no such call (HTTP 404)
    Expired                   it was recorded, and retention has removed it (HTTP 404)
    NothingToPlay             a call without audio we can render (HTTP 404)
    NoEncoder                 a form of audio that this installation cannot write (HTTP 501)
  Undecodable                 audio that cannot be decoded here: .reason
    DecodingFault             the process that decoded it died or hung: .packets
  ArchiveError                an object of an archive: .key, .reason
    ArchiveDenied             the destination does not let us: keys, rights, a bucket that is not there
    ObjectMissing             there is no such object
    ObjectDamaged             it is not what was put there
  ServerUnreachable           a server named by URL did not answer
  MissingExtra                a library that this installation does not have: .library, .extra
"""

from pathlib import Path


class SipflowError(Exception):
    """Anything that sipflow raises on purpose; the text is one sentence fit to show a user."""


class ConfigError(SipflowError):
    """A setting that cannot be used.

    `key` is its name as written by the user, `found` what stood there, `allowed` what may stand there, `where` the
    file and line when it came from a file.
    """

    def __init__(self, key: str, found: object, allowed: str, where: str = "") -> None:
        super().__init__(f"{where + ': ' if where else ''}{key}: found {found!r}; allowed: {allowed}")
        self.key = key
        self.where = where
        self.found = found
        self.allowed = allowed


class WireError(SipflowError, ValueError):
    """Bytes that do not follow their format; `reason` is a stable word, `offset` counts octets."""

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(f"{reason} at octet {offset}")
        self.reason = reason
        self.offset = offset


class StorageError(SipflowError):
    """A file or directory that could not be read or written; `hint` says what to do about it."""

    def __init__(self, op: str, path: Path | str, hint: str) -> None:
        super().__init__(f"{op} {path}: {hint}")
        self.op = op
        self.path = Path(path)
        self.hint = hint


class RootBusy(StorageError):
    """Another recorder owns this data root."""


class UnfitBucket(StorageError):
    """A bucket that must not be written any further: damaged, or of an older format; a new part takes its place."""


class DamagedBlock(StorageError):
    """A block whose header, bounds or checksum is wrong; `offset` is its place in data.raw [octets]."""

    def __init__(self, path: Path | str, offset: int, what: str) -> None:
        super().__init__("read", path, f"block at octet {offset}: {what}")
        self.offset = offset


class DamagedSeal(StorageError):
    """A data.raw that does not end in the seal of its bucket: cut off, damaged, or never sealed."""

    def __init__(self, path: Path | str, what: str) -> None:
        super().__init__("read", path, what)


class CannotPack(StorageError):
    """A part that must stay as the recorder wrote it; `hint` says why."""


class PartBusy(StorageError):
    """A part that another process is about, or has changed meanwhile; it can be tried again."""


class NewerFormat(StorageError):
    """Written by a later version of sipflow than this one."""


class BadCapture(StorageError):
    """A file that is no capture file at all; `found` is what stands at `offset` [octets], `allowed` what may."""

    def __init__(self, path: Path | str, found: str, allowed: str, offset: int = 0) -> None:
        super().__init__("read", path, f"at octet {offset}: found {found}; allowed: {allowed}")
        self.found = found
        self.allowed = allowed
        self.offset = offset


class QueryError(SipflowError):
    """A question that cannot be answered."""


class BadQuery(QueryError):
    """The question itself is wrong; the text says what is accepted."""


class CallUnknown(QueryError):
    """No stored or live packet carries this Call-ID."""

    def __init__(self, call_id: str) -> None:
        super().__init__(f"no packet of call {call_id!r} is stored here")
        self.call_id = call_id


class Expired(QueryError):
    """What was asked for was recorded here and has expired since; the text begins with "expired:" and says when."""


class NothingToPlay(QueryError):
    """The call has no audio that can be rendered; the text says why."""


class NoEncoder(QueryError):
    """A form of audio whose encoder is not installed; the text names the forms that are."""


class Undecodable(SipflowError):
    """Audio that cannot be decoded here; `reason` names the codec and says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DecodingFault(Undecodable):
    """The process that decoded these packets died or hung; `packets` is how many are silent for it."""

    def __init__(self, codec: str, packets: int, what: str) -> None:
        super().__init__(f"{codec}: {what} while it decoded {packets} packets; they are silent")
        self.packets = packets


class ServerUnreachable(SipflowError):
    """A server named by URL did not answer; the text names the URL and the reason."""


class ArchiveError(SipflowError):
    """Something that an archive did not take or give; `key` names the object, `reason` says why, never a secret."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"archive: {key}: {reason}" if key else f"archive: {reason}")
        self.key = key
        self.reason = reason


class ArchiveDenied(ArchiveError):
    """The destination does not let us: wrong keys, missing rights, a bucket that is not there, a clock that is off."""


class ObjectMissing(ArchiveError):
    """The archive has no such object."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "there is no such object")


class ObjectDamaged(ArchiveError):
    """An object is not what was put there: another size, another checksum, or no manifest of this form."""


class MissingExtra(SipflowError):
    """A library of an optional extra that is not installed; the text says how to install it."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed; pip install 'sipflow[{extra}]' brings it")
        self.library = library
        self.extra = extra
