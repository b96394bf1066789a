"""What has expired: answers name it, so that it is neither unknown nor damaged."""

from collections.abc import Sequence

from sipflow.clock import format_time
from sipflow.errors import Expired
from sipflow.query.answer import Fault
from sipflow.query.window import Window
from sipflow.storage.catalog import Part


def just_before(seen: Sequence[Part]) -> tuple[int, int] | None:
    """Tell where deleted parts of a call need be looked for when the parts in `seen` hold it; None for everywhere.

    A call goes on from one part to the next: what is far from the parts that hold it need not be looked up.
    """
    first_us = min((part.start_us for part in seen), default=None)
    return None if first_us is None else (first_us, first_us)


def deleted(part: Part) -> Fault:
    """Tell that a part was deleted."""
    what = f"expired: {part.path or '.'}, which held packets of this call, was deleted on {_date(part.deleted_us)}"
    return Fault(part.path, what, part.deleted_us)


def erased(path: str, when_us: int | None, packets: int) -> Fault:
    """Tell that the media of a call was erased."""
    what = f"expired: the media of this call in {path or '.'} was erased on {_date(when_us)} ({packets} RTP packets)"
    return Fault(path, what, when_us)


def have_expired(faults: Sequence[Fault]) -> bool:
    """Tell whether everything that is missing has expired."""
    return bool(faults) and all(fault.expired_us is not None for fault in faults)


def expired(faults: Sequence[Fault]) -> Expired:
    """Give the error of a question whose every answer has expired."""
    return Expired("; ".join(dict.fromkeys(fault.what for fault in faults)))


def within(part: Part, window: Window) -> bool:
    """Tell whether a part may hold packets of a window."""
    return (window.start_us is None or part.end_us >= window.start_us) and (
        window.end_us is None or part.start_us <= window.end_us
    )


def _date(when_us: int | None) -> str:
    return f"{format_time(when_us or 0)[:16].replace('T', ' ')} UTC"
