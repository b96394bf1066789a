"""UDP sockets of our own that keep what comes, and when."""

import socket
import threading
import time

from sipflow.wire.datagram import decode_datagram
from sipflow.wire.packet import Packet


class Sink:
    """A socket on loopback."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.datagrams: list[tuple[float, bytes]] = []
        self.senders: set[object] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()[:2]
        return str(host), int(port)

    def _receive(self) -> None:
        while True:
            try:
                octets, sender = self.socket.recvfrom(65535)
            except TimeoutError:
                if self._stop.is_set():
                    return
                continue
            self.datagrams.append((time.monotonic(), octets))
            self.senders.add(sender)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.socket.close()

    def packets(self) -> list[Packet]:
        """Take what came as packets; every frame must be sound."""
        out = []
        for _, octets in self.datagrams:
            parsed = decode_datagram(octets)
            assert parsed.refused == []
            out += parsed.packets
        return out
