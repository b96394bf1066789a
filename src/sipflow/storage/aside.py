"""Damaged files out of the way: never deleted, renamed beside themselves with the time it happened."""

from datetime import UTC, datetime
from pathlib import Path

from sipflow.errors import StorageError


def aside_name(path: Path) -> Path:
    """Give the name that a damaged file gets now: NAME.damaged-TIME."""
    return path.with_name(f"{path.name}.damaged-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%fZ')}")


def move_aside(path: Path) -> Path:
    """Rename a file to NAME.damaged-TIME, and its write-ahead log; gives the new path. Raises StorageError."""
    target = aside_name(path)
    try:
        path.rename(target)
        log = Path(f"{path}-wal")
        if log.exists():
            log.rename(f"{target}-wal")
        Path(f"{path}-shm").unlink(missing_ok=True)
    except OSError as error:
        raise StorageError("move aside", path, error.strerror or str(error)) from None
    return target
