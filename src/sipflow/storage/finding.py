"""What is wrong with a data root, one thing at a time."""

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One damage: which file (relative to the root), where in it [octets], what is wrong, and what to do about it.

    When packets are lost, `since_us` and `until_us` are their earliest and latest time and `calls` names some of
    the `call_count` calls they belong to, as far as the index still knows.
    """

    file: str
    what: str
    remedy: str
    offset: int | None = None
    length: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    calls: list[str] = []
    call_count: int = 0
