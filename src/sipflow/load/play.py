"""Plays calls to a recorder: plans ahead in one thread, sends from C in another."""

import queue
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec

from sipflow._fast import SENDER_BUDGET, Sender
from sipflow.clock import SECOND_US
from sipflow.errors import ConfigError
from sipflow.load.batch import Batch, Batcher
from sipflow.load.call import Call
from sipflow.load.report import Report, report_of
from sipflow.load.schedule import Schedule

CLIENT_ID = 0x51F10AD0  # of every frame the load harness sends, unless told otherwise

_STRETCH_S = 0.5  # real time planned at once
_AHEAD = 4  # batches made ready before they are due
_SLICE_S = 0.1  # real time sent at a stretch; new calls are taken in between
_LEAD_S = 2.0  # real time by which calls are handed over before they are due
_SEND_BUFFER = 4 << 20


class Sending(msgspec.Struct, frozen=True):
    """How calls are sent.

    `speed` is the calls' clock per real time (2 is twice as fast as life), None sends as fast as the socket takes it.
    `single` sends one frame per datagram instead of batches of up to `budget` octets; `offload` lets the kernel cut the
    datagrams (UDP_SEGMENT): batches are padded to the budget; single frames are left as they are, but those of a tick
    go out by length, each stream and each dialog in its order. A tick is `tick_us` of real time.
    """

    speed: float | None = 1.0
    single: bool = False
    offload: bool = False
    sip_only: bool = False
    client_id: int = CLIENT_ID
    budget: int = SENDER_BUDGET
    tick_us: int = 1000


AS_IT_HAPPENS = Sending()


def play(
    calls: Schedule | Iterable[Call],
    dest: str | tuple[str, int],
    sending: Sending = AS_IT_HAPPENS,
    progress: Callable[[Report, int], None] | None = None,
) -> Report:
    """Send calls, given in order of their start, to the recorder at `dest` (HOST:PORT); gives what was sent.

    Capture times are those of the calls, whenever they are sent. `progress` is told the report so far and where the
    calls' clock stands [us since the epoch], some ten times a second. A schedule is cheaper than its calls one by one.
    Raises ConfigError when `dest` is not an address.
    """
    batcher = Batcher(sending.client_id, sip_only=sending.sip_only)
    if isinstance(calls, Schedule):
        stretch_us = max(1000, int(_STRETCH_S * SECOND_US * (sending.speed or 1.0)))
        batches = batcher.of_schedule(calls, stretch_us)
    else:
        batches = batcher.of_calls(calls)
    with _connect(dest) as sock:
        return _Play(sock, sending, progress).run(batches)


def destination(text: str) -> tuple[str, int]:
    """Split HOST:PORT or [IPV6]:PORT. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError("to", text, "HOST:PORT, port 1 to 65535")
    return host, int(port)


def _connect(dest: str | tuple[str, int]) -> socket.socket:
    host, port = destination(dest) if isinstance(dest, str) else dest
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise ConfigError("to", dest, f"a host that can be resolved ({error.strerror})") from None
    sock = socket.socket(family, kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        sock.connect(address)
    except OSError as error:
        sock.close()
        raise ConfigError("to", dest, f"a host that can be reached ({error.strerror})") from None
    return sock


class _Play:
    """One run: a thread makes batches into a bounded queue, run() hands them to the sender before they are due."""

    def __init__(self, sock: socket.socket, sending: Sending, progress: Callable[[Report, int], None] | None) -> None:
        self._sock = sock
        self._sending = sending
        self._progress = progress
        self._ready: queue.Queue[Batch | BaseException | None] = queue.Queue(_AHEAD)
        self._stop = threading.Event()
        self._scenarios: Counter[str] = Counter()
        self._planning_s = 0.0
        self._reached_us = 0  # calls that begin before this are with the sender
        self._end_us = 0  # when the last of them ends
        self._ended = False  # no more calls will come

    def run(self, batches: Iterator[Batch]) -> Report:
        planner = threading.Thread(target=self._plan, args=(batches,), name="sipflow-load-planner", daemon=True)
        planner.start()
        try:
            return self._send()
        finally:
            self._stop.set()
            planner.join()

    def _send(self) -> Report:
        first = self._first()
        now_us = self._reached_us = self._end_us = 0 if first is None else int(first.calls["start_us"].min())
        sender = Sender(
            self._sock.fileno(),
            now_us,
            speed=self._sending.speed or 0.0,
            single=self._sending.single,
            offload=self._sending.offload,
            sip_only=self._sending.sip_only,
            budget=self._sending.budget,
            tick_us=self._sending.tick_us,
        )
        if first is None:
            return self._report(sender)
        self._hand_over(sender, first)
        slice_us = max(1000, int(_SLICE_S * SECOND_US * (self._sending.speed or 10.0)))
        lead_us = int(_LEAD_S / _SLICE_S) * slice_us
        # The clock does not start before the calls of the first seconds are there.
        self._refill(sender, now_us + lead_us, now_us + lead_us)
        while not self._ended or sender.left:
            next_us = now_us + slice_us
            now_us = min(next_us, max(now_us, self._end_us) + 1000) if self._ended else next_us
            sender.run(now_us)
            if self._progress is not None:
                self._progress(self._report(sender), now_us)
            self._refill(sender, now_us + lead_us, now_us + 2 * slice_us)
        return self._report(sender)

    def _report(self, sender: Sender) -> Report:
        return report_of(sender, self._scenarios, self._planning_s)

    def _take(self, *, wait: bool) -> Batch | None:
        """Take the next batch; None when there are no more. Raises queue.Empty, or what the planner raised."""
        batch = self._ready.get(block=wait)
        if isinstance(batch, BaseException):
            raise batch
        self._ended = batch is None
        return batch

    def _first(self) -> Batch | None:
        while (batch := self._take(wait=True)) is not None and not batch.calls.size:
            pass
        return batch

    def _refill(self, sender: Sender, wanted_us: int, needed_us: int) -> None:
        """Hand over calls up to `wanted_us`, but wait for the planner only for those up to `needed_us`."""
        while not self._ended and self._reached_us <= wanted_us:
            try:
                batch = self._take(wait=self._reached_us <= needed_us)
            except queue.Empty:
                return
            if batch is not None:
                self._hand_over(sender, batch)

    def _hand_over(self, sender: Sender, batch: Batch) -> None:
        self._scenarios += batch.scenarios
        self._planning_s += batch.busy_s
        self._reached_us = max(self._reached_us, batch.until_us)
        self._end_us = max(self._end_us, batch.end_us)
        for mould in batch.moulds:
            sender.add_mould(mould)
        sender.add_calls(batch.calls.view("u1"))
        for talker in batch.talkers:
            sender.add_talker(talker)

    def _plan(self, batches: Iterator[Batch]) -> None:
        try:
            for batch in batches:
                if not self._offer(batch):
                    return
        except Exception as error:  # noqa: BLE001 - whatever the plan raises is raised again by run()
            self._offer(error)
        else:
            self._offer(None)

    def _offer(self, item: Batch | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False
