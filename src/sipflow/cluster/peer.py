"""Another node of the cluster, asked like a place of our own."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import eq
from typing import Final, NamedTuple, TypeVar

import msgspec

from sipflow.cluster.connection import CONNECTIONS_MAX, Connection, TooLate
from sipflow.cluster.exchange import (
    CountNote,
    MediaNote,
    OfCall,
    OfCalls,
    OfSearch,
    OfWindow,
    Pulse,
)
from sipflow.cluster.fetched import Fetched
from sipflow.cluster.remote_chunk import Origin, chunks_of
from sipflow.cluster.standing import Standing
from sipflow.cluster.tallied import noted_count
from sipflow.cluster.unchanged import Unchanged
from sipflow.errors import BadQuery, ServerUnreachable, SipflowError, StorageError
from sipflow.node import Node
from sipflow.query.answer import CallPage, Criteria, Flow, MediaParts
from sipflow.query.census import Tallied
from sipflow.query.counting import GroupKey
from sipflow.query.listed import Known
from sipflow.query.registrations import Enrolled
from sipflow.query.share import Share
from sipflow.query.window import Window
from sipflow.thread import NamedThread

T = TypeVar("T")

WATCH_S: Final = 2.0
# What is counted over days takes its time the first time it is asked for; media is read from disks.
LONG: Final = 5.0
# An answer to a short question that took this share of the limit was slow.
SLOW: Final = 0.5
_SHORT: Final = ("flow", "known")
_ALWAYS = Window()


class PeerHealth(NamedTuple):
    """How a node is: `fault` is empty while it answers, `pulse` what it said last, `seen_us` ago on our clock."""

    name: str
    http: str
    fault: str
    pulse: Pulse | None
    seen_s: float | None
    packets_per_second: float


class Peer:
    """Asks one other node, and watches it. Safe to use from several threads.

    Every question raises ServerUnreachable when the node is silent: at once while it is known to be.
    """

    def __init__(self, node: Node, token: str | None, limit_s: float, fetched: Fetched, *, printed: bool) -> None:
        """Prepare to ask a node, which has `limit_s` to answer; what is fetched of its media goes into `fetched`.

        `printed` asks for prints of media, of which other nodes are expected to have copies.
        """
        self.name = node.name
        self.node = node
        self._limit_s = limit_s
        self._printed = printed
        self._connection = Connection(node, node.token or token)
        self._standing = Standing()
        self._flows: Unchanged[Flow, Flow] = Unchanged()
        self._media: Unchanged[MediaNote, MediaParts] = Unchanged()
        self._origin = Origin(node.name, self._contents, fetched)
        # One's own for each node: what waits for a slow one holds up nobody who waits for another.
        self.pool = ThreadPoolExecutor(CONNECTIONS_MAX, f"ask-{node.name}"[:12])
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._pulse: tuple[float, Pulse] | None = None
        self._rate = 0.0
        self._watch = NamedThread(target=self._run, name=f"watch-{node.name}", daemon=True)

    def start(self) -> None:
        """Begin to watch it."""
        self._watch.start()

    def leave(self) -> None:
        """Stop watching; what was asked before may still be answered, and the rest goes with it."""
        self._stopping.set()
        self._wake.set()

    def close(self) -> None:
        """Stop watching and close the connections."""
        self.leave()
        if self._watch.is_alive():
            self._watch.join()
        self.pool.shutdown(cancel_futures=True)
        self._connection.close()

    @property
    def fault(self) -> str:
        """Say why it is not asked; empty when it is."""
        return self._standing.fault

    @property
    def is_tardy(self) -> bool:
        """Tell whether it answers in time, but of late slowly: see Standing."""
        return self._standing.is_tardy

    def late(self) -> None:
        """Note that it did not answer in time, and look at once whether it is there at all."""
        self._standing.missed()
        self._wake.set()

    def health(self) -> PeerHealth:
        """Tell how it is."""
        seen, pulse = self._pulse or (None, None)
        ago_s = None if seen is None else time.monotonic() - seen
        return PeerHealth(self.name, self.node.http, self.fault, pulse, ago_s, 0.0 if self.fault else self._rate)

    # ---- questions ----

    def flow(self, call_id: str, window: Window = _ALWAYS) -> Flow:
        """Give the SIP messages of a call that are there."""
        flow = self._ask("flow", OfCall(call_id, window), Flow)
        return self._flows.of((call_id, window), flow, lambda: flow, eq)

    def media(self, call_id: str, window: Window = _ALWAYS) -> MediaParts:
        """Give the media of a call that is there; its content is fetched when it is asked for."""
        note = self._ask("media", OfCall(call_id, window, self._printed), MediaNote, LONG)
        return self._media.of(
            (call_id, window),
            note,
            lambda: MediaParts(call_id, chunks_of(call_id, note, self._origin), note.faults),
            eq,
        )

    def known(self, call_ids: Sequence[str]) -> Known:
        """Tell what is known there of some calls."""
        return self._ask("known", OfCalls(list(call_ids)), Known)

    def calls(self, criteria: Criteria) -> CallPage:
        """List the calls that are there. Raises BadQuery."""
        return self._ask("calls", OfSearch(criteria), CallPage, 1.0 + (criteria.patience_s or 0.0) / self._limit_s)

    def count(self, window: Window, share: Share | None = None, only: GroupKey | None = None) -> Tallied:
        """Count the calls of a window."""
        return noted_count(self._ask("count", OfWindow(window, share=share, only=only), CountNote, LONG))

    def enrolled(self, window: Window, user: str | None, limit: int, share: Share | None = None) -> Enrolled:
        """List all users that registered."""
        return self._ask("registrations", OfWindow(window, user, limit, share), Enrolled, LONG)

    def _contents(self, call_id: str, window: Window) -> MediaNote:
        try:
            return self._ask("contents", OfCall(call_id, window), MediaNote, LONG)
        except ServerUnreachable as error:
            raise StorageError("fetch", self.name, f"media of a call: {error}") from None

    def _ask(self, kind: str, question: msgspec.Struct, answer: type[T], patience: float = 1.0) -> T:
        fault = self.fault
        if fault:
            raise ServerUnreachable(fault)
        begun_s = time.monotonic()
        try:
            found = self._connection.ask(kind, question, answer, patience * self._limit_s)
        except TooLate:
            self.late()
            raise
        except ServerUnreachable as error:
            self._standing.gone(str(error))
            raise
        except (BadQuery, StorageError):
            self._standing.heard()
            raise
        slow = time.monotonic() - begun_s > SLOW * self._limit_s
        self._standing.heard(slow=slow if kind in _SHORT else None)
        return found

    # ---- the watch ----

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._probe()
            self._wake.wait(WATCH_S)
            self._wake.clear()

    def _probe(self) -> None:
        try:
            pulse = self._connection.pulse(self._limit_s)
        except SipflowError as error:
            self._standing.gone(str(error))
            return
        now_s = time.monotonic()
        if self._pulse is not None and now_s > self._pulse[0]:
            # A recorder that was started anew counts from nothing.
            self._rate = max(0, pulse.packets - self._pulse[1].packets) / (now_s - self._pulse[0])
        self._pulse = now_s, pulse
        self._standing.found()
