"""Everything that a data root answers, as plain values to be compared: what may not change when files do."""

from pathlib import Path
from typing import Any, NamedTuple

from sipflow.export.capture import write_capture
from sipflow.query.answer import CallPage, CallSummary, Criteria, Flow, MediaParts
from sipflow.query.census import Statistics
from sipflow.query.history import History
from sipflow.query.registrations import Registrations
from sipflow.query.search import parse_search
from sipflow.query.window import Window
from sipflow.storage.contents import Contents
from sipflow.storage.layout import find_buckets

SEARCHES = ("", "status:2xx", "-status:200", "from:a*", "text:INVITE", "mos<4.3", "loss>0.1", "ip:10.0.0.0/8")
PAGE = 7


class Answers(NamedTuple):
    """All that can be asked of a root."""

    flows: dict[str, Flow]
    media: dict[str, list[Any]]
    halves: dict[str, tuple[Flow, list[Any]]]
    calls: dict[str, CallSummary]
    captures: dict[str, bytes]
    pages: dict[str, list[CallPage]]
    statistics: Statistics
    registrations: Registrations


def call_ids_of(root: Path) -> list[str]:
    """List all calls of the buckets of a root."""
    found = {one for path in find_buckets(root) for one in Contents(root / path, sealed=True).call_ids()}
    return sorted(found)


def plain(media: MediaParts) -> list[Any]:
    """Give the media of a call with every octet and time of every packet, chunk by chunk; and its faults."""
    chunks = [(chunk.key, chunk.clock_skew, chunk.rows.tobytes(), chunk.data) for chunk in media.chunks]
    return [media.call_id, chunks, media.faults]


def ask_all(root: Path, history: History | None = None) -> Answers:
    """Ask a root everything."""
    opened = history or History.open(root)
    try:
        ids = call_ids_of(root)
        flows = {one: opened.flow(one) for one in ids}
        media = {one: opened.media(one) for one in ids}
        calls = {one: opened.call(one) for one in ids}
        middle = {one: Window(None, (call.first_us + call.last_us) // 2) for one, call in calls.items()}
        return Answers(
            flows=flows,
            media={one: plain(parts) for one, parts in media.items()},
            halves={one: (opened.flow(one, middle[one]), plain(opened.media(one, middle[one]))) for one in ids},
            calls=calls,
            captures={one: b"".join(write_capture(flows[one].messages, media[one].chunks, one)) for one in ids},
            pages={search: _pages(opened, search) for search in SEARCHES},
            statistics=opened.statistics(Window()),
            registrations=opened.registrations(Window()),
        )
    finally:
        if history is None:
            opened.close()


def _pages(history: History, search: str) -> list[CallPage]:
    pages: list[CallPage] = []
    while not pages or pages[-1].next is not None:
        after = pages[-1].next if pages else None
        pages.append(history.calls(parse_search(search, Criteria(limit=PAGE, after=after))))
    return pages
