"""Calls that must not go: a list in the data root, which outlives catalog and server."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from sipflow.errors import StorageError
from sipflow.storage.catalog import Catalog

HOLDS: Final = "holds.json"
_LOCK: Final = ".holds.lock"


class CallHold(msgspec.Struct, frozen=True):
    """A call that is held: since when [us], and why, in the words of whoever held it."""

    call_id: str
    since_us: int
    why: str = ""


def holds(root: Path) -> list[CallHold]:
    """List the held calls, the oldest hold first. Raises StorageError: what cannot be read must not look like none."""
    file = root / HOLDS
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[CallHold])
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError("read", file, error.strerror or str(error)) from None
    except msgspec.MsgspecError as error:
        raise StorageError("read", file, f"it is no list of holds ({error}): nothing is deleted until it is") from None


def hold(root: Path, call_id: str, when_us: int, why: str = "") -> bool:
    """Hold a call; False when it is held already, as it was. Raises StorageError."""
    return _changed(
        root,
        lambda old: old if any(one.call_id == call_id for one in old) else [*old, CallHold(call_id, when_us, why)],
    )


def release(root: Path, call_id: str) -> bool:
    """Let go of a call; False when it is not held. Raises StorageError."""
    return _changed(root, lambda old: [one for one in old if one.call_id != call_id])


def held_parts(catalog: Catalog, held: list[CallHold]) -> dict[int, str]:
    """Name the parts that may hold a held call, with a reason in words for each. Raises StorageError."""
    found: dict[int, str] = {}
    for one in held:
        for part in catalog.parts_with(one.call_id):
            found.setdefault(part.id, "buckets with a held call")
    return found


def _changed(root: Path, change: Callable[[list[CallHold]], list[CallHold]]) -> bool:
    with _locked(root):
        before = holds(root)
        after = change(before)
        if after != before:
            _write(root / HOLDS, msgspec.json.format(msgspec.json.encode(after), indent=2) + b"\n")
    return after != before


def _write(file: Path, octets: bytes) -> None:
    beside = file.with_name(f".{file.name}.new")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as new:
            new.write(octets)
            new.flush()
            os.fsync(new.fileno())
        beside.replace(file)
        directory = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StorageError("write", file, error.strerror or str(error)) from None


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    try:
        file = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError("open", root / _LOCK, error.strerror or str(error)) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
