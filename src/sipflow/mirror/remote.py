"""The settings of a client that sends to a cluster: `[sipflow]` with type = "remote", as RustPBX has it."""

import logging
from collections.abc import Mapping
from typing import Any, TypedDict

import msgspec

from sipflow.given import Given, nearest

LOG = logging.getLogger("sipflow.mirror")


class RemoteOptions(TypedDict, total=False):
    """What `Capture.connect` can be told beside its nodes; the fields of RemoteSettings say what each means."""

    replicas: int
    timeout_secs: float
    channel_capacity: int
    dns_ttl_secs: int
    mtu: int
    report_interval_secs: int
    sockets: int
    token: str | None


class RemoteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How packets travel. Names and defaults are RustPBX's where it has them."""

    # How many nodes keep each call.
    replicas: int = 1
    # The longest that a node may be silent when it is asked.
    timeout_secs: float = 10
    # Packets that may wait for all nodes together.
    channel_capacity: int = 40_000
    # Names are looked up again so often; 0: once.
    dns_ttl_secs: int = 5
    # What the network carries unfragmented, with IP and UDP headers.
    mtu: int = 1500
    # Nodes are told how much was sent, and answer how much arrived, so often; 0: never.
    report_interval_secs: int = 10
    # Sockets to each node: a server spreads what comes by the sender's port over its receivers.
    sockets: int = 4
    # Opens a server that answers only with one.
    token: str | None = None


_BOUNDS: dict[str, tuple[int, int]] = {
    "replicas": (1, 2),
    "timeout_secs": (1, 3600),
    "channel_capacity": (0, 10_000_000),
    "dns_ttl_secs": (0, 86_400),
    "mtu": (0, 65_535),
    "report_interval_secs": (0, 86_400),
    "sockets": (1, 64),
}
# RustPBX: 0 stands for a value of its own choice.
_ZERO_MEANS = {"channel_capacity": 8192, "mtu": 1500}
MTU_MIN = 576
_PLACES = ("nodes", "udp_addr", "http_addr")
# Keys of the same table that concern a server or the PBX.
_WITHOUT_EFFECT = {
    "type", "http", "udp", "engine", "compress", "compress_level", "node", "self", "peer_timeout_ms", "trusted",
    "aliases", "log_level",
}  # fmt: skip
# RustPBX's own, or of a server: who sends packets uploads nothing, and says so.
_UPLOADS = ("upload", "delegate_upload")
UPLOADS_NOTHING = "%s is not for who sends packets, and uploads nothing: set it up at the servers"


def settings_of(given: Mapping[str, Given]) -> RemoteSettings:
    """Check settings by name. Raises ConfigError."""
    checked: dict[str, Any] = {}
    for name, item in given.items():
        if name == "token":
            checked[name] = _text(item) if item.value is not None else None
        elif name in _BOUNDS:
            checked[name] = _number(item, *_BOUNDS[name], whole=name != "timeout_secs")
            checked[name] = checked[name] or _ZERO_MEANS.get(name, 0)
        elif name.partition(".")[0] not in _UPLOADS and name not in (*_PLACES, *_WITHOUT_EFFECT):
            raise item._replace(value=item.key).wrong(nearest(name, [*_BOUNDS, "token", *_PLACES]))
    for name in sorted({name.partition(".")[0] for name, item in given.items() if item.value is not False}):
        if name in _UPLOADS:
            LOG.warning(UPLOADS_NOTHING, name)
    if checked.get("mtu", MTU_MIN) < MTU_MIN:
        raise given["mtu"].wrong(f"{MTU_MIN} to 65535, or 0 for 1500")
    return RemoteSettings(**checked)


def _number(item: Given, low: int, high: int, *, whole: bool) -> float:
    value = item.value
    kinds = (int,) if whole else (int, float)
    if isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise item.wrong(f"a {'whole ' if whole else ''}number from {low} to {high}")


def _text(item: Given) -> str:
    if isinstance(item.value, str) and item.value:
        return item.value
    raise item._replace(value=type(item.value).__name__).wrong("a text that is not empty")
