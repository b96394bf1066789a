"""The place that settings name, opened."""

import re
import socket

from sipflow.archive.http_objects import HttpObjects
from sipflow.archive.objects import Objects
from sipflow.archive.place import Place
from sipflow.destination import Upload


def open_place(upload: Upload) -> Place:
    """Open what settings name; asks it nothing yet. Raises ArchiveError."""
    return HttpObjects.open(upload) if upload.type == "http" else Objects.open(upload)


def node_of(configured: str | None) -> str:
    """Give the name of this node in an archive: the configured one, else that of the machine, fit for a key."""
    # With an archive a configured name is fit as it is: config.py refuses others.
    return re.sub(r"[^A-Za-z0-9._-]+", "-", configured or socket.gethostname()).strip(".-")[:64] or "node"
