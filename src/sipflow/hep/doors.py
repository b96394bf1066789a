"""The ports that HEP comes in by: UDP and TCP of each address, and TLS."""

import logging
import socket
import ssl
from contextlib import ExitStack
from typing import NamedTuple

from sipflow.config import DEFAULT_HEP, Settings
from sipflow.errors import ConfigError
from sipflow.ports import bind_udp, listen_tcp, name_of

LOG = logging.getLogger("sipflow.hep")


class Door(NamedTuple):
    """A listening TCP socket; `context` when what comes in by it speaks TLS."""

    sock: socket.socket
    context: ssl.SSLContext | None = None

    @property
    def name(self) -> str:
        """Name it as /health lists it."""
        return f"hep-{'tls' if self.context else 'tcp'} {name_of(self.sock)}"


class Doors(NamedTuple):
    """The sockets of HEP, datagrams and connections apart; `note` says what could not be opened."""

    udp: list[socket.socket]
    tcp: list[Door]
    note: str = ""

    @property
    def ledgers(self) -> int:
        """Count the ledgers they need: one for each UDP socket, one for all connections."""
        return len(self.udp) + bool(self.tcp)


def open_doors(settings: Settings, room: int, undo: ExitStack) -> Doors:
    """Open what the settings ask for, with at most `room` ledgers; `undo` closes the sockets again.

    The default address is a courtesy: when another program has it, HEP is not taken there, and `note` says so. Raises
    ConfigError for what was asked for.
    """
    context = _context(settings) if settings.hep_tls else None
    tls = [Door(listen_tcp(address, "--hep-tls"), context) for address in settings.hep_tls]
    for door in tls:
        undo.callback(door.sock.close)
    courtesy = settings.hep == (DEFAULT_HEP,)
    try:
        with ExitStack() as attempt:
            doors = _plain(settings, tls, attempt)
            if doors.ledgers > room:
                raise ConfigError("hep", f"{doors.ledgers} receivers", f"{max(0, room)} beside those of udp")
            undo.push(attempt.pop_all())
            return doors
    except ConfigError as error:
        if not courtesy or (tls and room < 1):
            raise
        note = f"HEP is not taken at {DEFAULT_HEP}: {error}"
        LOG.warning("%s", note)
        return Doors([], tls, note)


def _plain(settings: Settings, tls: list[Door], attempt: ExitStack) -> Doors:
    udp = []
    tcp = list(tls)
    for address in settings.hep:
        (sock,) = bind_udp(address, key="--hep")
        attempt.callback(sock.close)
        udp.append(sock)
        door = Door(listen_tcp(address, "--hep"))
        attempt.callback(door.sock.close)
        tcp.append(door)
    return Doors(udp, tcp)


def _context(settings: Settings) -> ssl.SSLContext:
    cert, key = settings.hep_tls_cert, settings.hep_tls_key
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key that is locked has nobody to ask: an empty password opens none, and OpenSSL asks no terminal.
        context.load_cert_chain(str(cert), str(key) if key else None, password="")
    except (OSError, ssl.SSLError) as error:
        named = f"{cert} with {key}" if key else str(cert)
        raise ConfigError(
            "--hep-tls-cert", named, f"a certificate and its key in PEM, not locked ({error.args[-1]})"
        ) from None
    return context
