"""One connection that brings HEP: its socket, and the beginning of a frame whose end has not come."""

import contextlib
import enum
import selectors
import socket
import ssl
import time

# A peer that vanished without a word is found out after about two minutes.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))


class End(enum.Enum):
    """Why a read stopped: nothing is there now, the buffer is full, or nothing will come any more."""

    EMPTY = enum.auto()
    MORE = enum.auto()
    GONE = enum.auto()


class Connection:
    """A socket of a sender, `ip` its address in network order, `since` of the monotonic clock [s].

    Owns the socket. `rest` are octets that were read and are no whole frame yet.
    """

    def __init__(self, sock: socket.socket, ip: bytes, context: ssl.SSLContext | None) -> None:
        """Prepare a socket that was accepted. Raises OSError when it is gone already."""
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        self.ip = ip
        self.since = time.monotonic()
        self.rest = b""
        self.frames_seen = False
        self.shaking = context is not None
        self._sock = sock
        self._tls: ssl.SSLSocket | None = None
        if context is not None:
            self._tls = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self._sock = self._tls
        self.fileno = self._sock.fileno()

    def shake(self) -> int:
        """Go on with the handshake; gives the event to wait for. Raises OSError when it fails."""
        if self._tls is not None:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                return selectors.EVENT_WRITE
        self.shaking = False
        return selectors.EVENT_READ

    def fill(self, buffer: memoryview) -> tuple[int, End]:
        """Put `rest` and what has come behind it into the buffer; gives the octets and why there are no more."""
        n = len(self.rest)
        buffer[:n] = self.rest
        while n < len(buffer):
            try:
                got = self._sock.recv_into(buffer[n:])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return n, End.EMPTY
            except OSError:
                return n, End.GONE
            if got == 0:
                return n, End.GONE
            n += got
        # TLS may hold octets that no selector knows of.
        return n, End.MORE

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self._sock.close()
