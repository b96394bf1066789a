"""Where the options say that calls go: to one server, or to the nodes of a cluster."""

from dataclasses import dataclass
from pathlib import Path

from sipflow.config import read_file
from sipflow.errors import ConfigError
from sipflow.load.route import Route
from sipflow.mirror.remote import settings_of
from sipflow.node import nodes_from, read_nodes

_FORM = "udp=HOST:PORT[,http=URL][,name=NAME]"


@dataclass(frozen=True)
class Target:
    """One of the three is given; `http` is the URL of the one server, if it is to be asked."""

    to: str | None = None
    nodes: tuple[str, ...] = ()
    config: Path | None = None
    http: str = ""

    def route(self, senders: int, *, root: Path | None = None) -> Route:
        """Read it. Raises ConfigError, for a `root` beside several nodes as well; without any, there is no way."""
        if self.config is not None:
            given = read_file(self.config)
            cluster = nodes_from(given, settings_of(given).replicas)
        elif self.nodes:
            cluster = read_nodes([_node(text) for text in self.nodes], key="--node")
        else:
            if self.to is not None:
                _check(self.to)
            cluster = read_nodes([{"udp": self.to or "127.0.0.1:1", "http": self.http}], key="--to")
        if self.http and len(cluster.present) > 1:
            raise ConfigError("--verify", self.http, "no URL with several nodes: each has its own")
        if root is not None and len(cluster.present) > 1:
            raise ConfigError("--root", str(root), "one server, not several nodes")
        if self.http and self.to is None:
            first = cluster.present[0]
            cluster = read_nodes([{"udp": first.udp, "http": self.http, "name": first.name}], key="--node")
        return Route(cluster, senders)


def _check(text: str) -> None:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError("--to", text, "HOST:PORT, port 1 to 65535")


def _node(text: str) -> dict[str, object] | str:
    if text == "-":
        return text
    found: dict[str, object] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if name not in ("udp", "http", "name") or not equals or name in found:
            raise ConfigError("--node", text, f'{_FORM}, or "-" for a slot whose node was taken away')
        found[name] = value
    return found
