"""The history of a data root: sealed buckets, open ones and the live pool, seen as one."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from sipflow.errors import BadQuery, CallUnknown, StorageError
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault, Flow, MediaParts
from sipflow.query.descent import Began, Descent, Place
from sipflow.query.live import ALWAYS, LivePool, Spoken, list_live, media_of
from sipflow.query.parts import Listed, OpenPart, Row
from sipflow.query.shelf import PartShelf, Reading
from sipflow.query.window import Window
from sipflow.storage.catalog import Catalog, Part, found_part
from sipflow.storage.layout import CATALOG, find_buckets
from sipflow.wire.dialog import CallDigest
from sipflow.wire.packet import Chunk, Message

T = TypeVar("T")


class History:
    """Answers questions about calls. Safe to ask from several threads, which are answered side by side."""

    def __init__(self, root: Path) -> None:
        """Use `History.open`."""
        self._root = root
        self._live = LivePool(root)
        self._parts = PartShelf(root)
        self._catalogs: list[Catalog] = []

    @classmethod
    def open(cls, root: Path) -> "History":
        """Open a data root for reading. Raises StorageError when it is none."""
        if not root.is_dir():
            raise StorageError(
                "open", root, "no such directory; a data root is made by sipflow-server or sipflow import"
            )
        history = cls(root)
        with history._catalog():  # one that cannot be read is said at once
            return history

    def close(self) -> None:
        """Close every file; no question may be under way."""
        self._parts.close()
        while self._catalogs:
            self._catalogs.pop().close()

    @contextmanager
    def _catalog(self) -> Iterator[Catalog | None]:
        """Lend a catalog to one question; None while there is none."""
        catalog: Catalog | None = None
        try:
            catalog = self._catalogs.pop()
        except IndexError:
            # A root that a server has just made has no catalog for a moment: that is an empty history, not an error.
            if (self._root / CATALOG).exists():
                catalog = Catalog(self._root, readonly=True)
        try:
            yield catalog
        finally:
            if catalog is not None:
                self._catalogs.append(catalog)

    @contextmanager
    def _asking(self) -> Iterator["_Asking"]:
        with self._catalog() as catalog, self._parts.reading() as reading:
            yield _Asking(self._root, catalog, reading, self._live)

    def flow(self, call_id: str, window: Window = ALWAYS) -> Flow:
        """Give the SIP messages of a call, by capture time; none when it is unknown. Raises StorageError."""
        # Pool first, buckets second: what is committed in between is then seen twice and told apart by its chunk.
        live = self._live.messages(call_id, window)
        found: list[Message] = []
        committed: set[int] = set()
        with self._asking() as asking:
            for messages, chunks, where, damage in asking.each(
                asking.parts_with(call_id), lambda part: _with_damage(part, part.messages, call_id, window)
            ):
                found += messages
                committed |= chunks
                asking.faults += [Fault(where, what) for what in damage]
        found += [message for chunk, message in live if chunk not in committed]
        found.sort(key=lambda message: (message.time_us, message.arrival_us))
        return Flow(call_id, found, asking.faults)

    def media(self, call_id: str, window: Window = ALWAYS) -> MediaParts:
        """Give the media of a call, chunk by chunk; none when it has none. Raises StorageError."""
        live = self._live.chunks(call_id, window)
        found: list[Chunk] = []
        committed: set[int] = set()
        with self._asking() as asking:
            for parts, chunks, where, damage in asking.each(
                asking.parts_with(call_id), lambda part: _with_damage(part, part.chunks, call_id, window)
            ):
                found += parts
                committed |= chunks
                asking.faults += [Fault(where, what) for what in damage]
        found += [chunk for chunk_id, chunk in live if chunk_id not in committed]
        found.sort(key=lambda chunk: int(chunk.rows["time_us"][0]))
        return MediaParts(call_id, found, asking.faults)

    def call(self, call_id: str) -> CallSummary:
        """Sum a call up. Raises CallUnknown, StorageError."""
        live_messages = self._live.messages(call_id, ALWAYS)
        with self._asking() as asking:
            listed = asking.whole_call(call_id, live_messages)
        if listed is None:
            raise CallUnknown(call_id)
        return summary(listed)

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first; a call is listed once, where it began. Raises BadQuery, StorageError."""
        before = _read_cursor(criteria.after)
        spoken = self._live.spoken()
        fresh = (Began(one.first_us, one.call_id) for one in spoken.digests.values() if _fits(one, criteria, before))
        live = sorted(fresh, reverse=True)
        with self._asking() as asking:
            parts = [part for part in asking.parts_for(criteria) if _may_list(part, criteria.window, before)]
            places = [Place(None, lambda after: live if after is None else [])]
            places += [Place(part.t1_us, partial(asking.page, part, criteria, before)) for part in parts]
            chosen = asking.choose(Descent(places), criteria, before, spoken)
        faults = list(dict.fromkeys(asking.faults))
        if not chosen and parts and len({fault.where for fault in faults}) == len(parts):
            raise StorageError("read", self._root, "; ".join(fault.what for fault in faults))
        page = chosen[: criteria.limit]
        more = len(chosen) > criteria.limit
        return CallPage(page, _write_cursor(page[-1]) if more and page else None, faults)


