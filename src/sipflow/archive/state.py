"""What the archiver says of itself: a file that outlives it, replaced whole."""

import contextlib
import os
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from sipflow.errors import StorageError

DIRECTORY: Final = ".archive"
_STATE: Final = "state.json"
_SCRATCH: Final = "scratch"


class Lag(StrEnum):
    """Whether parts wait longer than they should though nothing fails; `CATCHING_UP` when fewer octets do than did."""

    NONE = ""
    FALLING_BEHIND = "falling behind"
    CATCHING_UP = "catching up"


class ArchiveState(msgspec.Struct, frozen=True):
    """The archiver at one moment; times in microseconds since the epoch, sizes in octets.

    `parts`, `octets` and `oldest_us` are of what is not archived yet; the first of it waits since `waiting_us`.
    `archived_parts` and `archived_octets` were archived since `started_us`, and `failures` attempts failed. `error`
    says in words why the last attempt failed, empty once one succeeded; `next_us` when the next one is made. `given_up`
    names parts that stand here and go to no archive because too much waited; `given_up_parts` of `given_up_octets` ever
    did.
    """

    where: str
    pid: int = 0
    started_us: int = 0
    updated_us: int = 0
    parts: int = 0
    octets: int = 0
    oldest_us: int | None = None
    sending: str = ""
    sent_octets: int = 0
    archived_parts: int = 0
    archived_octets: int = 0
    archived_us: int | None = None
    failures: int = 0
    error: str = ""
    failed_us: int | None = None
    next_us: int | None = None
    refused: list[str] = []
    waiting_us: int | None = None
    lag: Lag = Lag.NONE
    given_up: list[str] = []
    given_up_parts: int = 0
    given_up_octets: int = 0


def scratch_of(root: Path) -> Path:
    """Name the directory for files in the making."""
    return root / DIRECTORY / _SCRATCH


def write_state(root: Path, state: ArchiveState) -> None:
    """Replace the file. Raises StorageError."""
    directory = root / DIRECTORY
    beside = directory / f"{_STATE}.new"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(state))
        beside.replace(directory / _STATE)
    except OSError as error:
        raise StorageError("write", directory / _STATE, error.strerror or str(error)) from None


def read_state(root: Path) -> ArchiveState | None:
    """Read the file; None when no archiver ever ran here, or it cannot be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((root / DIRECTORY / _STATE).read_bytes(), type=ArchiveState)
    return None
