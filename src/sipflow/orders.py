"""What the recorder tells its reader, in one line of JSON on standard input."""

import msgspec


class ReaderOrders(msgspec.Struct, frozen=True):
    """Where to read, where to answer and to whom.

    The reader inherits `http_fd`, a listening socket, and `beat_fd`, a pipe that it writes an octet into every second.

    They travel by pipe because a token must not show in a list of processes.
    """

    root: str
    http_fd: int
    http: str
    token: str | None
    trusted: list[str]
    log_level: str
    beat_fd: int = -1
