"""How far what is stored of a call reaches: an answer about it stays true as long as that does not change.

What is committed never changes, and what grows only grows. So a sealed part is told apart by its files, one that grows
by how many rows it has of the call, the pool by the chunks it holds and how many packets are in each.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from sipflow.errors import StorageError
from sipflow.query.asking import Asking
from sipflow.query.parts import OpenPart
from sipflow.storage.catalog import Part

Extent: TypeAlias = tuple[object, ...]
# Of the newest version of the index; an older one is not written any more.
_VERSION: Final = 2
_ROWS: Final = (
    "SELECT (SELECT count(*) FROM sip_msgs s WHERE s.id >= (c.id << 32) AND s.id < ((c.id + 1) << 32)), count(m.id), "
    "coalesce(max(m.id), 0) FROM eras CROSS JOIN call_meta c ON c.id >> 16 = n AND c.call_id = ? "
    "LEFT JOIN streams t ON t.call = c.id LEFT JOIN media_msgs m ON m.stream = t.id GROUP BY c.id"
)


def extent_of(asking: Asking, parts: Iterable[Part], live: Iterable[tuple[int, int]], call_id: str) -> Extent | None:
    """Tell how far a call reaches; None when that cannot be told, or something of it cannot be read.

    Look before the answer is read: what comes in between makes the next extent another one. `live` are the chunks of
    the pool, as they were before the parts were asked, and the packets of each.
    """
    found: list[object] = [call_id, *sorted(live)]
    try:
        for part in parts:
            told = asking.identity(part) if part.sealed else asking.ask(part, lambda opened: _rows(opened, call_id))
            if told is None:
                return None
            found.append((part.path, told))
    except (StorageError, OSError):
        return None
    return None if asking.faults else tuple(found)


def is_sound(asking: Asking, parts: Iterable[Part]) -> bool:
    """Tell whether nothing is known to be wrong with parts; a seal may have been found broken since they were read."""
    try:
        for part in parts:
            if part.sealed:
                asking.ask(part, lambda _: None)
    except StorageError:
        return False
    return not asking.faults


def _rows(opened: OpenPart, call_id: str) -> tuple[tuple[int, int, int], ...] | None:
    return tuple(opened.select(tuple[int, int, int], _ROWS, [call_id])) if opened.version == _VERSION else None
