"""One sender of a run: a socket, a clock, and a thread that sends what the planner made ready for it."""

import queue
import socket
import threading
from typing import Any

from sipflow._fast import Sender
from sipflow.clock import SECOND_US
from sipflow.errors import ConfigError
from sipflow.load.batch import Batch, SentCalls
from sipflow.node import Node

_AHEAD = 4  # batches made ready before they are due
_SLICE_S = 0.1  # real time sent at a stretch; new calls are taken in between
_LEAD_S = 2.0  # real time by which calls are handed over before they are due
_SEND_BUFFER = 4 << 20

Part = tuple[Batch, SentCalls]


def connect(node: Node) -> socket.socket:
    """Open a socket to a node. Raises ConfigError when it cannot be found or reached."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(node.host, node.port, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise ConfigError("to", node.udp, f"a host that can be resolved ({error.strerror})") from None
    sock = socket.socket(family, kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        sock.connect(address)
    except OSError as error:
        sock.close()
        raise ConfigError("to", node.udp, f"a host that can be reached ({error.strerror})") from None
    return sock


class Lane(threading.Thread):
    """Takes parts of batches from `ready`, None after the last one, and sends them; `clock_us` is 0 before it begins.

    `failed` is what ended it early, if anything did.
    """

    def __init__(self, number: int, sock: socket.socket, options: dict[str, Any], stop: threading.Event) -> None:
        """Take over the socket; `options` are the sender's. Ends soon when `stop` is set."""
        super().__init__(name=f"sipflow-load-sender-{number}", daemon=True)
        self.ready: queue.Queue[Part | None] = queue.Queue(_AHEAD)
        self.clock_us = 0
        self.failed: Exception | None = None
        self._sock = sock
        self._options = options
        self._stop_asked = stop
        self._sender: Sender | None = None
        self._reached_us = 0  # calls that begin before this are with the sender
        self._end_us = 0  # when the last of them ends
        self._ended = False  # no more calls will come

    @property
    def sent(self) -> dict[str, int] | None:
        """Tell what was sent so far; None before it begins."""
        return None if self._sender is None else self._sender.sent

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def run(self) -> None:
        """Send until all is sent."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - whatever ends a sender ends the run, which raises it again
            self.failed = error
            self._stop_asked.set()

    def _send(self) -> None:
        first = self._take(wait=True)
        while first is not None and first[0].origin_us == 0:
            first = self._take(wait=True)
        if first is None:
            return
        now_us = self._reached_us = self._end_us = first[0].origin_us
        sender = self._sender = Sender(self._sock.fileno(), now_us, **self._options)
        self._hand_over(sender, first)
        speed = self._options["speed"]
        slice_us = max(1000, int(_SLICE_S * SECOND_US * (speed or 10.0)))
        lead_us = int(_LEAD_S / _SLICE_S) * slice_us
        # The clock does not start before the calls of the first seconds are there.
        self._refill(sender, now_us + lead_us, now_us + lead_us)
        while (not self._ended or sender.left) and not self._stop_asked.is_set():
            next_us = now_us + slice_us
            now_us = min(next_us, max(now_us, self._end_us) + 1000) if self._ended else next_us
            sender.run(now_us)
            self.clock_us = now_us
            self._refill(sender, now_us + lead_us, now_us + 2 * slice_us)

    def _take(self, *, wait: bool) -> Part | None:
        """Take the next part; None when there are no more. Raises queue.Empty."""
        while True:
            try:
                part = self.ready.get(block=wait, timeout=0.1 if wait else None)
            except queue.Empty:
                if not wait:
                    raise
                if not self._stop_asked.is_set():
                    continue
                part = None
            self._ended = part is None
            return part

    def _refill(self, sender: Sender, wanted_us: int, needed_us: int) -> None:
        """Hand over calls up to `wanted_us`, but wait for the planner only for those up to `needed_us`."""
        while not self._ended and self._reached_us <= wanted_us:
            try:
                part = self._take(wait=self._reached_us <= needed_us)
            except queue.Empty:
                return
            if part is not None:
                self._hand_over(sender, part)

    def _hand_over(self, sender: Sender, part: Part) -> None:
        batch, calls = part
        self._reached_us = max(self._reached_us, batch.until_us)
        self._end_us = max(self._end_us, batch.end_us)
        for mould in batch.moulds:
            sender.add_mould(mould)
        sender.add_calls(calls.view("u1"))
