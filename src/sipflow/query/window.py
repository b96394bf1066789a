"""The span of time a question covers."""

import msgspec


class Window(msgspec.Struct, frozen=True):
    """A span of time, both bounds inclusive, microseconds since the epoch; None is unbounded."""

    start_us: int | None = None
    end_us: int | None = None
