"""Which node of the list a server is, found by its addresses when the configuration does not say."""

import dataclasses
import socket
from urllib.parse import urlsplit

from sipflow.config import Settings
from sipflow.errors import ConfigError
from sipflow.node import Node

_PORTS = {"http": 80, "https": 443}


def settled(settings: Settings) -> Settings:
    """Give the settings with `node` filled in: the one node with a port of ours at an address of this machine.

    Raises ConfigError when there is none, or more than one.
    """
    if settings.node is not None or not settings.nodes or settings.type == "remote":
        return settings
    nodes = [node for node in settings.nodes if node is not None]
    found = [node.name for node in nodes if _is_ours(node, settings)]
    if len(found) != 1:
        why = f"{' and '.join(found)} have addresses of ours" if found else "no node has an address of ours"
        raise ConfigError("node", f"nothing, and {why}", f"one of {', '.join(node.name for node in nodes)}")
    return dataclasses.replace(settings, node=found[0])


def _is_ours(node: Node, settings: Settings) -> bool:
    if any(node.port == address.port for address in settings.udp):
        return _is_here(node.host)
    url = urlsplit(node.http)
    port = url.port or _PORTS.get(url.scheme)
    return bool(url.hostname) and port == settings.http.port and _is_here(url.hostname or "")


def _is_here(host: str) -> bool:
    """Tell whether a name or address is one of this machine: only such a one can be bound."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    for family, kind, _, _, address in found:
        with socket.socket(family, kind) as sock:
            try:
                sock.bind(address)
            except OSError:
                continue
            return True
    return False
