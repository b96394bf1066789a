"""Plays calls to a recorder: plans ahead in one thread, sends from C in another."""

import queue
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from sipflow._fast import SENDER_BUDGET, Sender, Talker
from sipflow.clock import SECOND_US
from sipflow.errors import ConfigError
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.report import Report, report_of
from sipflow.wire.datagram import encode_packet

CLIENT_ID = 0x51F10AD0  # of every frame the load harness sends, unless told otherwise

_AHEAD = 1000  # calls prepared before they are due
_SLICE_S = 0.1  # real time sent at a stretch; new calls are taken in between
_LEAD_S = 2.0  # real time by which calls are handed over before they are due
_SEND_BUFFER = 4 << 20


class Sending(msgspec.Struct, frozen=True):
    """How calls are sent.

    `speed` is the calls' clock per real time (2 is twice as fast as life), None sends as fast as the socket takes it.
    `single` sends one frame per datagram instead of batches of up to `budget` octets; `offload` lets the kernel cut the
    datagrams (UDP_SEGMENT), padded to the budget, which takes a third of the time. A tick is `tick_us` of real time.
    """

    speed: float | None = 1.0
    single: bool = False
    offload: bool = False
    sip_only: bool = False
    client_id: int = CLIENT_ID
    budget: int = SENDER_BUDGET
    tick_us: int = 1000


AS_IT_HAPPENS = Sending()


@dataclass(frozen=True)
class _Ready:
    """A call made ready to be handed to the sender."""

    call: Call
    frames: list[tuple[int, bytes]]
    talkers: list[Talker]


def play(
    calls: Iterable[Call],
    dest: str | tuple[str, int],
    sending: Sending = AS_IT_HAPPENS,
    progress: Callable[[Report, int], None] | None = None,
) -> Report:
    """Send calls, given in order of their start, to the recorder at `dest` (HOST:PORT); gives what was sent.

    Capture times are those of the calls, whenever they are sent. `progress` is told the report so far and where the
    calls' clock stands [us since the epoch], some ten times a second. Raises ConfigError when `dest` is not an address.
    """
    with _connect(dest) as sock:
        return _Play(sock, sending, progress).run(iter(calls))


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
    """One run: a thread prepares calls into a bounded queue, run() hands them to the sender before they are due."""

    def __init__(self, sock: socket.socket, sending: Sending, progress: Callable[[Report, int], None] | None) -> None:
        self._sock = sock
        self._sending = sending
        self._progress = progress
        self._ready: queue.Queue[_Ready | BaseException | None] = queue.Queue(_AHEAD)
        self._stop = threading.Event()
        self._scenarios: Counter[str] = Counter()
        self._reached_us = 0  # calls that begin before this are with the sender
        self._end_us = 0  # when the last of them ends
        self._ended = False  # no more calls will come

    def run(self, calls: Iterator[Call]) -> Report:
        planner = threading.Thread(target=self._plan, args=(calls,), name="sipflow-load-planner", daemon=True)
        planner.start()
        try:
            return self._send()
        finally:
            self._stop.set()
            planner.join()

    def _send(self) -> Report:
        first = self._ready.get()
        if isinstance(first, BaseException):
            raise first
        now_us = self._reached_us = self._end_us = 0 if first is None else first.call.start_us
        sender = Sender(
            self._sock.fileno(),
            now_us,
            speed=self._sending.speed or 0.0,
            single=self._sending.single,
            offload=self._sending.offload,
            budget=self._sending.budget,
            tick_us=self._sending.tick_us,
        )
        if first is None:
            return report_of(sender, self._scenarios)
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
                self._progress(report_of(sender, self._scenarios), now_us)
            self._refill(sender, now_us + lead_us, now_us + 2 * slice_us)
        return report_of(sender, self._scenarios)

    def _refill(self, sender: Sender, wanted_us: int, needed_us: int) -> None:
        """Hand over calls up to `wanted_us`, but wait for the planner only for those up to `needed_us`."""
        while not self._ended and self._reached_us <= wanted_us:
            try:
                ready = self._ready.get(block=self._reached_us <= needed_us)
            except queue.Empty:
                return
            if isinstance(ready, BaseException):
                raise ready
            if ready is None:
                self._ended = True
            else:
                self._hand_over(sender, ready)

    def _hand_over(self, sender: Sender, ready: _Ready) -> None:
        self._scenarios[ready.call.scenario.value] += 1
        self._reached_us = ready.call.start_us
        self._end_us = max(self._end_us, ready.call.end_us)
        for time_us, frame in ready.frames:
            sender.add_frame(time_us, frame)
        for talker in ready.talkers:
            sender.add_talker(talker)

    def _plan(self, calls: Iterator[Call]) -> None:
        try:
            for call in calls:
                if not self._offer(self._prepare(call)):
                    return
        except Exception as error:  # noqa: BLE001 - whatever the plan raises is raised again by run()
            self._offer(error)
        else:
            self._offer(None)

    def _offer(self, item: _Ready | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _prepare(self, call: Call) -> _Ready:
        script = call.script()
        client_id = self._sending.client_id
        frames = [
            (packet.time_us, encode_packet(msgspec.structs.replace(packet, client_id=client_id)))
            for packet in script.messages
        ]
        if self._sending.sip_only:
            return _Ready(call, frames, [])
        bank = VoiceBank.make(call.seed)
        return _Ready(call, frames, [stream.talker(bank, client_id) for stream in script.streams])
