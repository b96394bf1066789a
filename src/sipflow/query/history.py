"""The history of a data root: sealed buckets, open ones and the live pool, seen as one."""

import base64
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from sipflow.errors import BadQuery, CallUnknown, StorageError
from sipflow.query import expiry
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault, Flow, MediaParts
from sipflow.query.descent import Began, Descent, Place
from sipflow.query.live import LivePool, list_live, media_of
from sipflow.query.parts import GONE, Listed, OpenPart
from sipflow.query.soundness import Soundness
from sipflow.query.whereabouts import Whereabouts
from sipflow.query.window import Window
from sipflow.storage.catalog import Part, Revision
from sipflow.storage.layout import CATALOG
from sipflow.wire.dialog import CallDigest
from sipflow.wire.packet import Chunk, Message

T = TypeVar("T")

_OPEN_PARTS = 64
ALWAYS = Window()


class History:
    """Answers questions about calls. Safe to ask from several threads: one question at a time is worked on."""

    def __init__(self, root: Path) -> None:
        """Use `History.open`."""
        self._root = root
        self._lock = threading.Lock()
        self._live = LivePool(root)
        self._parts: OrderedDict[tuple[str, *Revision], OpenPart] = OrderedDict()
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
        """Close every file."""
        for part in self._parts.values():
            part.close()
        self._parts.clear()
        self._soundness.close()
        self._whereabouts.close()

    def _part(self, part: Part) -> OpenPart:
        key = (part.path, *part.revision)
        opened = self._parts.get(key)
        if opened is None:
            opened = OpenPart(self._root, part.path, sealed=part.sealed, erased_us=part.erased_us)
            self._parts[key] = opened
            # A part opened while it grew, or before its media was erased, must not be kept under that name.
            for stale in [one for one in self._parts if one[0] == part.path and one != key]:
                self._parts.pop(stale).close()
            while len(self._parts) > _OPEN_PARTS:
                self._parts.popitem(last=False)[1].close()
        self._parts.move_to_end(key)
        return opened

    @contextmanager
    def _question(self) -> Iterator[None]:
        """Work on one question at a time, then let go of open buckets: one that is held cannot be sealed."""
        with self._lock:
            try:
                yield
            finally:
                for key in [key for key, part in self._parts.items() if not part.sealed]:
                    self._parts.pop(key).close()

    def _each(self, parts: list[Part], ask: Callable[[OpenPart], T], faults: list[Fault]) -> list[T]:
        answers = []
        failed = []
        for part in parts:
            try:
                opened = self._part(part)
                answers.append(ask(opened))
                self._note_damage(part, opened, faults)
            except StorageError as error:
                failed.append(self._fault(part, str(error)))
        faults += failed
        if failed and not answers and not expiry.have_expired(failed):
            raise StorageError("read", self._root, "; ".join(fault.what for fault in failed))
        return answers

    def _note_damage(self, part: Part, opened: OpenPart, faults: list[Fault]) -> None:
        """Name what its seal shows to be wrong with a part: what it answered may be so too."""
        if opened.sealed:
            wrong = self._soundness.wrong(opened.identity, opened.index_octets, opened.damage)
            if wrong and not self._changes(part):
                faults.append(Fault(part.path, f"{wrong}; `sipflow reindex` makes it anew"))

    def _changes(self, part: Part) -> bool:
        """Tell whether retention is about a part: its index is replaced then, and afterwards its seal."""
        now = self._now(part)
        if now is None:
            return False
        return now.revision != part.revision or (now.erased_us is not None and bool(now.rtp_octets))

    def _now(self, part: Part) -> Part | None:
        catalog = self._whereabouts.catalog()
        try:
            return None if catalog is None else catalog.part(part.id)
        except StorageError:
            return None  # the catalog's damage is told by whoever asks it for parts

    def _fault(self, part: Part, what: str) -> Fault:
        """Tell why a part could not be read; it may have expired meanwhile."""
        now = self._now(part)
        return expiry.deleted(now) if now is not None and now.deleted_us is not None else Fault(part.path, what)

    def _deleted_parts(self, call_id: str, seen: list[Part], window: Window) -> list[Fault]:
        try:
            return expiry.deleted_parts(self._whereabouts.catalog(), call_id, seen, window)
        except StorageError as error:
            return [Fault(CATALOG, error.hint)]

    def _parts_for(self, criteria: Criteria, faults: list[Fault]) -> list[Part]:
        if criteria.call_id is not None:
            return self._whereabouts.with_call(criteria.call_id, faults)
        return self._whereabouts.all(faults)

    def flow(self, call_id: str, window: Window = ALWAYS) -> Flow:
        """Give the SIP messages of a call, by capture time; none when it is unknown. Raises StorageError."""
        with self._question():
            # Pool first, buckets second: what is committed in between is then seen twice and told apart by its chunk.
            live = self._live.messages(call_id, window)
            faults: list[Fault] = []
            found: list[Message] = []
            committed: set[int] = set()
            parts = {part.path: part for part in self._whereabouts.with_call(call_id, faults)}
            seen = []
            for messages, chunks, where, damage in self._each(
                list(parts.values()), lambda part: _with_damage(part, part.messages, call_id, window), faults
            ):
                found += messages
                committed |= chunks
                faults += [self._fault(parts[where], what) for what in damage]
                if messages or damage:
                    seen.append(parts[where])
            if seen or not live:
                faults += self._deleted_parts(call_id, seen, window)
        found += [message for chunk, message in live if chunk not in committed]
        found.sort(key=lambda message: (message.time_us, message.arrival_us))
        return Flow(call_id, found, list(dict.fromkeys(faults)))

    def media(self, call_id: str, window: Window = ALWAYS) -> MediaParts:
        """Give the media of a call, chunk by chunk; none when it has none. Raises StorageError."""
        with self._question():
            live = self._live.chunks(call_id, window)
            faults: list[Fault] = []
            found: list[Chunk] = []
            committed: set[int] = set()
            parts = {part.path: part for part in self._whereabouts.with_call(call_id, faults)}
            seen = []
            for media, chunks, where, damage in self._each(
                list(parts.values()), lambda part: self._media_in(part, call_id, window), faults
            ):
                found += media
                committed |= chunks
                faults += [self._fault_of_media(parts[where], call_id, what) for what in damage]
                if media or damage:
                    seen.append(parts[where])
            if seen or not live:
                faults += self._deleted_parts(call_id, seen, window)
        found += [chunk for chunk_id, chunk in live if chunk_id not in committed]
        found.sort(key=lambda chunk: int(chunk.rows["time_us"][0]))
        return MediaParts(call_id, found, list(dict.fromkeys(faults)))

    def _media_in(self, part: OpenPart, call_id: str, window: Window) -> tuple[list[Chunk], set[int], str, list[str]]:
        if part.erased_us is None:
            return _with_damage(part, part.chunks, call_id, window)
        listed = part.call(call_id)
        return [], set(), part.path, [""] if listed is not None and listed.rtp_packets else []

    def _fault_of_media(self, part: Part, call_id: str, what: str) -> Fault:
        """Tell what is wrong with media; what looks like damage may have been erased while it was read."""
        now = self._now(part) or part
        if now.deleted_us is None and now.erased_us is not None:
            listed = self._part(now).call(call_id)
            return expiry.erased(now.path, now.erased_us, listed.rtp_packets if listed is not None else 0)
        return self._fault(part, what)

    def call(self, call_id: str) -> CallSummary:
        """Sum a call up. Raises CallUnknown, StorageError."""
        with self._question():
            faults: list[Fault] = []
            listed = self._whole_call(call_id, faults, self._live.messages(call_id, ALWAYS))
            if listed is None:
                faults += self._deleted_parts(call_id, [], ALWAYS)
        if listed is None:
            if expiry.have_expired(faults):
                raise expiry.expired(faults)
            if faults:
                raise StorageError("read", self._root, "; ".join(dict.fromkeys(fault.what for fault in faults)))
            raise CallUnknown(call_id)
        return summary(listed)

    def _whole_call(self, call_id: str, faults: list[Fault], live_messages: list[tuple[int, Message]]) -> Listed | None:
        # A chunk may be committed between the two looks and then be counted twice: its packets are told apart by chunk.
        live_chunks = self._live.chunks(call_id, ALWAYS)
        merged: Listed | None = None
        committed: set[int] = set()
        parts = self._whereabouts.with_call(call_id, faults)
        for found in self._each(parts, lambda part: _call_in(part, call_id), faults):
            listed, chunks = found
            committed |= chunks
            merged = merge(merged, listed)
        fresh = list_live([message for chunk, message in live_messages if chunk not in committed])
        for digest in fresh.values():
            merged = merge(merged, Listed(digest, 0, frozenset()))
        return merge(merged, media_of([chunk for chunk_id, chunk in live_chunks if chunk_id not in committed]))

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first; a call is listed once, where it began. Raises BadQuery, StorageError."""
        before = _read_cursor(criteria.after)
        with self._question():
            faults: list[Fault] = []
            spoken: dict[str, list[tuple[int, Message]]] = {}
            for chunk, message in self._live.messages(None, ALWAYS):
                spoken.setdefault(message.call_id, []).append((chunk, message))
            fresh = list_live([message for some in spoken.values() for _, message in some])
            live = [Began(one.first_us, one.call_id) for one in fresh.values() if _fits(one, criteria, before)]
            places = [Place(None, lambda after: sorted(live, reverse=True) if after is None else [])]
            parts = self._parts_for(criteria, faults)
            places += [Place(part.t1_us, partial(self._page, part, criteria, before, faults)) for part in parts]
            chosen = self._choose(Descent(places), criteria, spoken, faults)
        unread = {fault.where for fault in faults}
        if not chosen and parts and all(part.path in unread for part in parts):
            raise StorageError("read", self._root, "; ".join(dict.fromkeys(fault.what for fault in faults)))
        page = chosen[: criteria.limit]
        more = len(chosen) > criteria.limit
        return CallPage(page, _write_cursor(page[-1]) if more and page else None, list(dict.fromkeys(faults)))

    def _page(
        self, part: Part, criteria: Criteria, before: Began | None, faults: list[Fault], after: Began | None
    ) -> list[Began]:
        try:
            opened = self._part(part)
            self._note_damage(part, opened, faults)
            return opened.newest(criteria, after or before, criteria.limit + 1)
        except StorageError as error:
            fault = self._fault(part, str(error))
            if fault.expired_us is None:  # what has expired is simply no longer listed
                faults.append(fault)
            return []

    def _choose(
        self,
        descent: Descent,
        criteria: Criteria,
        spoken: dict[str, list[tuple[int, Message]]],
        faults: list[Fault],
    ) -> list[CallSummary]:
        """Take calls as they come, one more than a page has, until there are no more."""
        chosen: list[CallSummary] = []
        held: dict[str, Listed] = {}
        done: set[str] = set()
        while len(chosen) <= criteria.limit and (found := descent.next()) is not None:
            call_id = found.call_id
            if call_id in done:
                continue
            listed = held.get(call_id) or self._whole_call(call_id, faults, spoken.get(call_id, []))
            if listed is None:
                continue
            began = Began(listed.digest.first_us, call_id)
            if began < found:
                # A place that holds its later part only: the call is listed where it began.
                if call_id not in held:
                    held[call_id] = listed
                    descent.put_back(began)
                continue
            done.add(call_id)
            one = summary(listed)
            if _has_status(one, criteria.status):
                chosen.append(one)
        return chosen


def _with_damage(
    part: OpenPart,
    read: Callable[[str, Window, list[str]], tuple[list[T], set[int]]],
    call_id: str,
    window: Window,
) -> tuple[list[T], set[int], str, list[str]]:
    damage: list[str] = []
    found, chunks = read(call_id, window, damage)
    return found, chunks, part.path, damage


def _call_in(part: OpenPart, call_id: str) -> tuple[Listed | None, set[int]]:
    return part.call(call_id), set() if part.sealed else part.chunk_ids(call_id)


def merge(a: Listed | None, b: Listed | None) -> Listed | None:
    """Put together what two places know of one call."""
    if a is None or b is None:
        return a or b
    digest = CallDigest(*(getattr(a.digest, name) for name in CallDigest.__struct_fields__))
    digest.merge(b.digest)
    erased_us = max((one.erased_us for one in (a, b) if one.erased_us is not None), default=None)
    return Listed(digest, a.rtp_packets + b.rtp_packets, a.streams | b.streams, erased_us)


def summary(listed: Listed) -> CallSummary:
    """Write a call as one line."""
    d = listed.digest
    gone = sum(stream[0] == GONE for stream in listed.streams)
    return CallSummary(
        call_id=d.call_id, first_us=d.first_us, last_us=d.last_us, invite_us=d.invite_us, ring_us=d.ring_us,
        answer_us=d.answer_us, end_us=d.end_us, method=d.method, from_user=d.from_user, to_user=d.to_user,
        from_uri=d.from_uri, to_uri=d.to_uri, user_agent=d.user_agent, src=d.src, dst=d.dst, status=d.status,
        reason=d.reason, state=d.state, sip_messages=d.sip_messages, rtp_packets=listed.rtp_packets,
        rtp_streams=max(gone, len(listed.streams) - gone), media_expired_us=listed.erased_us,
    )  # fmt: skip


def _fits(digest: CallDigest, criteria: Criteria, before: Began | None) -> bool:
    window = criteria.window
    return (
        (before is None or (digest.first_us, digest.call_id) < before)
        and (window.start_us is None or digest.last_us >= window.start_us)
        and (window.end_us is None or digest.first_us <= window.end_us)
        and criteria.call_id in (None, digest.call_id)
        and (criteria.user is None or _matches(criteria.user, digest.from_user, digest.to_user))
    )


def _matches(pattern: str, *texts: str) -> bool:
    start, *rest = pattern.split("*")
    for text in texts:
        if not rest:
            if text == start:
                return True
            continue
        at = len(start) if text.startswith(start) else -1
        for piece in rest[:-1]:
            at = text.find(piece, at) + len(piece) if at >= 0 and piece in text[at:] else -1
        if at >= 0 and text.endswith(rest[-1]) and len(text) - len(rest[-1]) >= at:
            return True
    return False


def _has_status(call: CallSummary, wanted: str | None) -> bool:
    if wanted is None or wanted == call.state:
        return True
    if call.status is None:
        return False
    return wanted == str(call.status) or (wanted.endswith("xx") and wanted[0] == str(call.status)[0])


def _write_cursor(call: CallSummary) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((call.first_us, call.call_id))).decode().rstrip("=")


def _read_cursor(text: str | None) -> Began | None:
    if text is None:
        return None
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(octets, type=Began)
    except (ValueError, msgspec.MsgspecError):
        raise BadQuery(f"after: found {text!r}; allowed: the `next` of an earlier answer") from None
