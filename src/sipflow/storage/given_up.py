"""Sealed parts that wait for the archive no longer, because too much did: a list in the data root."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from sipflow.errors import StorageError
from sipflow.storage.layout import GIVEN_UP


class GivenUp(msgspec.Struct, frozen=True):
    """What was given up: when [us], by the paths of parts that still stand; and how much ever was, in octets."""

    parts: dict[str, int] = {}
    parts_ever: int = 0
    octets_ever: int = 0

    def more(self, octets: Mapping[str, int], when_us: int) -> "GivenUp":
        """Add parts, with the octets of each by its path."""
        parts = {**self.parts, **dict.fromkeys(octets, when_us)}
        return GivenUp(parts, self.parts_ever + len(octets), self.octets_ever + sum(octets.values()))

    def only(self, paths: Iterable[str]) -> "GivenUp":
        """Forget the parts that are none of `paths`: they are gone, or were archived after all."""
        kept = set(paths)
        return GivenUp({path: at for path, at in self.parts.items() if path in kept}, self.parts_ever, self.octets_ever)


def read_given_up(root: Path) -> GivenUp:
    """Read the list; where it cannot be read nothing is given up, so that all of it waits and stays."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((root / GIVEN_UP).read_bytes(), type=GivenUp)
    return GivenUp()


def write_given_up(root: Path, given_up: GivenUp) -> None:
    """Replace the list. Raises StorageError."""
    file = root / GIVEN_UP
    beside = file.with_suffix(".new")
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
            out.write(msgspec.json.encode(given_up))
            out.flush()
            os.fsync(out.fileno())
        beside.replace(file)
    except OSError as error:
        raise StorageError("write", file, error.strerror or str(error)) from None