class _Asking:
    """One question under way: the parts it reads, and the `faults` it met."""

    def __init__(self, root: Path, catalog: Catalog | None, reading: Reading, live: LivePool) -> None:
        self._root = root
        self._catalog = catalog
        self._reading = reading
        self._live = live
        self._listed: dict[str, tuple[Part, Row]] = {}
        self.faults: list[Fault] = []

    def parts_with(self, call_id: str) -> list[Part]:
        return self._walk() if self._catalog is None else self._catalog.parts_with(call_id)

    def parts_for(self, criteria: Criteria) -> list[Part]:
        if criteria.call_id is not None:
            return self.parts_with(criteria.call_id)
        return self._walk() if self._catalog is None else self._catalog.parts()

    def _walk(self) -> list[Part]:
        """Find the buckets of a root without a catalog, as when one was copied here."""
        return [found_part(self._root, path) for path in find_buckets(self._root)]

    def each(self, parts: list[Part], ask: Callable[[OpenPart], T]) -> list[T]:
        """Ask each part; raises StorageError when none of them can be read."""
        answers = []
        failed = []
        for part in parts:
            try:
                answers.append(self._reading.ask(part, ask))
            except StorageError as error:
                failed.append(Fault(part.path, str(error)))
        if failed and not answers:
            raise StorageError("read", self._root, "; ".join(fault.what for fault in failed))
        self.faults += failed
        return answers

    def whole_call(self, call_id: str, live_messages: list[tuple[int, Message]]) -> Listed | None:
        """Put together what is known of a call, in whatever places."""
        # A chunk may be committed between the two looks and then be counted twice: its packets are told apart by chunk.
        live_chunks = self._live.chunks(call_id, ALWAYS)
        merged: Listed | None = None
        committed: set[int] = set()
        for listed, chunks in self.each(self.parts_with(call_id), lambda part: _call_in(part, call_id)):
            committed |= chunks
            merged = merge(merged, listed)
        fresh = list_live([message for chunk, message in live_messages if chunk not in committed])
        for digest in fresh.values():
            merged = merge(merged, Listed(digest, 0, frozenset()))
        return merge(merged, media_of([chunk for chunk_id, chunk in live_chunks if chunk_id not in committed]))

    def page(self, part: Part, criteria: Criteria, before: Began | None, after: Began | None) -> list[Began]:
        """Give the next calls that a part lists; none when it cannot be read.

        Before the first of them come those that it knows from a later moment only than the last page ended with.
        """
        begin = before if after is None else after if before is None else min(after, before)
        try:
            rows = self._reading.ask(part, lambda opened: opened.newest(criteria, begin, criteria.limit + 1))
            if after is None and before is not None and criteria.window.start_us is not None:
                rows = self._reading.ask(part, lambda opened: opened.continued(criteria, before)) + rows
        except StorageError as error:
            self.faults.append(Fault(part.path, str(error)))
            return []
        self._listed.update((row.digest.call_id, (part, row)) for row in rows)
        return [Began(row.digest.first_us, row.digest.call_id) for row in rows]

    def choose(self, descent: Descent, criteria: Criteria, before: Began | None, spoken: Spoken) -> list[CallSummary]:
        """Take calls as they come, one more than a page has, until there are no more."""
        chosen: list[CallSummary] = []
        held: dict[str, CallSummary] = {}
        done: set[str] = set()
        while len(chosen) <= criteria.limit and (found := descent.next()) is not None:
            call_id = found.call_id
            if call_id in done:
                continue
            one = held.get(call_id)
            if one is None:
                one = self._summed(call_id, spoken.messages.get(call_id, []))
            if one is None:
                continue
            began = Began(one.first_us, call_id)
            if began < found:
                # A place that holds its later part only: the call is listed where it began.
                if call_id not in held:
                    held[call_id] = one
                    descent.put_back(began)
                continue
            done.add(call_id)
            if before is not None and began >= before:
                continue  # on an earlier page
            if _has_status(one, criteria.status):
                chosen.append(one)
        return chosen

    def _summed(self, call_id: str, live_messages: list[tuple[int, Message]]) -> CallSummary | None:
        at, row = self._listed.get(call_id, (None, None))
        if at is not None and row is not None and at.sealed and not live_messages:
            alone = self._alone(call_id, at, row)
            if alone is not None:
                return alone
        try:
            listed = self.whole_call(call_id, live_messages)
        except StorageError as error:
            # A call that cannot be read must not hide the others of its page.
            self.faults.append(Fault("" if at is None else at.path, str(error)))
            return None
        return None if listed is None else summary(listed)

    def _alone(self, call_id: str, at: Part, row: Row) -> CallSummary | None:
        """Sum up a call from the one row of a sealed part; None when more is known of it, or may be, elsewhere."""
        if row.rtp_packets is None or row.rtp_streams is None or self._live.chunks(call_id, ALWAYS):
            return None
        for part in self.parts_with(call_id):
            if part.path != at.path:
                try:
                    if self._reading.ask(part, lambda opened: opened.knows(call_id)):
                        return None
                except StorageError:
                    return None
        return _line(row.digest, row.rtp_packets, row.rtp_streams)


