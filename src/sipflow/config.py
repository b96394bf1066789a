"""The settings of a server: what they are, why they default to what they do, and how they are read.

A setting comes from a TOML file (table `[sipflow]`, the keys RustPBX uses plus ours) or from the command line, which
wins. Both go through the same checks, so that a wrong value is refused in the same words wherever it stood.
"""

import dataclasses
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from sipflow.amount import AGES, SIZE_FORM, Room, age_text, parse_room
from sipflow.clock import SECOND_US
from sipflow.destination import NODE_NAME_FORM, UPLOAD, Upload, is_node_name, node_name, upload_from
from sipflow.errors import ConfigError
from sipflow.given import Given, age, choice, flag, nearest, size, whole
from sipflow.node import Node, nodes_from
from sipflow.placement import REPLICAS_MAX

Network: TypeAlias = IPv4Network | IPv6Network
Subdirs: TypeAlias = Literal["hourly", "daily", "none"]
Durability: TypeAlias = Literal["process", "disk"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
Kind: TypeAlias = Literal["local", "remote"]

TOKEN_VARIABLE = "SIPFLOW_TOKEN"  # noqa: S105 - the name of a variable, not a secret
HEP_KEY_VARIABLE = "SIPFLOW_HEP_KEY"


class Address(NamedTuple):
    """Where to bind: an IP address in text, without brackets, and a port; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write as host:port, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        return ip_address(self.host).is_loopback


class Alias(NamedTuple):
    """What people call an address: shown wherever it stands in a ladder."""

    ip: str
    name: str

    def __str__(self) -> str:
        """Write as the configuration has it."""
        return f'"{self.ip}" = "{self.name}"'


# The ports RustPBX senders and consoles use; on all interfaces, because packets and questions come from other machines.
# Beyond loopback HTTP answers only to `token` or `trusted`.
DEFAULT_UDP = Address("0.0.0.0", 3000)  # noqa: S104
DEFAULT_HTTP = Address("0.0.0.0", 3001)  # noqa: S104
# The port that HEP senders are set up for; open unasked, so that a proxy pointed at it is seen at once.
DEFAULT_HEP = Address("0.0.0.0", 9060)  # noqa: S104


# A full disk loses what comes in, which nobody has seen yet. File systems want a few percent to themselves; of a large
# disk that would be more than any burst between two looks of a minute needs.
# Room for eight chunks of SIP and of streams each, and for what is counted.
POOL_MIN_MB = 16
DEFAULT_MIN_FREE = Room(0.05, 20 * 10**9)


@dataclass(frozen=True)
class Retention:
    """What is kept: ages in microseconds, sizes in octets, None for no limit."""

    # Kept for ever unless somebody decides otherwise: what is deleted does not come back.
    sip_age: int | None = None
    rtp_age: int | None = None
    sip_bytes: int | None = None
    rtp_bytes: int | None = None
    # See DEFAULT_MIN_FREE.
    min_free: Room = DEFAULT_MIN_FREE

    @property
    def limits(self) -> bool:
        """Tell whether anything but the room on the disk limits what is kept."""
        return any(one is not None for one in (self.sip_age, self.rtp_age, self.sip_bytes, self.rtp_bytes))


@dataclass(frozen=True)
class Settings:
    """Everything a server can be told. Each default says why it is what it is."""

    # Both see DEFAULT_UDP and DEFAULT_HTTP.
    udp: tuple[Address, ...] = (DEFAULT_UDP,)
    http: Address = DEFAULT_HTTP
    # Where HEP comes in, by UDP and TCP: see DEFAULT_HEP.
    hep: tuple[Address, ...] = (DEFAULT_HEP,)
    # The key that HEP has to carry; none, because it travels in clear text and few senders set one.
    hep_key: str | None = field(default=None, repr=False)
    # Where HEP comes in by TLS; nowhere, because that takes a certificate.
    hep_tls: tuple[Address, ...] = ()
    hep_tls_cert: Path | None = None
    # None: in the same file as the certificate.
    hep_tls_key: Path | None = None
    # Beside the program, so that a first try needs no rights; a service names its own.
    root: Path = Path("data")
    # An hour is the unit that is sealed, packed and archived: small enough to move, large enough to compress.
    subdirs: Subdirs = "hourly"
    # Packets that may be pending before a commit, and the longest that an idle stream stays in the pool.
    flush_count: int = 500
    flush_interval_secs: int = 10
    # What is deleted, and when.
    retention: Retention = Retention()
    # Where sealed buckets go; nowhere, because only the user has a place for them.
    upload: Upload | None = None
    # What is sealed is put together call by call when the machine has time: an archive is then read in few requests.
    pack: bool = True
    # What questions fetched from the archive is kept for the next ones; more spares asking it again.
    archive_cache_mb: int = 2048
    # RTP is what makes recordings and loss figures possible; without it a store is about five times smaller.
    media: bool = True
    # Keys pressed in calls are shown and heard unless somebody says that they are payment data.
    hide_digits: bool = False
    # Rules of one's own for the diagnosis, a Python file; none, because it is run.
    rules: Path | None = None
    # No secret is better than a known one: without it only loopback and `trusted` networks are answered.
    token: str | None = field(default=None, repr=False)
    # Networks whose HTTP requests need no token; none, because nothing is trusted unasked.
    trusted: tuple[Network, ...] = ()
    # Networks whose packets are taken; empty takes all, as RustPBX does.
    allow: tuple[Network, ...] = ()
    # None: chosen from the memory of the machine when the recorder starts.
    pool_mb: int | None = None
    # None: /dev/shm when it has room, else ROOT/.pool.
    pool_dir: Path | None = None
    # Below 4 MB bursts are lost in ordinary scheduling delays (docs/DESIGN.md); more is room for worse ones.
    recv_buffer_mb: int = 32
    # One thread keeps up with two encoders (bench/ingest.py); more only help with several senders.
    receivers: int = 1
    # Two keep up with one receiver (bench/ingest.py); a third would take its core.
    encoders: int = 2
    # "process" survives the end of the process by any means; "disk" a power cut too, for what is older than `sync_ms`.
    durability: Durability = "process"
    # How often the pool is written to the disk with durability "disk": shorter loses less, and costs more writing.
    sync_ms: int = 200
    # One line per start, stop, bucket and fault; "debug" adds requests.
    log_level: LogLevel = "info"
    # Names of addresses, for people; none, because only they know them.
    aliases: tuple[Alias, ...] = ()
    # "local" stores what it receives; "remote" stores nothing and asks the nodes.
    type: Kind = "local"
    # The cluster, in the order of the slots, None for an empty one; none, because one server is no cluster.
    nodes: tuple[Node | None, ...] = ()
    # What this server is called, in an archive and among the nodes; None: that of the nodes which has an address of
    # ours, and without nodes the name of the machine.
    node: str | None = None
    # How many nodes keep each call, as the senders have it.
    replicas: int = 1
    # Beyond this a node is left out of an answer, and named: longer than a search takes, shorter than people wait.
    peer_timeout_ms: int = 2000
    # Settings of RustPBX that were accepted and do nothing here: one sentence each, for the log.
    without_effect: tuple[str, ...] = ()


# Keys of RustPBX that are understood and need no setting here, with the reason they need none.
WITHOUT_EFFECT = {
    "engine": "there is one storage format",
    "compress": "everything is compressed",
    "compress_level": "the levels are chosen by measurement",
    "id_cache_size": "Call-IDs need no cache",
    "shards": "one committer keeps up; see receivers and encoders",
    "channel_capacity": "the pool is the queue; see pool_mb",
    "blocking_backpressure": "the socket is never blocked; drops are counted",
    "memtable_size_mb": "there is no FlowDB engine",
    "block_cache_capacity_mb": "there is no FlowDB engine",
    "flowdb_sync_mode": "there is no FlowDB engine; see durability",
    "perf_log_interval": "counters are always live, see /metrics",
    "log_file": "the log goes to standard error; let the service manager keep it",
    "timeout_secs": "it concerns senders",
    "dns_ttl_secs": "it concerns senders",
    "mtu": "it concerns senders",
    "report_interval_secs": "it concerns senders",
    "sockets": "it concerns senders",
}
# Keys of RustPBX that ask for something this version does not do: refusing is honest, ignoring would lose data.
NOT_SUPPORTED = {
    "delegate_upload": "upload settings",
}
# RustPBX's spelling of a cluster of one, which only a node that stores nothing can use.
_ONE_NODE = ("udp_addr", "http_addr")

RETENTION = "retention"
# Nothing smaller than a bucket is deleted, and the smallest is an hour.
AGE_MIN_US = AGES["h"]

ADDRESS_FORM = "IP:PORT, e.g. 0.0.0.0:3000 or [::]:3000, port 0 to 65535"


def load(
    file: Path | None = None,
    overrides: Mapping[str, Given] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Read the settings: defaults, then the file, then the environment, then `overrides` (by name of the setting).

    The environment gives secrets: SIPFLOW_TOKEN, SIPFLOW_HEP_KEY.

    Raises ConfigError, one line that names the key (with file and line), what was found and what is allowed.
    """
    given = read_file(file) if file is not None else {}
    for name, variable in (("token", TOKEN_VARIABLE), ("hep_key", HEP_KEY_VARIABLE)):
        if environment.get(variable):
            given[name] = Given(environment[variable], variable)
    given.update(overrides or {})
    return settings_from(given)


def settings_from(given: Mapping[str, Given]) -> Settings:
    """Check given values, by name of the setting, and fill the rest with defaults. Raises ConfigError."""
    checked: dict[str, Any] = {}
    idle: list[str] = []
    for name, item in given.items():
        if name in WITHOUT_EFFECT:
            idle.append(f"{item.key}: accepted, has no effect: {WITHOUT_EFFECT[name]}")
        elif name in NOT_SUPPORTED:
            raise item._replace(value=NOT_SUPPORTED[name]).wrong("nothing: this is not supported by this version")
        elif name in ("nodes", *_ONE_NODE):
            continue  # they are read together
        elif name in _READERS:
            checked[name] = _READERS[name](item)
        elif name not in _RETENTION and not name.startswith(f"{UPLOAD}.") and name != UPLOAD:
            known: Iterable[str] = (
                _RETENTION
                if name.startswith(f"{RETENTION}.")
                else [*_READERS, "nodes", RETENTION, UPLOAD, *WITHOUT_EFFECT]
            )
            raise ConfigError(item.key, "an unknown key", nearest(name, list(known)), item.where)
    checked[UPLOAD] = upload_from(given)
    if checked[UPLOAD] is not None and checked.get("type") == "remote":
        checked[UPLOAD] = None
        idle.append(f"{UPLOAD}: accepted, has no effect: a server that stores nothing has nothing to archive")
    checked[RETENTION] = _retention({name: item for name, item in given.items() if name in _RETENTION})
    if checked.get("subdirs") == "none" and checked[RETENTION].limits:
        raise given["subdirs"].wrong(
            '"hourly" or "daily" where retention is set: it deletes whole buckets, never the only one'
        )
    _certificate_goes_with(given, checked)
    checked["nodes"] = _nodes(given, checked)
    # The readers return the type of the field they are listed under; the table below is the whole proof of it.
    return dataclasses.replace(Settings(without_effect=tuple(idle)), **checked)


def read_file(file: Path) -> dict[str, Given]:
    """Read the `[sipflow]` table of a TOML file; other tables belong to other programs. Raises ConfigError."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("--config", str(file), f"a readable file ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError("--config", str(file), f"a TOML file in UTF-8 (octet {error.start} is not)") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        where = f"{file}:{line[1]}" if line else str(file)
        raise ConfigError("TOML", str(error), "TOML 1.0, see https://toml.io", where) from None
    table = document.get("sipflow")
    if not isinstance(table, dict):
        found = ", ".join(f"[{name}]" for name in document) or "an empty file"
        raise ConfigError("[sipflow]", found, "a table [sipflow] that holds the settings", str(file))
    given = {name: Given(value, name, f"{file}:{_line_of(text, name)}") for name, value in table.items()}
    if "self" in given:
        if "node" in given:
            raise given["self"]._replace(value="beside node").wrong("one of the two spellings")
        given["node"] = given.pop("self")
    for below in (RETENTION, UPLOAD):
        if isinstance(table.get(below), dict):
            del given[below]
            for name, value in table[below].items():
                key = f"{below}.{name}"
                given[key] = Given(value, key, f"{file}:{_line_of(text, name, f'sipflow.{below}')}")
    return given


def parse_address(item: Given) -> Address:
    """Read IP:PORT or [IP]:PORT; `localhost` stands for 127.0.0.1. Raises ConfigError."""
    if not isinstance(item.value, str):
        raise item.wrong(ADDRESS_FORM)
    host, colon, port = item.value.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and bare == host):
        raise item.wrong(ADDRESS_FORM)
    try:
        return Address(str(ip_address("127.0.0.1" if bare == "localhost" else bare)), int(port))
    except ValueError:
        raise item.wrong(ADDRESS_FORM) from None


def _line_of(text: str, name: str, table: str = "sipflow") -> int:
    """Find the line of a key of a table, or of a table below it of that name; 1 when it is written in another way."""
    key = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*(=|\.)")
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
        if header:
            inside = header[1] == table
            if header[1].startswith(f"{table}.{name}"):
                return number
        elif inside and key.match(line):
            return number
    return 1


def _nodes(given: Mapping[str, Given], checked: Mapping[str, Any]) -> tuple[Node | None, ...]:
    """Read the cluster, and see that this server can be one of it."""
    remote, own = checked.get("type") == "remote", given.get("node")
    for name in _ONE_NODE:
        if name in given and not remote:
            raise given[name]._replace(value="a node of a cluster").wrong('[[sipflow.nodes]], or type = "remote"')
    if "nodes" not in given and not remote:
        if own is not None:
            node_name(own)
        return ()
    found = nodes_from(given, checked.get("replicas", 1))
    key = given.get("nodes", Given("", "nodes"))
    for node in found.present:
        if not node.http and node.name != checked.get("node"):
            raise key._replace(value=f"{node.name} without http").wrong('http = "http://HOST:PORT" of each, to ask it')
        if checked[UPLOAD] is not None and not is_node_name(node.name):
            raise key._replace(value=node.name).wrong(
                f"with [sipflow.upload] a name for each, which the archive has it by: {NODE_NAME_FORM}"
            )
    names = [node.name for node in found.present]
    if own is not None and remote:
        raise own.wrong('nothing with type = "remote", which is none of the nodes')
    if own is not None and checked["node"] not in names:
        raise own.wrong(f"the name of one of the nodes: {', '.join(names)}")
    return found.nodes


def _addresses(item: Given) -> tuple[Address, ...]:
    values = item.value if isinstance(item.value, list | tuple) else [item.value]
    addresses = tuple(parse_address(item._replace(value=value)) for value in values)
    if not addresses:
        raise item.wrong(f"at least one of {ADDRESS_FORM}")
    for index, address in enumerate(addresses):
        if address in addresses[:index] and address.port:
            raise item.wrong("each address once")
    return addresses


def _addresses_or_none(item: Given) -> tuple[Address, ...]:
    if item.value in ("none", ["none"], []):
        return ()
    try:
        return _addresses(item)
    except ConfigError as error:
        raise ConfigError(error.key, error.found, f'{error.allowed}; or "none"', error.where) from None


def _certificate_goes_with(given: Mapping[str, Given], checked: Mapping[str, object]) -> None:
    """Refuse TLS without a certificate, and a certificate that nothing uses."""
    cert, key = given.get("hep_tls_cert"), given.get("hep_tls_key")
    if checked.get("hep_tls") and cert is None:
        raise given["hep_tls"].wrong("an address only beside hep_tls_cert, a file with the certificate (PEM)")
    for name in (cert, key):
        if name is not None and not checked.get("hep_tls"):
            raise name.wrong("a file only beside hep_tls, the address that it is for")


def _networks(item: Given) -> tuple[Network, ...]:
    values = item.value if isinstance(item.value, list | tuple) else [item.value]
    networks = []
    for value in values:
        try:
            if not isinstance(value, str):
                raise ValueError
            networks.append(ip_network(value.strip()))
        except ValueError as error:
            reason = f" ({error})" if "host bits" in str(error) else ""
            form = f"networks in CIDR form, e.g. 10.0.0.0/8 or 2001:db8::/32{reason}"
            raise item._replace(value=value).wrong(form) from None
    return tuple(networks)


def _aliases(item: Given) -> tuple[Alias, ...]:
    form = 'a table of IP addresses and names of 1 to 64 printable characters, e.g. "10.0.0.5" = "kamailio-1"'
    if not isinstance(item.value, Mapping):
        raise item.wrong(form)
    found = []
    for ip, name in item.value.items():
        one = item._replace(key=f"{item.key}.{ip}", value=name)
        try:
            address = str(ip_address(str(ip).strip("[]")))
        except ValueError:
            raise one.wrong(form) from None
        if not isinstance(name, str) or not name.strip() or len(name) > 64 or not name.isprintable():
            raise one.wrong(form)
        found.append(Alias(address, name.strip()))
    return tuple(found)


def _path(item: Given) -> Path:
    if isinstance(item.value, str) and item.value.strip() and "\0" not in item.value:
        return Path(item.value).expanduser()
    raise item.wrong("a directory")


def _file(item: Given) -> Path:
    if isinstance(item.value, str) and item.value.strip() and "\0" not in item.value:
        return Path(item.value).expanduser()
    raise item.wrong("a file")


def _rules(item: Given) -> Path:
    if isinstance(item.value, str) and item.value.strip().endswith(".py") and "\0" not in item.value:
        return Path(item.value).expanduser()
    raise item.wrong("a Python file, e.g. rules.py")


def _room(item: Given) -> Room:
    if item.value in ("none", 0) and not isinstance(item.value, bool):
        return Room()
    try:
        if isinstance(item.value, int) and not isinstance(item.value, bool) and item.value > 0:
            return Room(octets=item.value)
        if isinstance(item.value, str):
            return parse_room(item.value)
    except ValueError:
        pass
    raise item.wrong(f'a share of the disk, e.g. 5%, or {SIZE_FORM}; or "none"')


def _retention(given: Mapping[str, Given]) -> Retention:
    """Put the limits together: one age for both, or one for each."""
    checked = {name: _RETENTION[name](item) for name, item in given.items()}
    both, seconds = given.get(RETENTION), given.get("ttl_secs")
    if both is not None and seconds is not None:
        raise seconds._replace(value=f"beside {both.key}").wrong("one of the two spellings")
    both_age = checked.pop(RETENTION, checked.pop("ttl_secs", None))
    limits = Retention(sip_age=both_age, rtp_age=both_age)
    limits = dataclasses.replace(limits, **{name.partition(".")[2]: value for name, value in checked.items()})
    if limits.sip_age is not None and limits.rtp_age is not None and limits.rtp_age > limits.sip_age:
        rtp_age = given.get(f"{RETENTION}.rtp_age")
        if rtp_age is not None:
            raise rtp_age.wrong(f"up to {age_text(limits.sip_age)}, the age of SIP: media goes with its signalling")
        limits = dataclasses.replace(limits, rtp_age=limits.sip_age)
    return limits


def _seconds(item: Given) -> int | None:
    # RustPBX: the life of a packet in seconds, 0 for ever.
    seconds = whole(0, 10**10)(item)
    if 0 < seconds * SECOND_US < AGE_MIN_US:
        raise item.wrong("0 for ever, or 3600 and more")
    return seconds * SECOND_US or None


def _name(item: Given) -> str:
    if isinstance(item.value, str) and item.value.strip():
        return item.value.strip()
    raise item.wrong(NODE_NAME_FORM)


def _token(item: Given) -> str:
    # The value is a secret: the error tells its length, never its text.
    value = item.value
    if isinstance(value, str) and len(value) >= 16 and value.isascii() and value.isprintable() and " " not in value:
        return value
    found = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
    raise ConfigError(item.key, found, "16 or more printable ASCII characters without blanks", item.where)


def _hep_key(item: Given) -> str:
    # A secret too, but one that others may have chosen: any that a sender can write in one line.
    value = item.value
    if isinstance(value, str) and 1 <= len(value) <= 255 and value.isascii() and value.isprintable():
        return value
    found = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
    raise ConfigError(item.key, found, "1 to 255 printable ASCII characters", item.where)


_READERS: dict[str, Callable[[Given], object]] = {
    "udp": _addresses,
    "http": parse_address,
    "hep": _addresses_or_none,
    "hep_key": _hep_key,
    "hep_tls": _addresses_or_none,
    "hep_tls_cert": _file,
    "hep_tls_key": _file,
    "root": _path,
    "subdirs": choice("hourly", "daily", "none"),
    "flush_count": whole(0, 10_000_000),
    "flush_interval_secs": whole(0, 3600),
    "media": flag,
    "hide_digits": flag,
    "rules": _rules,
    "pack": flag,
    "archive_cache_mb": whole(64, 1 << 24),
    "token": _token,
    "trusted": _networks,
    "allow": _networks,
    "pool_mb": whole(POOL_MIN_MB, 1 << 20),
    "pool_dir": _path,
    "recv_buffer_mb": whole(1, 2047),
    "receivers": whole(1, 16),
    "encoders": whole(1, 64),
    "durability": choice("process", "disk"),
    "sync_ms": whole(10, 60_000),
    "log_level": choice("debug", "info", "warning", "error"),
    "aliases": _aliases,
    "type": choice("local", "remote"),
    "node": _name,
    "replicas": whole(1, REPLICAS_MAX),
    "peer_timeout_ms": whole(50, 600_000),
}
_AGE = age(AGE_MIN_US, "one hour or more")
# The settings that make up Settings.retention.
_RETENTION: dict[str, Callable[[Given], Any]] = {
    RETENTION: _AGE,
    "ttl_secs": _seconds,
    f"{RETENTION}.sip_age": _AGE,
    f"{RETENTION}.rtp_age": _AGE,
    f"{RETENTION}.sip_bytes": size,
    f"{RETENTION}.rtp_bytes": size,
    f"{RETENTION}.min_free": _room,
}
