"""The sockets that a server is reached by, bound before anything runs: whoever has a port keeps it."""

import socket
import time

from sipflow.config import Address
from sipflow.errors import ConfigError

_BACKLOG = 512


def bind_udp(address: Address, receivers: int = 1, key: str = "--udp") -> list[socket.socket]:
    """Bind `receivers` sockets to one UDP address. Raises ConfigError, also when another program has the port."""
    # Shared ports would let a second server take half of the packets unnoticed: the first socket asks for it alone.
    probe = _bound(socket.SOCK_DGRAM, key, address)
    if receivers == 1:
        return [probe]
    port = probe.getsockname()[1]
    probe.close()
    shared = Address(address.host, port)
    return [_bound(socket.SOCK_DGRAM, key, shared, share=True) for _ in range(receivers)]


def listen_tcp(address: Address, key: str) -> socket.socket:
    """Bind and listen at a TCP address. Raises ConfigError."""
    sock = _bound(socket.SOCK_STREAM, key, address, reuse=True)
    sock.listen(_BACKLOG)
    return sock


def bind_http(address: Address, patience_seconds: float = 0.0) -> socket.socket:
    """Bind and listen for HTTP, waiting so long for the port. The recorder owns it, so that it outlives a reader.

    Raises ConfigError.
    """
    until = time.monotonic() + patience_seconds
    while True:
        try:
            return listen_tcp(address, "--http")
        except ConfigError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.05)


def name_of(sock: socket.socket) -> str:
    """Name the address that a socket is bound to."""
    return str(Address(*sock.getsockname()[:2]))


def _bound(kind: int, key: str, address: Address, *, share: bool = False, reuse: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    try:
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(tuple(address))
    except OSError as error:
        sock.close()
        raise ConfigError(
            key, str(address), f"an address of this machine whose port is free ({error.strerror})"
        ) from None
    return sock
