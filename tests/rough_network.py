"""Ways through a bad network, made of relays on loopback: for machines whose kernel has no netem."""

import contextlib
import heapq
import itertools
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sipflow.wire.datagram import decode_datagram

_TURN_S: Final = 0.02
# What TCP waits for before it sends again what was lost (RFC 6298, as Linux has it).
_AGAIN_S: Final = 0.2
_CHUNK: Final = 65_536


@dataclass(frozen=True)
class Trouble:
    """What happens on a way: shares are of 0 to 1, a way that is cut lets nothing through.

    Of TCP nothing is ever lost, doubled or out of order: what would be comes later.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    reorder: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    cut: bool = False

    @classmethod
    def of_netem(cls, words: Sequence[str]) -> "Trouble":
        """Read what tc-netem(8) would be told; correlations are passed over."""
        found: dict[str, list[float]] = {"delay": [], "reorder": [], "loss": [], "duplicate": []}
        for word in words:
            if word in found:
                into = found[word]
            else:
                into.append(float(word.removesuffix("ms")) / 1000 if "ms" in word else float(word.rstrip("%")) / 100)
        delay_s, jitter_s, *_ = [*found["delay"], 0.0, 0.0]
        reorder, loss, duplicate = ((found[name] or [0.0])[0] for name in ("reorder", "loss", "duplicate"))
        return cls(delay_s, jitter_s, reorder, loss, duplicate)

    def drawn_s(self, chance: random.Random) -> float:
        """Draw a delay."""
        return max(0.0, self.delay_s + self.jitter_s * chance.uniform(-1, 1))


@dataclass(eq=False)
class Way:
    """From somebody to a node: the addresses to be used in place of the node's, and what became of SipFlow packets.

    `connections` counts those of TCP so far. What happens to the first datagram, the second and so on follows from the
    seed, whatever goes on besides.
    Packets that `came` were `lost`, or `passed`, once they are no longer `waiting`; those that pass twice count twice.
    """

    udp: tuple[str, int]
    http: str
    chance: random.Random
    trouble: Trouble = Trouble()
    came: int = 0
    lost: int = 0
    passed: int = 0
    waiting: int = 0
    connections: int = 0
    held: list[Callable[[], None]] = field(default_factory=list)


@dataclass(eq=False)
class _Pipe:
    """One direction of a TCP connection: what is read at the source comes out at the sink in its order, later."""

    way: Way
    source: socket.socket
    sink: socket.socket
    due_s: float = 0.0
    stale: bool = False


class RoughNetwork:
    """Ways that do what they are told to, with chances that follow from a seed; all in one thread of its own."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        # Of TCP, which comes in pieces as it happens.
        self._chance = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._ways: list[Way] = []
        self._sockets: set[socket.socket] = set()
        self._pipes: list[_Pipe] = []
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._adding = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="rough-network", daemon=True)
        self._thread.start()

    def way(self, udp: tuple[str, int], http: int) -> Way:
        """Make a way to a node that takes packets at `udp` and questions at the same host's port `http`."""
        packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        packets.bind(("127.0.0.1", 0))
        onward = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        onward.connect(udp)
        door = socket.create_server(("127.0.0.1", 0), backlog=64)
        chance = random.Random(self._seed + 1 + len(self._ways))
        way = Way(packets.getsockname(), f"http://127.0.0.1:{door.getsockname()[1]}", chance)
        with self._adding:
            self._ways.append(way)
            self._sockets |= {packets, onward, door}
            self._selector.register(packets, selectors.EVENT_READ, lambda: self._datagram(way, packets, onward))
            self._selector.register(door, selectors.EVENT_READ, lambda: self._accept(way, door, (udp[0], http)))
        return way

    def grow_stale(self, way: Way) -> None:
        """Have connections that are open end as soon as more is asked by them: a server gave them up just before."""
        for pipe in self._pipes:
            pipe.stale = pipe.stale or pipe.way is way

    def close(self) -> None:
        """End the thread, and with it every connection."""
        self._over.set()
        self._thread.join()
        for sock in self._sockets:
            sock.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._over.is_set():
            with self._adding:
                ready = self._selector.select(0) if self._later else self._selector.select(_TURN_S / 10)
            for key, _ in ready:
                key.data()
            for way in self._ways:
                while way.held and not way.trouble.cut:
                    way.held.pop(0)()
            now_s = time.monotonic()
            while self._later and self._later[0][0] <= now_s:
                heapq.heappop(self._later)[2]()
            if not ready:
                time.sleep(_TURN_S / 10)

    def _at(self, due_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._later, (due_s, next(self._numbers), action))

    # ---- UDP ----

    def _datagram(self, way: Way, packets: socket.socket, onward: socket.socket) -> None:
        octets, trouble = packets.recv(_CHUNK), way.trouble
        count = len(decode_datagram(octets).packets)
        if trouble.cut or way.chance.random() < trouble.loss:
            way.lost += count
            way.came += count
            return

        def pass_on() -> None:
            onward.send(octets)
            way.passed += count
            way.waiting -= count

        for _ in range(1 + (way.chance.random() < trouble.duplicate)):
            way.waiting += count
            at_once = way.chance.random() < trouble.reorder
            self._at(time.monotonic() + (0.0 if at_once else trouble.drawn_s(way.chance)), pass_on)
        # Last, so that who sees that all have come sees how many of them wait.
        way.came += count

    # ---- TCP ----

    def _accept(self, way: Way, door: socket.socket, to: tuple[str, int]) -> None:
        near, _ = door.accept()
        way.connections += 1
        try:
            far = socket.create_connection(to, 5)
        except OSError:
            near.close()
            return
        for source, sink in ((near, far), (far, near)):
            source.settimeout(5)
            pipe = _Pipe(way, source, sink)
            self._pipes.append(pipe)
            self._sockets.add(source)
            self._selector.register(source, selectors.EVENT_READ, lambda pipe=pipe: self._read(pipe))

    def _read(self, pipe: _Pipe) -> None:
        try:
            octets = pipe.source.recv(_CHUNK)
        except OSError:
            octets = b""
        if octets and pipe.stale:
            self._end(pipe)
            return
        if not octets:
            self._selector.unregister(pipe.source)
        trouble = pipe.way.trouble
        delay_s = trouble.drawn_s(self._chance) + (_AGAIN_S if self._chance.random() < trouble.loss else 0.0)
        pipe.due_s = max(pipe.due_s, time.monotonic() + delay_s)
        self._at(pipe.due_s, lambda: self._put(pipe, octets))

    def _put(self, pipe: _Pipe, octets: bytes) -> None:
        # What is held when a way is cut goes on when it is whole again, as TCP would send it again.
        if pipe.way.trouble.cut or pipe.way.held:
            pipe.way.held.append(lambda: self._hand_on(pipe, octets))
        else:
            self._hand_on(pipe, octets)

    def _hand_on(self, pipe: _Pipe, octets: bytes) -> None:
        """Hand on what came, nothing for the end; neither side keeps a connection without the other."""
        with contextlib.suppress(OSError):
            if octets:
                pipe.sink.sendall(octets)
                return
        self._end(pipe)

    def _end(self, pipe: _Pipe) -> None:
        for sock in (pipe.source, pipe.sink):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(sock)
            self._sockets.discard(sock)
            sock.close()
