"""How far packing is, as the recorder tells it."""

import msgspec


class Packing(msgspec.Struct, frozen=True):
    """How far packing is: parts that are packed, that wait, that stay as they are because something speaks against it.

    `now` is the path of the part at hand, empty for none; `paused` says why it waits; `failures` counts tries that
    failed since the start, `last_error` is the latest.
    """

    packed: int = 0
    waiting: int = 0
    left: int = 0
    now: str = ""
    paused: str = ""
    failures: int = 0
    last_error: str = ""