def _may_list(part: Part, window: Window, before: Began | None) -> bool:
    """Tell whether a part can hold calls of a window that began before a certain one; one without times can."""
    if part.t0_us is None or part.t1_us is None:
        return True
    return (
        (window.start_us is None or part.t1_us >= window.start_us)
        and (window.end_us is None or part.t0_us <= window.end_us)
        # In a window it may know the end of a call that began earlier, in a part outside.
        and (before is None or part.t0_us <= before.first_us or window.start_us is not None)
    )


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
    return Listed(digest, a.rtp_packets + b.rtp_packets, a.streams | b.streams)


def summary(listed: Listed) -> CallSummary:
    """Write a call as one line."""
    return _line(listed.digest, listed.rtp_packets, len(listed.streams))


def _line(d: CallDigest, rtp_packets: int, rtp_streams: int) -> CallSummary:
    return CallSummary(
        call_id=d.call_id, first_us=d.first_us, last_us=d.last_us, invite_us=d.invite_us, ring_us=d.ring_us,
        answer_us=d.answer_us, end_us=d.end_us, method=d.method, from_user=d.from_user, to_user=d.to_user,
        from_uri=d.from_uri, to_uri=d.to_uri, user_agent=d.user_agent, src=d.src, dst=d.dst, status=d.status,
        reason=d.reason, state=d.state, sip_messages=d.sip_messages, rtp_packets=rtp_packets,
        rtp_streams=rtp_streams,
    )  # fmt: skip


def _fits(digest: CallDigest, criteria: Criteria, before: Began | None) -> bool:
    window = criteria.window
    return (
        (before is None or (digest.first_us, digest.call_id) < before or _may_have_begun_before(digest, window))
        and (window.start_us is None or digest.last_us >= window.start_us)
        and (window.end_us is None or digest.first_us <= window.end_us)
        and criteria.call_id in (None, digest.call_id)
        and (criteria.user is None or _matches(criteria.user, digest.from_user, digest.to_user))
    )


def _may_have_begun_before(digest: CallDigest, window: Window) -> bool:
    # Outside a window it is listed by nothing but this, its later part.
    return window.start_us is not None and not digest.begins


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
