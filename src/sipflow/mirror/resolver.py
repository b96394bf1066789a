"""The addresses of nodes, looked up beside the sending: a slow or silent name server never keeps a packet waiting."""

import socket
from ipaddress import ip_address
from threading import Event
from typing import NamedTuple

from sipflow._fast import Outbox
from sipflow.node import Node

# Until a name is known its packets wait in the queue.
_UNKNOWN_SECONDS = 1.0


class _Address(NamedTuple):
    ip: bytes
    port: int
    scope: int = 0


class Resolver:
    """Keeps the address of one node current; `fault` says why it is not, in one line."""

    def __init__(self, node: Node, slot: int, outbox: Outbox, ttl_secs: int) -> None:
        """Tell the outbox the address at once when it needs no look-up."""
        self.fault = ""
        self._node = node
        self._slot = slot
        self._outbox = outbox
        self._ttl_secs = ttl_secs
        self._known: _Address | None = None
        literal = _literal(node)
        if literal is not None:
            self._direct(literal)
        self.done = literal is not None

    def run(self, stopping: Event) -> None:
        """Look the name up again and again, until stopped or, with a lifetime of 0, until it is known."""
        while True:
            try:
                self._direct(_look_up(self._node))
                self.fault = ""
            except OSError as error:
                self.fault = f"{self._node.host} is not known: {error.strerror or error}"
            if self._known is not None and self._ttl_secs == 0:
                return
            if stopping.wait(self._ttl_secs if self._known is not None else _UNKNOWN_SECONDS):
                return

    def _direct(self, address: _Address) -> None:
        if address != self._known:
            self._outbox.direct(self._slot, *address)
            self._known = address


def _literal(node: Node) -> _Address | None:
    """Give the address of a node that is named by one; a zone (fe80::1%eth0) is for the system to read."""
    try:
        return None if "%" in node.host else _Address(ip_address(node.host).packed, node.port)
    except ValueError:
        return None


def _look_up(node: Node) -> _Address:
    found = socket.getaddrinfo(node.host, node.port, type=socket.SOCK_DGRAM)
    place = found[0][4]
    host = str(place[0]).partition("%")[0]
    return _Address(ip_address(host).packed, node.port, int(place[3]) if len(place) > 3 else 0)
