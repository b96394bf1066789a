"""The archive that settings name, opened for the questions to a data root."""

from pathlib import Path

from sipflow.archive.opening import open_place
from sipflow.archive.remote_parts import ArchivedParts
from sipflow.config import Settings
from sipflow.storage.layout import CACHE

_MIB = 1 << 20


def open_remote(root: Path, settings: Settings) -> ArchivedParts | None:
    """Open the archive of a server's settings; None when they name none. Asks it nothing yet. Raises ArchiveError."""
    if settings.upload is None:
        return None
    return ArchivedParts(open_place(settings.upload), root / CACHE, settings.archive_cache_mb * _MIB)
