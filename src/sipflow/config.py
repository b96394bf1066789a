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
from typing import Any, Literal, NamedTuple, TypeAlias

from sipflow.amount import AGE_FORM, AGES, SIZE_FORM, Room, age_text, parse_age, parse_room, parse_size
from sipflow.clock import SECOND_US
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


# A full disk loses what comes in, which nobody has seen yet. File systems want a few percent to themselves; of a large
# disk that would be more than any burst between two looks of a minute needs.
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
    # Beside the program, so that a first try needs no rights; a service names its own.
    root: Path = Path("data")
    # An hour is the unit that is sealed, packed and archived: small enough to move, large enough to compress.
    subdirs: Subdirs = "hourly"
    # Packets that may be pending before a commit, and the longest that an idle stream stays in the pool.
    flush_count: int = 500
    flush_interval_secs: int = 10
    # What is deleted, and when.
    retention: Retention = Retention()
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

RETENTION = "retention"
# Nothing smaller than a bucket is deleted, and the smallest is an hour.
AGE_MIN_US = AGES["h"]

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
    checked: dict[str, Any] = {}
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
        elif name not in _RETENTION:
            known = _RETENTION if name.startswith(f"{RETENTION}.") else [*_READERS, RETENTION, *WITHOUT_EFFECT]
            raise ConfigError(item.key, "an unknown key", nearest(name, list(known)), item.where)
    checked[RETENTION] = _retention({name: item for name, item in given.items() if name in _RETENTION})
    if checked.get("subdirs") == "none" and checked[RETENTION].limits:
        raise given["subdirs"].wrong(
            '"hourly" or "daily" where retention is set: it deletes whole buckets, never the only one'
        )
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
    if isinstance(table.get(RETENTION), dict):
        del given[RETENTION]
        for name, value in table[RETENTION].items():
            key = f"{RETENTION}.{name}"
            given[key] = Given(value, key, f"{file}:{_line_of(text, name, f'sipflow.{RETENTION}')}")
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


def nearest(name: str, known: list[str]) -> str:
    """Say which known name was probably meant, or list them all."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f"{close[0]} (did you mean that?)" if close else ", ".join(sorted(known))


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


def _age(item: Given) -> int | None:
    if item.value == "none":
        return None
    try:
        age_us = parse_age(item.value) if isinstance(item.value, str) else 0
    except ValueError:
        age_us = 0
    if age_us < AGE_MIN_US:
        raise item.wrong(f'{AGE_FORM}, one hour or more; or "none"')
    return age_us


def _size(item: Given) -> int | None:
    if item.value == "none":
        return None
    if isinstance(item.value, int) and not isinstance(item.value, bool) and item.value > 0:
        return item.value
    try:
        octets = parse_size(item.value) if isinstance(item.value, str) else 0
    except ValueError:
        octets = 0
    if octets == 0:
        raise item.wrong(f'{SIZE_FORM}, more than none; or "none"')
    return octets


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
    age = checked.pop(RETENTION, checked.pop("ttl_secs", None))
    limits = Retention(sip_age=age, rtp_age=age)
    limits = dataclasses.replace(limits, **{name.partition(".")[2]: value for name, value in checked.items()})
    if limits.sip_age is not None and limits.rtp_age is not None and limits.rtp_age > limits.sip_age:
        rtp_age = given.get(f"{RETENTION}.rtp_age")
        if rtp_age is not None:
            raise rtp_age.wrong(f"up to {age_text(limits.sip_age)}, the age of SIP: media goes with its signalling")
        limits = dataclasses.replace(limits, rtp_age=limits.sip_age)
    return limits


def _seconds(item: Given) -> int | None:
    # RustPBX: the life of a packet in seconds, 0 for ever.
    seconds = _whole(0, 10**10)(item)
    if 0 < seconds * SECOND_US < AGE_MIN_US:
        raise item.wrong("0 for ever, or 3600 and more")
    return seconds * SECOND_US or None


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
# The settings that make up Settings.retention.
_RETENTION: dict[str, Callable[[Given], Any]] = {
    RETENTION: _age,
    "ttl_secs": _seconds,
    f"{RETENTION}.sip_age": _age,
    f"{RETENTION}.rtp_age": _age,
    f"{RETENTION}.sip_bytes": _size,
    f"{RETENTION}.rtp_bytes": _size,
    f"{RETENTION}.min_free": _room,
}
