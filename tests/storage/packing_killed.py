"""Packs copies of a root, each killed at another instant: python packing_killed.py ROOT COPIES; prints how many."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sipflow.storage import packed_data, packing
from sipflow.storage.catalog import Catalog


def killing_at(step: int) -> Callable[[], None]:
    """Give what every instant calls: the process ends, by SIGKILL, at that of number `step`."""
    left = iter(range(step))

    def instant() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return instant


def before(instant: Callable[[], None], call: Callable[..., Any]) -> Callable[..., Any]:
    """Let `instant` come before each call."""

    def wrapped(*args: Any, **more: Any) -> Any:
        instant()
        return call(*args, **more)

    return wrapped


def pack(root: Path, step: int) -> None:
    """Pack the only part of a root, to be killed before step number `step` that the disk sees."""
    instant = killing_at(step)
    for owner, name in (
        (os, "fsync"), (os, "fdatasync"), (Path, "rename"), (Path, "rmdir"), (Path, "mkdir"), (Path, "chmod"),
        (Catalog, "packed"), (packing, "make_index"), (packing, "write_packed"), (packed_data._Target, "put"),
    ):  # fmt: skip
        setattr(owner, name, before(instant, getattr(owner, name)))
    with closing(Catalog(root)) as catalog:
        (part,) = catalog.parts()
    packing.pack_part(root, part)


def main(root: Path, copies: Path) -> None:
    """Kill at the first instant, at the second, and so on, until the work is done before."""
    status = -1
    number = 0
    while status != 0:
        copy = Path(shutil.copytree(root, copies / f"{number:03d}"))
        child = os.fork()
        if child == 0:
            pack(copy, number)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        number += 1
    sys.stdout.write(f"{number}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
