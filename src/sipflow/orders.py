"""What the recorder tells its reader and its archiver, in one line of JSON on standard input."""

from typing import Any

import msgspec


class ReaderOrders(msgspec.Struct, frozen=True):
    """Where to read, where to answer and to whom; `settings` are all of the server's, as effective.py writes them.

    The reader inherits `http_fd`, a listening socket, and `beat_fd`, a pipe that it writes an octet into every second.

    They travel by pipe because a token must not show in a list of processes. Each further line is a new list of nodes.
    """

    root: str
    http_fd: int
    http: str
    token: str | None
    trusted: list[str]
    log_level: str
    beat_fd: int = -1
    settings: dict[str, Any] = {}


class ArchiverOrders(msgspec.Struct, frozen=True):
    """What is to be archived, and by which settings, as effective.py writes them; keys are among them."""

    root: str
    log_level: str
    settings: dict[str, Any]
