"""Plays calls to recorders: plans ahead in one thread, sends from C in others."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec

from sipflow._fast import SENDER_BUDGET
from sipflow.clock import SECOND_US
from sipflow.load.batch import Batch, Batcher
from sipflow.load.call import Call
from sipflow.load.framing import Framing
from sipflow.load.lane import Lane, connect
from sipflow.load.report import Report, report_of
from sipflow.load.route import Route
from sipflow.load.schedule import Schedule

CLIENT_ID = 0x51F10AD0  # of every frame the load harness sends, unless told otherwise

_STRETCH_S = 0.5  # real time planned at once
_TELL_S = 0.1  # between two tellings of progress


class Sending(msgspec.Struct, frozen=True):
    """How calls are sent.

    `speed` is the calls' clock per real time (2 is twice as fast as life), None sends as fast as the socket takes it.
    `single` sends one frame per datagram instead of batches of up to `budget` octets; `offload` lets the kernel cut the
    datagrams (UDP_SEGMENT), which arrive as they would otherwise: batches of one length in a row; single frames of a
    tick go out by length, each stream and each dialog in its order, and so do messages with `sip_only`, in batches that
    padding fills up. A tick is `tick_us` of real time. Calls have one of
    `clients` client ids, from `client_id` on. HEP has no batches: its frames are single.
    """

    speed: float | None = 1.0
    single: bool = False
    offload: bool = True
    sip_only: bool = False
    client_id: int = CLIENT_ID
    clients: int = 1
    framing: Framing = Framing.SF
    budget: int = SENDER_BUDGET
    tick_us: int = 1000


AS_IT_HAPPENS = Sending()


def play(
    calls: Schedule | Iterable[Call],
    dest: str | tuple[str, int] | Route,
    sending: Sending = AS_IT_HAPPENS,
    progress: Callable[[Report, int], None] | None = None,
) -> Report:
    """Send calls, given in order of their start, to the recorder at `dest` (HOST:PORT) or by a route.

    Gives what was sent. Capture times are those of the calls, whenever they are sent. `progress` is told the report so
    far and where the calls' clock stands [us since the epoch], some ten times a second. A schedule is cheaper than its
    calls one by one. Raises ConfigError when a destination is not an address.
    """
    route = _route(dest)
    batcher = Batcher(route, sending.client_id, clients=sending.clients, framing=sending.framing)
    if isinstance(calls, Schedule):
        stretch_us = max(1000, int(_STRETCH_S * SECOND_US * (sending.speed or 1.0)))
        batches = batcher.of_schedule(calls, stretch_us)
    else:
        batches = batcher.of_calls(calls)
    return _Play(route, sending, progress).run(batches)


def _route(dest: str | tuple[str, int] | Route) -> Route:
    if isinstance(dest, Route):
        return dest
    if isinstance(dest, tuple):
        host, port = dest[:2]
        dest = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Route.to(dest)


class _Play:
    """One run: a thread makes batches, every lane gets its part of each and sends in a thread of its own."""

    def __init__(self, route: Route, sending: Sending, progress: Callable[[Report, int], None] | None) -> None:
        self._progress = progress
        self._stop = threading.Event()
        self._scenarios: Counter[str] = Counter()
        self._planning_s = 0.0
        self._failed: Exception | None = None
        self._lanes: list[Lane] = []
        try:
            for number, node in enumerate(route.lanes):
                options = {
                    "speed": sending.speed or 0.0,
                    "single": sending.single or sending.framing is Framing.HEP,
                    "offload": sending.offload,
                    "sip_only": sending.sip_only,
                    "budget": sending.budget,
                    "tick_us": sending.tick_us,
                }
                self._lanes.append(Lane(number, connect(node), options, self._stop))
        except BaseException:
            self._close()
            raise

    def run(self, batches: Iterator[Batch]) -> Report:
        planner = threading.Thread(target=self._plan, args=(batches,), name="sipflow-load-planner", daemon=True)
        threads = [planner, *self._lanes]
        for thread in threads:
            thread.start()
        try:
            while any(lane.is_alive() for lane in self._lanes):
                self._lanes[0].join(_TELL_S)
                if not self._lanes[0].is_alive():
                    time.sleep(_TELL_S / 10)
                self._tell()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._close()
        for failed in (self._failed, *(lane.failed for lane in self._lanes)):
            if failed is not None:
                raise failed
        self._tell()
        return self._report()

    def _tell(self) -> None:
        clocks = [lane.clock_us for lane in self._lanes]
        if self._progress is not None and min(clocks):
            self._progress(self._report(), min(clocks))

    def _report(self) -> Report:
        return report_of([lane.sent for lane in self._lanes], self._scenarios, self._planning_s)

    def _close(self) -> None:
        for lane in self._lanes:
            lane.close()

    def _plan(self, batches: Iterator[Batch]) -> None:
        try:
            for batch in batches:
                self._scenarios += batch.scenarios
                self._planning_s += batch.busy_s
                if not self._offer(batch):
                    return
        except Exception as error:  # noqa: BLE001 - whatever the plan raises is raised again by run()
            self._failed = error
            self._stop.set()
        else:
            self._offer(None)

    def _offer(self, batch: Batch | None) -> bool:
        """Give every lane its part; waits for the slowest. False when there is nothing to be given any more."""
        for number, lane in enumerate(self._lanes):
            while not self._stop.is_set():
                try:
                    lane.ready.put(None if batch is None else (batch, batch.parts[number]), timeout=0.1)
                except queue.Full:
                    continue
                break
            else:
                return False
        return True
