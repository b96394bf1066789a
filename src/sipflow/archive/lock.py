"""One archiver for a data root at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sipflow.archive.state import DIRECTORY
from sipflow.errors import StorageError
from sipflow.storage.lock import exclusive


@contextmanager
def archive_lock(root: Path) -> Iterator[None]:
    """Hold the right to archive what a root holds. Raises RootBusy when another process has it, StorageError."""
    path = root / DIRECTORY / "lock"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError("make", path.parent, error.strerror or str(error)) from None
    with exclusive(path, root, "a server archives here already; `sipflow archive ls` shows how far"):
        yield
