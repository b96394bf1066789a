"""One question under way: the parts it reads, what it finds in them and in the pool, and what it could not read."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from sipflow.errors import StorageError
from sipflow.query import expiry
from sipflow.query.answer import CallSummary, Fault
from sipflow.query.listed import Listed, Worst
from sipflow.query.live import ALWAYS, LiveCalls, LivePool, list_live, media_of
from sipflow.query.parts import GONE, OpenPart
from sipflow.query.shelf import PartShelf, Reading
from sipflow.query.soundness import Soundness
from sipflow.query.whereabouts import Whereabouts
from sipflow.query.window import Window
from sipflow.storage.catalog import Part, Revision
from sipflow.storage.layout import DATA, DATABASE
from sipflow.wire.dialog import CallDigest
from sipflow.wire.packet import Message

T = TypeVar("T")
Identity: TypeAlias = tuple[Revision, *tuple[int, ...]]


class Places(NamedTuple):
    """Where answers come from: what all questions to one history share."""

    root: Path
    shelf: PartShelf
    soundness: Soundness
    whereabouts: Whereabouts


class Asking:
    """The places of a history, asked for one answer; `faults` name what could not be read. One thread."""

    def __init__(self, places: Places, reading: Reading, live: LivePool | LiveCalls) -> None:
        """Borrow the parts of a reading for as long as the question lasts; `live` tells of live media."""
        self.live = live
        self._places = places
        self._reading = reading
        self.faults: list[Fault] = []

    def parts_with(self, call_id: str) -> list[Part]:
        """List the parts that may hold a call."""
        return self._places.whereabouts.with_call(call_id, self.faults)

    def parts(self) -> list[Part]:
        """List all parts."""
        return self._places.whereabouts.all(self.faults)

    def ask(self, part: Part, question: Callable[[OpenPart], T]) -> T:
        """Ask one part. Raises StorageError; what its seal shows to be wrong with what it answers is a fault."""
        try:
            return self._reading.ask(part, lambda opened: self._answer(part, opened, question))
        except StorageError:
            now = self._places.whereabouts.now(part)
            if now is None or now.deleted_us is not None or now.evicted_us == part.evicted_us:
                raise
        # Since it was listed its files went to the archive, or came back from there.
        return self._reading.ask(now, lambda opened: self._answer(now, opened, question))

    def expect(self, parts: Sequence[Part]) -> None:
        """Be told which parts are asked next, in this order: what is in the archive is fetched beside the asking."""
        self._reading.expect(parts)

    def index_octets(self, part: Part) -> int:
        """Tell how large the index of a part is; 0 when it cannot be looked at."""
        try:
            return (self._places.root / part.path / DATABASE).stat().st_size
        except OSError:
            return 0

    def recheck(self, part: Part, identity: Hashable) -> None:
        """Add to the faults what was found wrong since with a part that was asked as `OpenPart.identity`."""
        wrong = self._places.soundness.known(identity)
        if wrong and not self._changes(part):
            self.faults.append(_unsound(part.path, wrong))

    def _answer(self, part: Part, opened: OpenPart, question: Callable[[OpenPart], T]) -> T:
        answer = question(opened)
        if opened.sealed:
            wrong = self._places.soundness.wrong(opened.identity, opened.index_octets, opened.damage)
            if wrong and not self._changes(part):
                self.faults.append(_unsound(opened.path, wrong))
        return answer

    def _changes(self, part: Part) -> bool:
        """Tell whether retention is about a part: its index is replaced then, and afterwards its seal."""
        now = self._places.whereabouts.now(part)
        if now is None:
            return False
        return now.revision != part.revision or (now.erased_us is not None and bool(now.rtp_octets))

    def identity(self, part: Part) -> Identity:
        """Name the files of a sealed part as they stand. Raises OSError."""
        directory = self._places.root / part.path
        stats = [(directory / name).stat() for name in (DATABASE, DATA)]
        return part.revision, *(value for one in stats for value in (one.st_ino, one.st_size, one.st_mtime_ns))

    def fault(self, part: Part, what: str) -> Fault:
        """Tell why a part could not be read; it may have expired meanwhile."""
        now = self._places.whereabouts.now(part)
        return expiry.deleted(now) if now is not None and now.deleted_us is not None else Fault(part.path, what)

    def fault_of_media(self, part: Part, call_id: str, what: str) -> Fault:
        """Tell what is wrong with media; what looks like damage may have been erased while it was read."""
        now = self._places.whereabouts.now(part) or part
        if now.deleted_us is None and now.erased_us is not None:
            try:
                listed = self.ask(now, lambda opened: opened.call(call_id))
            except StorageError as error:
                return self.fault(now, str(error))
            return expiry.erased(now.path, now.erased_us, listed.rtp_packets if listed is not None else 0)
        return self.fault(part, what)

    def deleted_parts(self, call_id: str, seen: list[Part], window: Window) -> None:
        """Add the deleted parts that held a call to the faults; `seen` are parts that stand and hold it."""
        near = expiry.just_before(seen)
        parts = self._places.whereabouts.deleted_with(call_id, near, self.faults)
        self.faults += [expiry.deleted(part) for part in parts if expiry.within(part, window)]

    def each(self, parts: list[Part], ask: Callable[[OpenPart], T]) -> list[T]:
        """Ask each part; raises StorageError when none of them can be read, and not all because they have expired."""
        answers = []
        failed = []
        self.expect(parts)
        for part in parts:
            try:
                answers.append(self.ask(part, ask))
            except StorageError as error:
                failed.append(self.fault(part, str(error)))
        self.faults += failed
        if failed and not answers and not expiry.have_expired(failed):
            raise StorageError("read", self._places.root, "; ".join(fault.what for fault in failed))
        return answers

    def whole_call(self, call_id: str, live_messages: list[tuple[int, Message]]) -> Listed | None:
        """Put together what is known of a call, in whatever places."""
        # A chunk may be committed between the two looks and then be counted twice: its packets are told apart by chunk.
        live_chunks = self.live.chunks(call_id, ALWAYS)
        merged: Listed | None = None
        committed: set[int] = set()
        for listed, chunks in self.each(self.parts_with(call_id), lambda part: _call_in(part, call_id)):
            committed |= chunks
            merged = merge(merged, listed)
        fresh = list_live([message for chunk, message in live_messages if chunk not in committed])
        for digest in fresh.values():
            merged = merge(merged, Listed(digest, 0, frozenset()))
        return merge(merged, media_of([chunk for chunk_id, chunk in live_chunks if chunk_id not in committed]))


def _unsound(path: str, wrong: str) -> Fault:
    return Fault(path, f"{wrong}; `sipflow reindex` makes it anew")


def _call_in(part: OpenPart, call_id: str) -> tuple[Listed | None, set[int]]:
    return part.call(call_id), set() if part.sealed else part.chunk_ids(call_id)


def merge(a: Listed | None, b: Listed | None) -> Listed | None:
    """Put together what two places know of one call."""
    if a is None or b is None:
        return a or b
    digest = CallDigest(*(getattr(a.digest, name) for name in CallDigest.__struct_fields__))
    digest.merge(b.digest)
    erased_us = max((one.erased_us for one in (a, b) if one.erased_us is not None), default=None)
    packets, worst = a.rtp_packets + b.rtp_packets, a.worst.merged(b.worst)
    return Listed(digest, packets, a.streams | b.streams, erased_us, worst)


def summary(listed: Listed) -> CallSummary:
    """Write a call as one line."""
    gone = sum(stream[0] == GONE for stream in listed.streams)
    streams = max(gone, len(listed.streams) - gone)
    return line_of(listed.digest, listed.rtp_packets, streams, listed.erased_us, listed.worst)


def line_of(d: CallDigest, rtp_packets: int, rtp_streams: int, erased_us: int | None, worst: Worst) -> CallSummary:
    """Write a call as one line, of a digest, the counts of its media, when that was erased and how bad it was."""
    return CallSummary(
        call_id=d.call_id, first_us=d.first_us, last_us=d.last_us, invite_us=d.invite_us, ring_us=d.ring_us,
        answer_us=d.answer_us, end_us=d.end_us, method=d.method, from_user=d.from_user, to_user=d.to_user,
        from_uri=d.from_uri, to_uri=d.to_uri, user_agent=d.user_agent, src=d.src, dst=d.dst, status=d.status,
        reason=d.reason, state=d.state, sip_messages=d.sip_messages, rtp_packets=rtp_packets,
        rtp_streams=rtp_streams, media_expired_us=erased_us,
        loss_percent=worst.loss_percent, jitter_us=worst.jitter_us, mos=worst.mos, mos_scale=worst.mos_scale,
        one_way=None if worst.one_way is None else bool(worst.one_way),
    )  # fmt: skip
