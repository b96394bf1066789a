"""The history of a data root: sealed buckets, open ones and the live pool, seen as one."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from sipflow.errors import CallUnknown, StorageError
from sipflow.query import expiry
from sipflow.query.answer import CallPage, CallSummary, Criteria, Flow, MediaParts
from sipflow.query.asking import Asking, Places, summary
from sipflow.query.listing import Listing, asks_heads
from sipflow.query.live import ALWAYS, LiveCalls, LivePool
from sipflow.query.parts import OpenPart
from sipflow.query.shelf import PartShelf
from sipflow.query.soundness import Soundness
from sipflow.query.whereabouts import Whereabouts
from sipflow.query.window import Window
from sipflow.storage.catalog import Part
from sipflow.wire.packet import Chunk, Message

T = TypeVar("T")


class History:
    """Answers questions about calls. Safe to ask from several threads, which are answered side by side."""

    def __init__(self, root: Path) -> None:
        """Use `History.open`."""
        self._root = root
        self._live = LivePool(root)
        self._shelf = PartShelf(root)
        self._soundness = Soundness()
        self._whereabouts = Whereabouts(root, self._soundness)

    @classmethod
    def open(cls, root: Path) -> "History":
        """Open a data root for reading. Raises StorageError when it is none."""
        if not root.is_dir():
            raise StorageError(
                "open", root, "no such directory; a data root is made by sipflow-server or sipflow import"
            )
        return cls(root)

    def close(self) -> None:
        """Close every file; no question may be under way."""
        self._shelf.close()
        self._soundness.close()
        self._whereabouts.close()

    @contextmanager
    def _asking(self, live: LiveCalls | None = None) -> Iterator[Asking]:
        places = Places(self._root, self._shelf, self._soundness, self._whereabouts)
        with self._shelf.reading() as reading:
            yield Asking(places, reading, live or self._live)

    def flow(self, call_id: str, window: Window = ALWAYS) -> Flow:
        """Give the SIP messages of a call, by capture time; none when it is unknown. Raises StorageError."""
        # Pool first, buckets second: what is committed in between is then seen twice and told apart by its chunk.
        live = self._live.messages(call_id, window)
        found: list[Message] = []
        committed: set[int] = set()
        with self._asking() as asking:
            parts = {part.path: part for part in asking.parts_with(call_id)}
            seen: list[Part] = []
            for messages, chunks, where, damage in asking.each(
                list(parts.values()), lambda part: _with_damage(part, part.messages, call_id, window)
            ):
                found += messages
                committed |= chunks
                asking.faults += [asking.fault(parts[where], what) for what in damage]
                if messages or damage:
                    seen.append(parts[where])
            if seen or not live:
                asking.deleted_parts(call_id, seen, window)
        found += [message for chunk, message in live if chunk not in committed]
        found.sort(key=lambda message: (message.time_us, message.arrival_us))
        return Flow(call_id, found, list(dict.fromkeys(asking.faults)))

    def media(self, call_id: str, window: Window = ALWAYS) -> MediaParts:
        """Give the media of a call, chunk by chunk; none when it has none. Raises StorageError."""
        live = self._live.chunks(call_id, window)
        found: list[Chunk] = []
        committed: set[int] = set()
        with self._asking() as asking:
            parts = {part.path: part for part in asking.parts_with(call_id)}
            seen: list[Part] = []
            for media, chunks, where, damage in asking.each(
                list(parts.values()), lambda part: _media_in(part, call_id, window)
            ):
                found += media
                committed |= chunks
                asking.faults += [asking.fault_of_media(parts[where], call_id, what) for what in damage]
                if media or damage:
                    seen.append(parts[where])
            if seen or not live:
                asking.deleted_parts(call_id, seen, window)
        found += [chunk for chunk_id, chunk in live if chunk_id not in committed]
        found.sort(key=lambda chunk: int(chunk.rows["time_us"][0]))
        return MediaParts(call_id, found, list(dict.fromkeys(asking.faults)))

    def call(self, call_id: str) -> CallSummary:
        """Sum a call up. Raises CallUnknown, Expired when all of it was deleted, StorageError."""
        live_messages = self._live.messages(call_id, ALWAYS)
        with self._asking() as asking:
            listed = asking.whole_call(call_id, live_messages)
            if listed is None:
                asking.deleted_parts(call_id, [], ALWAYS)
        if listed is None:
            if expiry.have_expired(asking.faults):
                raise expiry.expired(asking.faults)
            if asking.faults:
                raise StorageError("read", self._root, "; ".join(dict.fromkeys(one.what for one in asking.faults)))
            raise CallUnknown(call_id)
        return summary(listed)

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first; a call is listed once, where it began. Raises BadQuery, StorageError."""
        # Closed, because a listing is in a cycle: its roster would stay until the garbage collector finds it.
        with closing(self._live.calls(heads=asks_heads(criteria))) as live, self._asking(live) as asking:
            listing = Listing(asking, criteria, live)
            page = listing.page()
        unreadable = {fault.where for fault in page.faults}
        if not page.calls and listing.parts and unreadable >= {part.path for part in listing.parts}:
            raise StorageError("read", self._root, "; ".join(dict.fromkeys(fault.what for fault in page.faults)))
        return page


def _with_damage(
    part: OpenPart,
    read: Callable[[str, Window, list[str]], tuple[list[T], set[int]]],
    call_id: str,
    window: Window,
) -> tuple[list[T], set[int], str, list[str]]:
    damage: list[str] = []
    found, chunks = read(call_id, window, damage)
    return found, chunks, part.path, damage


def _media_in(part: OpenPart, call_id: str, window: Window) -> tuple[list[Chunk], set[int], str, list[str]]:
    if part.erased_us is None:
        return _with_damage(part, part.chunks, call_id, window)
    listed = part.call(call_id)
    return [], set(), part.path, [""] if listed is not None and listed.rtp_packets else []
