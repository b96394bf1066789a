"""The history of a data root: sealed buckets, open ones and the live pool, seen as one."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from sipflow.clock import SECOND_US, now_us
from sipflow.errors import CallUnknown, StorageError
from sipflow.query import expiry
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault, Flow, MediaParts
from sipflow.query.asking import Asking, Places, summary
from sipflow.query.census import Census, Statistics, Tallied
from sipflow.query.counting import GroupKey, PartCount
from sipflow.query.descent import Began
from sipflow.query.enumerator import Enumerator
from sipflow.query.extent import Extent, extent_of, is_sound
from sipflow.query.listed import Known, Listed
from sipflow.query.listing import Listing, asks_heads
from sipflow.query.live import ALWAYS, LiveCalls, LivePool
from sipflow.query.part_files import RemoteParts
from sipflow.query.parts import NAMED_AT_ONCE, OpenPart
from sipflow.query.registrations import (
    LATEST_US,
    USERS_MAX,
    Enrolled,
    Registered,
    Registrar,
    Registration,
    Registrations,
    together,
    with_contacts,
)
from sipflow.query.remembered import Remembered
from sipflow.query.selection import contains
from sipflow.query.share import Share
from sipflow.query.shelf import PartShelf
from sipflow.query.soundness import Soundness
from sipflow.query.stored_chunk import HeldContent
from sipflow.query.whereabouts import Whereabouts
from sipflow.query.window import Window
from sipflow.storage.catalog import Part
from sipflow.wire.packet import Chunk, Message

T = TypeVar("T")

_FLOWS_OCTETS: Final = 8 << 20
_REGISTRATIONS_REMEMBERED: Final = 2000
_SETTLED_US: Final = 600 * SECOND_US
# With what of them is held decompressed, some 100 octets each, and whoever makes more of them keeps as much again.
_PACKETS_REMEMBERED: Final = 800_000
_PACKETS_AT_LEAST: Final = 1000  # what a call of a few packets takes all the same
_FEW = 4


class History:
    """Answers questions about calls. Safe to ask from several threads, which are answered side by side."""

    def __init__(self, root: Path, remote: RemoteParts | None = None) -> None:
        """Use `History.open`."""
        self._root = root
        self._remote = remote
        self._live = LivePool(root)
        self._shelf = PartShelf(root, remote=remote)
        self._soundness = Soundness()
        self._whereabouts = Whereabouts(root, self._soundness)
        self._counts = Enumerator(self._asking, PartCount)
        self._census = Census(self._counts)
        self._registered = Enumerator[list[Registered]](self._asking, list)
        self._registrar = Registrar(self._registered)
        self._contacts: Remembered[Registration, Registration] = Remembered(_REGISTRATIONS_REMEMBERED)
        # By how far a call reached, the flows and media that were read last and had no fault. Whoever finds the same
        # object again knows that nothing of the call has changed.
        self._flows: Remembered[Extent, Flow] = Remembered(_FLOWS_OCTETS)
        self._media: Remembered[Extent, MediaParts] = Remembered(_PACKETS_REMEMBERED)

    @classmethod
    def open(cls, root: Path, remote: RemoteParts | None = None) -> "History":
        """Open a data root for reading; `remote`, closed with it, has its evicted parts. Raises StorageError."""
        if not root.is_dir():
            raise StorageError(
                "open", root, "no such directory; a data root is made by sipflow-server or sipflow import"
            )
        return cls(root, remote)

    def close(self) -> None:
        """Close every file; no question may be under way."""
        self._counts.close()
        self._registered.close()
        self._shelf.close()
        self._soundness.close()
        self._whereabouts.close()
        if self._remote is not None:
            self._remote.close()

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
            chunk_ids = Counter(chunk for chunk, _ in live)
            extent = extent_of(asking, parts.values(), chunk_ids.items(), call_id) if window == ALWAYS else None
            known = self._flows.find(extent) if extent is not None else None
            if known is not None and is_sound(asking, parts.values()):
                return known
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
        flow = Flow(call_id, found, list(dict.fromkeys(asking.faults)))
        if extent is not None and not flow.faults:
            self._flows.keep(extent, flow, flow.memory())
        return flow

    def media(self, call_id: str, window: Window = ALWAYS) -> MediaParts:
        """Give the media of a call, chunk by chunk; none when it has none. Raises StorageError."""
        live = self._live.chunks(call_id, window)
        found: list[Chunk] = []
        committed: set[int] = set()
        held = HeldContent()
        with self._asking() as asking:
            parts = {part.path: part for part in asking.parts_with(call_id)}
            chunk_ids = [(chunk_id, chunk.packets) for chunk_id, chunk in live]
            extent = extent_of(asking, parts.values(), chunk_ids, call_id) if window == ALWAYS else None
            known = self._media.find(extent) if extent is not None else None
            if known is not None and is_sound(asking, parts.values()):
                return known
            seen: list[Part] = []
            for media, chunks, where, damage in asking.each(
                list(parts.values()), lambda part: _media_in(part, call_id, window, held)
            ):
                found += media
                committed |= chunks
                asking.faults += [asking.fault_of_media(parts[where], call_id, what) for what in damage]
                if media or damage:
                    seen.append(parts[where])
            if seen or not live:
                asking.deleted_parts(call_id, seen, window)
        found += [chunk for chunk_id, chunk in live if chunk_id not in committed]
        found.sort(key=lambda chunk: chunk.first_us())
        media_parts = MediaParts(call_id, found, list(dict.fromkeys(asking.faults)))
        if extent is not None and not media_parts.faults:
            packets = sum(chunk.packets for chunk in found)
            self._media.keep(extent, media_parts, max(packets, _PACKETS_AT_LEAST))
        return media_parts

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

    def parts(self) -> tuple[list[Part], list[Fault]]:
        """List the parts of the root, and what of its catalog or tree could not be read."""
        with self._asking() as asking:
            return asking.parts(), asking.faults

    def live_calls(self) -> tuple[list[Listed], list[Fault]]:
        """Sum up every call that has SIP in the live pool, from all places; and tell what could not be read."""
        with closing(self._live.calls(heads=False)) as live, self._asking(live) as asking:
            found: list[Listed] = []
            after: Began | None = None
            while some := live.newest(after, NAMED_AT_ONCE):
                for one in some:
                    try:
                        listed = asking.whole_call(one.call_id, live.messages(one.call_id))
                    except StorageError as error:
                        asking.faults.append(Fault("", str(error)))
                        continue
                    found += [] if listed is None else [listed]
                after = Began(some[-1].first_us, some[-1].call_id)
            return found, list(dict.fromkeys(asking.faults))

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first; a call is listed once, where it began. Raises BadQuery, StorageError."""
        # Closed, because a listing is in a cycle: its roster would stay until the garbage collector finds it.
        with closing(self._live.calls(heads=asks_heads(criteria))) as live, self._asking(live) as asking:
            listing = Listing(asking, criteria, live, self._says)
            page = listing.page()
        unreadable = {fault.where for fault in page.faults}
        if not page.calls and listing.parts and unreadable >= {part.path for part in listing.parts}:
            raise StorageError("read", self._root, "; ".join(dict.fromkeys(fault.what for fault in page.faults)))
        return page

    def statistics(self, window: Window, only: GroupKey | None = None) -> Statistics:
        """Count the calls that began in a window, all or those of one group, by outcome. Raises StorageError."""
        with self._asking() as asking:
            return self._census.take(asking, window, only)

    def count_ahead(self, window: Window, share: Share | None = None) -> None:
        """Begin to count what `statistics`, or `count` of a share, will be asked for. Raises StorageError."""
        self.count(window, share)
        self.enrolled(window, None, 0, share)

    def registrations(self, window: Window, user: str | None = None, limit: int = USERS_MAX) -> Registrations:
        """List the users that registered, or tried to, the latest first; contacts of each. Raises StorageError."""
        most = min(limit, USERS_MAX)
        return together([self.enrolled(window, user, most)], most)

    def enrolled(self, window: Window, user: str | None, limit: int, share: Share | None = None) -> Enrolled:
        """List all users that registered, the latest first; contacts of the first `limit`. Raises StorageError."""
        with self._asking() as asking:
            found = self._registrar.list(asking, window, user, share)
        latest, others = found.users[:limit], found.users[limit:]
        filled = [one._replace(line=self._with_contacts(one.line)) for one in latest]
        return msgspec.structs.replace(found, users=[*filled, *others])

    def _with_contacts(self, one: Registration) -> Registration:
        known = self._contacts.find(one)
        if known is None:
            flow = self.flow(one.call_id, Window(one.last_us - LATEST_US, one.last_us))
            known = with_contacts(one, flow)
            # What is older has long been committed, and nothing comes in between.
            if not flow.faults and one.last_us < now_us() - _SETTLED_US:
                self._contacts.keep(one, known)
        return known

    def known(self, call_ids: Sequence[str]) -> Known:
        """Tell what is known here of some calls; one that cannot be read is a fault. Raises StorageError."""
        if len(call_ids) <= _FEW:
            # Looked up one by one; for more of them a roster looks at everything live once.
            with self._asking() as asking:
                return _known(asking, call_ids, lambda call_id: self._live.messages(call_id, ALWAYS))
        with closing(self._live.calls(heads=False)) as live, self._asking(live) as asking:
            return _known(asking, call_ids, live.messages)

    def count(self, window: Window, share: Share | None = None, only: GroupKey | None = None) -> Tallied:
        """Count the calls of a window, of a share and group if given, those aside that others may know.

        Raises StorageError.
        """
        with self._asking() as asking:
            return self._census.count(asking, window, share, only)

    def _says(self, call_id: str, criteria: Criteria) -> bool:
        """Tell whether each text that is wanted is in some message of a call, and none that is not."""
        try:
            texts = [message.text for message in self.flow(call_id).messages]
        except StorageError:
            return False  # what cannot be read is named by the listing
        return all(any(contains(term.pattern, text) for text in texts) != term.negated for term in criteria.texts)


def _known(asking: Asking, call_ids: Sequence[str], live_messages: Callable[[str], list[tuple[int, Message]]]) -> Known:
    found = []
    for call_id in call_ids:
        try:
            listed = asking.whole_call(call_id, live_messages(call_id))
        except StorageError as error:
            asking.faults.append(Fault("", str(error)))
            continue
        if listed is not None:
            found.append(listed)
    return Known(found, list(dict.fromkeys(asking.faults)))


def _with_damage(
    part: OpenPart,
    read: Callable[[str, Window, list[str]], tuple[list[T], set[int]]],
    call_id: str,
    window: Window,
) -> tuple[list[T], set[int], str, list[str]]:
    damage: list[str] = []
    found, chunks = read(call_id, window, damage)
    return found, chunks, part.path, damage


def _media_in(
    part: OpenPart, call_id: str, window: Window, held: HeldContent
) -> tuple[list[Chunk], set[int], str, list[str]]:
    if part.erased_us is None:
        return _with_damage(part, partial(part.chunks, held=held), call_id, window)
    listed = part.call(call_id)
    return [], set(), part.path, [""] if listed is not None and listed.rtp_packets else []
