"""The settings of a server: what they are, why they default to what they do, and how they are read.

A setting comes from a TOML file (table `[sipflow]`, the keys RustPBX uses plus ours) or from the command line, which
wins. Both go through the same checks, so that a wrong value is refused in the same words wherever it stood.
"""

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from sipflow.errors import ConfigError

Network: TypeAlias = IPv4Network | IPv6Network
Subdirs: TypeAlias = Literal["hourly", "daily", "none"]
Durability: TypeAlias = Literal["process", "disk"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

TOKEN_VARIABLE = "SIPFLOW_TOKEN"  # noqa: S105 - the name of a variable, not a secret


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


# The ports RustPBX senders and consoles use; on all interfaces, because packets and questions come from other machines.
# Beyond loopback HTTP answers only to `token` or `trusted`.
DEFAULT_UDP = Address("0.0.0.0", 3000)  # noqa: S104
DEFAULT_HTTP = Address("0.0.0.0", 3001)  # noqa: S104


@dataclass(frozen=True)
class Settings:
    """Everything a server can be told. Each default says why it is what it is."""

    # Both see DEFAULT_UDP and DEFAULT_HTTP.
    udp: tuple[Address, ...] = (DEFAULT_UDP,)
    http: Address = DEFAULT_HTTP
    # Beside the program, so that a first try needs no rights; a service names its own.
    root: Path = Path("data")
    # An hour is the unit that is sealed, packed and archived: small enough to move, large enough to compress.
    subdirs: Subdirs = "hourly"
    # Packets that may be pending before a commit, and the longest that an idle stream stays in the pool.
    flush_count: int = 500
    flush_interval_secs: int = 10
    # RTP is what makes recordings and loss figures possible; without it a store is about five times smaller.
    media: bool = True
    # No secret is better than a known one: without it only loopback and `trusted` networks are answered.
    token: str | None = field(default=None, repr=False)
    # Networks whose HTTP requests need no token; none, because nothing is trusted unasked.
    trusted: tuple[Network, ...] = ()
    # Networks whose UDP packets are taken; empty takes all, as RustPBX does.
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
    # Settings of RustPBX that were accepted and do nothing here: one sentence each, for the log.
    without_effect: tuple[str, ...] = ()


class Given(NamedTuple):
    """A value as the user gave it: `key` in the user's own spelling, `where` the file and line, if any."""

    value: object
    key: str
    where: str = ""

    def wrong(self, allowed: str) -> ConfigError:
        """Give the error that says what stood here and what is allowed."""
        return ConfigError(self.key, self.value, allowed, self.where)


# Keys of RustPBX that are understood and need no setting here, with the reason they need none.
WITHOUT_EFFECT = {
    "type": "this server always stores locally",
    "engine": "there is one storage format",
    "compress": "everything is compressed",
    "compress_level": "the levels are chosen by measurement",
    "id_cache_size": "Call-IDs need no cache",
    "shards": "one committer keeps up; see receivers and encoders",
    "channel_capacity": "the pool is the queue; see pool_mb",
    "blocking_backpressure": "the socket is never blocked; drops are counted",
    "ttl_secs": "nothing is deleted by this version",
    "memtable_size_mb": "there is no FlowDB engine",
    "block_cache_capacity_mb": "there is no FlowDB engine",
    "flowdb_sync_mode": "there is no FlowDB engine; see durability",
    "perf_log_interval": "counters are always live, see /metrics",
    "log_file": "the log goes to standard error; let the service manager keep it",
    "timeout_secs": "it concerns senders",
    "dns_ttl_secs": "it concerns senders",
    "mtu": "it concerns senders",
    "report_interval_secs": "it concerns senders",
}
# Keys of RustPBX that ask for something this version does not do: refusing is honest, ignoring would lose data.
NOT_SUPPORTED = {
    "upload": "upload settings",
    "delegate_upload": "upload settings",
    "nodes": "the nodes of a cluster",
    "udp_addr": "a node of a cluster",
    "http_addr": "a node of a cluster",
}

ADDRESS_FORM = "IP:PORT, e.g. 0.0.0.0:3000 or [::]:3000, port 0 to 65535"


def load(
    file: Path | None = None,
    overrides: Mapping[str, Given] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Read the settings: defaults, then the file, then SIPFLOW_TOKEN, then `overrides` (by name of the setting).

    Raises ConfigError, one line that names the key (with file and line), what was found and what is allowed.
    """
    given = read_file(file) if file is not None else {}
    if environment.get(TOKEN_VARIABLE):
        given["token"] = Given(environment[TOKEN_VARIABLE], TOKEN_VARIABLE)
    given.update(overrides or {})
    return settings_from(given)


def settings_from(given: Mapping[str, Given]) -> Settings:
    """Check given values, by name of the setting, and fill the rest with defaults. Raises ConfigError."""
    checked: dict[str, object] = {}
    idle: list[str] = []
    for name, item in given.items():
        if name in WITHOUT_EFFECT:
            if name == "type":
                _one_of(item, ("local",), "this server stores what it receives; remote is a sender's setting")
            else:
                idle.append(f"{item.key}: accepted, has no effect: {WITHOUT_EFFECT[name]}")
        elif name in NOT_SUPPORTED:
            raise item._replace(value=NOT_SUPPORTED[name]).wrong("nothing: this is not supported by this version")
        elif name in _READERS:
            checked[name] = _READERS[name](item)
        else:
            raise ConfigError(item.key, "an unknown key", nearest(name, [*_READERS, *WITHOUT_EFFECT]), item.where)
    # The readers return the type of the field they are listed under; the table below is the whole proof of it.
    return dataclasses.replace(Settings(without_effect=tuple(idle)), **checked)  # type: ignore[arg-type]


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
    return {name: Given(value, name, f"{file}:{_line_of(text, name)}") for name, value in table.items()}


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


def nearest(name: str, known: list[str]) -> str:
    """Say which known name was probably meant, or list them all."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f"{close[0]} (did you mean that?)" if close else ", ".join(sorted(known))


def _line_of(text: str, name: str) -> int:
    """Find the line of a key of `[sipflow]`, or of the table `[sipflow.NAME]`; 1 when it is written in another way."""
    key = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*(=|\.)")
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
        if header:
            inside = header[1] == "sipflow"
            if header[1].startswith(f"sipflow.{name}"):
                return number
        elif inside and key.match(line):
            return number
    return 1


def _one_of(item: Given, choices: tuple[str, ...], reason: str = "") -> str:
    if isinstance(item.value, str) and item.value.lower() in choices:
        return item.value.lower()
    raise item.wrong(" or ".join(f'"{choice}"' for choice in choices) + (f" ({reason})" if reason else ""))


def _choice(*choices: str) -> Callable[[Given], str]:
    return lambda item: _one_of(item, choices)


def _whole(low: int, high: int) -> Callable[[Given], int]:
    def read(item: Given) -> int:
        # bool is an int in Python; `flush_count = true` is a mistake all the same.
        if isinstance(item.value, int) and not isinstance(item.value, bool) and low <= item.value <= high:
            return item.value
        raise item.wrong(f"a whole number from {low} to {high}")

    return read


def _addresses(item: Given) -> tuple[Address, ...]:
    values = item.value if isinstance(item.value, list | tuple) else [item.value]
    addresses = tuple(parse_address(item._replace(value=value)) for value in values)
    if not addresses:
        raise item.wrong(f"at least one of {ADDRESS_FORM}")
    for index, address in enumerate(addresses):
        if address in addresses[:index] and address.port:
            raise item.wrong("each address once")
    return addresses


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


def _path(item: Given) -> Path:
    if isinstance(item.value, str) and item.value.strip() and "\0" not in item.value:
        return Path(item.value).expanduser()
    raise item.wrong("a directory")


def _flag(item: Given) -> bool:
    if isinstance(item.value, bool):
        return item.value
    raise item.wrong("true or false")


def _token(item: Given) -> str:
    # The value is a secret: the error tells its length, never its text.
    value = item.value
    if isinstance(value, str) and len(value) >= 16 and value.isascii() and value.isprintable() and " " not in value:
        return value
    found = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
    raise ConfigError(item.key, found, "16 or more printable ASCII characters without blanks", item.where)


_READERS: dict[str, Callable[[Given], object]] = {
    "udp": _addresses,
    "http": parse_address,
    "root": _path,
    "subdirs": _choice("hourly", "daily", "none"),
    "flush_count": _whole(0, 10_000_000),
    "flush_interval_secs": _whole(0, 3600),
    "media": _flag,
    "token": _token,
    "trusted": _networks,
    "allow": _networks,
    "pool_mb": _whole(8, 1 << 20),
    "pool_dir": _path,
    "recv_buffer_mb": _whole(1, 2047),
    "receivers": _whole(1, 16),
    "encoders": _whole(1, 64),
    "durability": _choice("process", "disk"),
    "sync_ms": _whole(10, 60_000),
    "log_level": _choice("debug", "info", "warning", "error"),
}
