"""HEP over TCP and TLS: one thread for all connections, frames read in C.

A peer costs itself: each gets one read of a buffer a turn, a frame that never ends waits in memory of its own, and
whoever sends what is no frame is counted and let go, because nothing tells where the next one would begin.
"""

import contextlib
import logging
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from sipflow._fast import Intake
from sipflow.clock import now_us
from sipflow.config import Network
from sipflow.hep.connection import Connection, End
from sipflow.hep.doors import Door
from sipflow.thread import NamedThread

LOG = logging.getLogger("sipflow.hep")

CONNECTIONS_MAX = 512
CONNECTIONS_OF_ONE = 128
_TURN_SECONDS = 0.1
_DRAIN_SECONDS = 5.0
HANDSHAKE_SECONDS = 10.0
# Without a descriptor to spare nobody is let in for so long.
_REST_SECONDS = 1.0
# Several frames of the largest size, so that a busy connection is read in few turns.
_BUFFER_OCTETS = 5 * 65536


class Connections:
    """Accepts and reads the connections of all doors, into one intake, on one thread."""

    def __init__(self, doors: Sequence[Door], intake: Intake, allow: Sequence[Network]) -> None:
        self.fault = ""
        self.doors = list(doors)
        self.thread = NamedThread(target=self._run, name="hep-tcp", daemon=True)
        self._intake = intake
        self._allow = allow
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._buffer = memoryview(bytearray(_BUFFER_OCTETS))
        self._open: dict[int, Connection] = {}
        self._of_one: Counter[bytes] = Counter()
        self._unread: list[Connection] = []
        self._closed_until = 0.0
        self._turned_away = 0
        self._failed_handshakes = 0
        self._last_failure = ""
        self._stopping = False

    def notes(self) -> list[str]:
        """Tell in sentences what an operator should know of the connections."""
        found = []
        if self._turned_away:
            found.append(
                f"HEP connections turned away: {self._turned_away}; "
                f"{CONNECTIONS_MAX} may be open at once, {CONNECTIONS_OF_ONE} from one address"
            )
        if self._failed_handshakes:
            found.append(
                f"HEP connections whose TLS handshake failed: {self._failed_handshakes}; the last {self._last_failure}"
            )
        return found

    def stop(self) -> None:
        """Take what has arrived, close everything, and end the thread."""
        self._stopping = True
        self._wake.send(b"!")
        self.thread.join()

    # --- the loop ---

    def _run(self) -> None:
        try:
            self._turns()
        except Exception as error:
            # Whatever it is: the datagrams must go on, and somebody must be told.
            self.fault = f"HEP over TCP stopped: {error!r}"
            LOG.exception("%s", self.fault)
        finally:
            for one in [*self._open.values()]:
                self._close(one)
            for door in self.doors:
                door.sock.close()
            self._selector.close()
            self._wake.close()
            self._woken.close()
            self._intake.drain()

    def _turns(self) -> None:
        self._selector.register(self._woken, selectors.EVENT_READ, self._nothing)
        self._open_doors()
        tended = 0.0
        while not self._stopping:
            unread, self._unread = self._unread, []
            ready = self._selector.select(0 if unread else _TURN_SECONDS)
            for key, _ in ready:
                key.data()
            for one in unread:
                self._read(one)
            if time.monotonic() - tended >= _TURN_SECONDS:
                self._tend()
                tended = time.monotonic()
        self._shut_doors()
        until = time.monotonic() + _DRAIN_SECONDS
        # What has arrived is in the kernel: a turn that brings nothing has emptied it.
        while [one for one in [*self._open.values()] if self._read(one)] and time.monotonic() < until:
            pass

    def _nothing(self) -> None:
        """Woken to stop."""

    def _tend(self) -> None:
        self._intake.beat()
        self._intake.sweep()
        now = time.monotonic()
        for one in [one for one in self._open.values() if one.shaking and now - one.since > HANDSHAKE_SECONDS]:
            self._handshake_failed(one, "took too long")
        if self._closed_until and now >= self._closed_until:
            self._open_doors()

    # --- the doors ---

    def _open_doors(self) -> None:
        self._closed_until = 0.0
        for door in self.doors:
            door.sock.setblocking(False)
            self._selector.register(door.sock, selectors.EVENT_READ, self._at(door))

    def _shut_doors(self) -> None:
        for door in self.doors:
            with contextlib.suppress(KeyError):
                self._selector.unregister(door.sock)

    def _at(self, door: Door) -> Callable[[], None]:
        return lambda: self._accept(door)

    def _accept(self, door: Door) -> None:
        try:
            sock, name = door.sock.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            LOG.error("no HEP connection can be accepted for %g s: %s", _REST_SECONDS, error)
            self._shut_doors()
            self._closed_until = time.monotonic() + _REST_SECONDS
            return
        address = ip_address(name[0].partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if self._allow and not any(address in network for network in self._allow):
            self._intake.refuse_foreign(address.packed, now_us())
            sock.close()
        elif self._of_one[address.packed] >= CONNECTIONS_OF_ONE or not self._has_room():
            self._turned_away += 1
            sock.close()
        else:
            self._welcome(sock, address.packed, door)

    def _has_room(self) -> bool:
        """Tell whether one more fits; whoever never brought a frame makes room for those who may."""
        if len(self._open) < CONNECTIONS_MAX:
            return True
        idle = [one for one in self._open.values() if not one.frames_seen]
        if not idle:
            return False
        self._turned_away += 1
        self._close(min(idle, key=lambda one: one.since))
        return True

    def _welcome(self, sock: socket.socket, ip: bytes, door: Door) -> None:
        try:
            one = Connection(sock, ip, door.context)
        except OSError:
            sock.close()
            return
        self._open[one.fileno] = one
        self._of_one[ip] += 1
        self._selector.register(one.fileno, selectors.EVENT_READ, lambda: self._read(one))

    # --- a connection ---

    def _read(self, one: Connection) -> bool:
        """Take what one connection has brought; tells whether that was anything."""
        if one.fileno not in self._open or self._open[one.fileno] is not one:
            return False
        if one.shaking:
            try:
                wanted = one.shake()
            except OSError as error:
                self._handshake_failed(one, str(error))
                return False
            self._selector.modify(one.fileno, wanted, lambda: self._read(one))
            if one.shaking:
                return False
        n, end = one.fill(self._buffer)
        before = len(one.rest)
        taken, fault = self._intake.stream(self._buffer[:n], one.ip, now_us())
        one.rest = bytes(self._buffer[taken:n])
        one.frames_seen = one.frames_seen or taken > 0
        if fault:
            one.rest = b""  # counted with it
        if fault or end is End.GONE:
            self._close(one)
        elif end is End.MORE:
            self._unread.append(one)
        return n > before

    def _handshake_failed(self, one: Connection, why: str) -> None:
        self._failed_handshakes += 1
        self._last_failure = f"from {ip_address(one.ip)}: {why}"
        self._close(one)

    def _close(self, one: Connection) -> None:
        if one.rest:
            self._intake.refuse_cut(one.rest, one.ip, now_us())
        self._selector.unregister(one.fileno)
        del self._open[one.fileno]
        self._of_one[one.ip] -= 1
        if not self._of_one[one.ip]:
            del self._of_one[one.ip]
        one.close()
