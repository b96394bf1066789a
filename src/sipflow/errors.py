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
    NothingToPlay             a call without audio we can render (HTTP 404)
  ServerUnreachable           a server named by URL did not answer
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


class NothingToPlay(QueryError):
    """The call has no audio that can be rendered; the text says why."""


class ServerUnreachable(SipflowError):
    """A server named by URL did not answer; the text names the URL and the reason."""
