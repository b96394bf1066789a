"""The nodes of a cluster as a configuration lists them, read alike by those who send to them and by themselves."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from sipflow.given import Given
from sipflow.placement import REMOVED, REPLICAS_MAX, Placement

FORM = '"HOST:PORT", or udp = "HOST:PORT" with http = "http://HOST:PORT" and, if wanted, name, slot, token'
REMOVED_FORM = f'"{REMOVED}" or removed = true for a slot whose node was taken away'
SLOTS_MAX = 256
_TEXTS = ("udp", "http", "name", "token")
_KEYS = {*_TEXTS, "removed", "slot"}

NodeLike: TypeAlias = str | Mapping[str, object]


class Node(NamedTuple):
    """Where a node takes packets and, if `http` is not empty, questions; `name` is how people call it.

    `token` opens it, None where the one of the whole configuration does.
    """

    name: str
    host: str
    port: int
    http: str = ""
    token: str | None = None

    @property
    def udp(self) -> str:
        """Write the address as host:port, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NodeList(NamedTuple):
    """The nodes in the order of their slots, None for an empty slot, and which of them keep a call."""

    nodes: tuple[Node | None, ...]
    placement: Placement

    @property
    def present(self) -> list[Node]:
        """Give the nodes that are there."""
        return [node for node in self.nodes if node is not None]


def read_nodes(given: Sequence[NodeLike], replicas: int = 1, key: str = "nodes", where: str = "") -> NodeList:
    """Read a list of nodes: each has the slot that it names, or else that of its place in the list.

    Raises ConfigError, which names the key, what was found and what is allowed.
    """
    slots: dict[int, Node | None] = {}
    for place, value in enumerate(given):
        item = Given(value, f"{key}[{place}]", where)
        slot, node = _slot(item, place), _node(item)
        if slot in slots:
            raise item._replace(key=f"{item.key}.slot", value=slot).wrong("each slot once")
        slots[slot] = node
    nodes = tuple(slots.get(slot) for slot in range(max(slots, default=-1) + 1))
    names = [None if node is None else node.name for node in nodes]
    try:
        return NodeList(nodes, Placement(names, replicas))
    except ValueError as error:
        allowed = f"{FORM}; {REMOVED_FORM}; each name once; replicas 1 or {REPLICAS_MAX}"
        raise Given(str(error), key, where).wrong(allowed) from None


def nodes_from(given: Mapping[str, Given], replicas: int = 1) -> NodeList:
    """Read `nodes`, or the one node of `udp_addr` and `http_addr`, as RustPBX has them. Raises ConfigError."""
    nodes = given.get("nodes")
    if nodes is not None and nodes.value:
        if not isinstance(nodes.value, list):
            raise nodes.wrong("tables [[sipflow.nodes]]")
        return read_nodes(nodes.value, replicas, nodes.key, nodes.where)
    udp = given.get("udp_addr")
    if udp is None:
        missing = nodes or Given("nothing", "nodes")
        raise missing.wrong("one table [[sipflow.nodes]] or more, each with udp and http")
    http = given.get("http_addr")
    return read_nodes([{"udp": udp.value, "http": http.value if http else ""}], 1, udp.key, udp.where)


def written_nodes(nodes: Sequence[Node | None]) -> list[dict[str, str | bool]]:
    """Write nodes, in the order of their slots, as the list that would give them."""
    return [{"removed": True} if node is None else _written(node) for node in nodes]


def _written(node: Node) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {"name": node.name, "udp": node.udp, "http": node.http}
    return found if node.token is None else {**found, "token": node.token}


def _slot(item: Given, place: int) -> int:
    slot = item.value.get("slot", place) if isinstance(item.value, Mapping) else place
    if not isinstance(slot, int) or isinstance(slot, bool) or not 0 <= slot < SLOTS_MAX:
        raise item._replace(key=f"{item.key}.slot", value=slot).wrong(f"a whole number from 0 to {SLOTS_MAX - 1}")
    return slot


def _node(item: Given) -> Node | None:
    value = item.value
    if isinstance(value, str):
        return None if value == REMOVED else _addressed(item, value)
    if not isinstance(value, Mapping) or set(value) - _KEYS or value.get("removed") not in (None, True, False):
        raise item.wrong(f"{FORM}; {REMOVED_FORM}")
    if value.get("removed"):
        return None
    texts = {name: value.get(name, "") for name in _TEXTS}
    if not all(isinstance(text, str) for text in texts.values()):
        raise item.wrong(f"{FORM}; {REMOVED_FORM}")
    return _addressed(item, **{name: str(text) for name, text in texts.items()})


def _addressed(item: Given, udp: str, http: str = "", name: str = "", token: str = "") -> Node:
    host, colon, port = udp.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    sound = colon and bare and port.isascii() and port.isdigit() and 0 < int(port) < 65536
    if not sound or (":" in host and bare == host):
        raise item._replace(value=udp).wrong(f"{FORM}, port 1 to 65535, IPv6 in brackets")
    if http and not http.startswith(("http://", "https://")):
        raise item._replace(key=f"{item.key}.http", value=http).wrong("http://HOST:PORT or https://HOST:PORT")
    return Node(name or udp.strip(), bare, int(port), http.rstrip("/"), token or None)
