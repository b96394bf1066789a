"""The command line of sipflow-server: its own spellings, and those of RustPBX's stand-alone server."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from sipflow.config import WITHOUT_EFFECT, Settings, load
from sipflow.errors import ConfigError
from sipflow.given import Given, nearest
from sipflow.version import __version__

MIB = 1 << 20

# RustPBX options that need no setting here: option, name of the setting, metavar (None: a switch).
_IDLE: tuple[tuple[str, str, str | None], ...] = (
    ("--buffer-size", "channel_capacity", "N"),
    ("--id-cache-size", "id_cache_size", "N"),
    ("--shards", "shards", "N"),
    ("--engine", "engine", "NAME"),
    ("--no-compress", "compress", None),
    ("--compress-level", "compress_level", "N"),
    ("--blocking-backpressure", "blocking_backpressure", None),
    ("--memtable-size-mb", "memtable_size_mb", "N"),
    ("--block-cache-capacity-mb", "block_cache_capacity_mb", "N"),
    ("--perf-log-interval", "perf_log_interval", "SECONDS"),
    ("--log-file", "log_file", "FILE"),
)


class _Parser(argparse.ArgumentParser):
    """Parses as argparse does, but says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the one line and exit with status 2."""
        unknown, _, rest = message.partition("unrecognized arguments: ")
        if rest and not unknown:
            name = rest.split()[0].partition("=")[0]
            known = [option for action in self._actions for option in action.option_strings if option[:2] == "--"]
            message = f"{name}: found 'an unknown option'; allowed: {nearest(name, known)}"
        sys.stderr.write(f"{self.prog}: {message}\n")
        raise SystemExit(2)


def parse_arguments(argv: Sequence[str]) -> Settings:
    """Read the arguments after the program's name, and the file of --config, into Settings.

    Prints one line to standard error and exits with status 2 when something is wrong; --help and --version exit 0.
    """
    parser = _build_parser()
    try:
        return _settings(parser, argv)
    except ConfigError as error:
        parser.error(str(error))


def read_again(argv: Sequence[str]) -> Settings:
    """Read the same arguments and the file as it is by now. Raises ConfigError."""
    return _settings(_build_parser(), argv)


def _settings(parser: argparse.ArgumentParser, argv: Sequence[str]) -> Settings:
    options = vars(parser.parse_args(argv))
    return load(Path(options["config"]) if options["config"] else None, _overrides(options))


def _overrides(options: dict[str, Any]) -> dict[str, Given]:
    """Turn what the parser found into values by name of the setting, the user's spelling kept for errors."""
    found: dict[str, Given] = {}
    for name, key in _DIRECT.items():
        if options[name] is not None:
            found[name] = Given(options[name], key)
    if options["receivers"] == 0:
        found["receivers"] = Given(1, "--recv-tasks")  # RustPBX: 0 lets the server choose
    if options["addr"] is not None or options["port"] is not None:
        if "udp" in found:
            raise ConfigError("--addr/--port", "beside --udp", "one of the two spellings")
        key = "--addr" if options["addr"] is not None else "--port"
        found["udp"] = Given(f"{_bracketed(options['addr'] or '0.0.0.0')}:{options['port'] or '3000'}", key)  # noqa: S104
    if options["http_port"] is not None:
        if "http" in found:
            raise ConfigError("--http-port", "beside --http", "one of the two spellings")
        found["http"] = Given(f"0.0.0.0:{options['http_port']}", "--http-port")
    if options["recv_buffer_octets"] is not None:
        found["recv_buffer_mb"] = Given(-(-options["recv_buffer_octets"] // MIB), "--recv-buffer-size (in MB)")
    for option, name, _ in _IDLE:
        if options[f"idle_{name}"] not in (None, False):
            found[name] = Given(options[f"idle_{name}"], option)
    return found


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


# Options whose value is the value of the setting: setting, spelling shown in errors.
_DIRECT = {
    "udp": "--udp",
    "http": "--http",
    "hep": "--hep",
    "hep_tls": "--hep-tls",
    "hep_tls_cert": "--hep-tls-cert",
    "hep_tls_key": "--hep-tls-key",
    "root": "--dir",
    "subdirs": "--subdirs",
    "retention": "--retention",
    "retention.sip_age": "--sip-age",
    "retention.rtp_age": "--rtp-age",
    "retention.sip_bytes": "--sip-bytes",
    "retention.rtp_bytes": "--rtp-bytes",
    "retention.min_free": "--min-free",
    "ttl_secs": "--ttl-secs",
    "flush_count": "--flush-count",
    "flush_interval_secs": "--flush-interval",
    "node": "--node",
    "pack": "--pack",
    "archive_cache_mb": "--archive-cache-mb",
    "media": "--media",
    "hide_digits": "--hide-digits",
    "rules": "--rules",
    "trusted": "--trusted",
    "allow": "--allow",
    "pool_mb": "--pool-mb",
    "pool_dir": "--pool-dir",
    "recv_buffer_mb": "--recv-buffer-mb",
    "receivers": "--receivers",
    "encoders": "--encoders",
    "durability": "--durability",
    "sync_ms": "--sync-ms",
    "log_level": "--log-level",
}


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sipflow-server",
        description="Receives mirrored SIP and RTP, stores it, and answers queries over HTTP.",
        epilog="Every setting may also stand in the [sipflow] table of --config FILE; the command line wins. "
        "Secrets are read from the file (token, hep_key) or from SIPFLOW_TOKEN and SIPFLOW_HEP_KEY, never from the "
        "command line.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", "-V", action="version", version=f"sipflow-server {__version__}")
    add("--config", metavar="FILE", help="read settings from the [sipflow] table of a TOML file")
    add("--udp", action="append", metavar="IP:PORT", help="take packets here; may be repeated (0.0.0.0:3000)")
    add("--http", metavar="IP:PORT", help="answer queries here (0.0.0.0:3001)")
    add(
        "--hep",
        action="append",
        metavar="IP:PORT",
        help="take HEP here, by UDP and TCP; may be repeated; none (0.0.0.0:9060)",
    )
    add("--hep-tls", action="append", metavar="IP:PORT", help="take HEP here by TLS; may be repeated (none)")
    add("--hep-tls-cert", metavar="FILE", help="the certificate for it, and those above it (PEM)")
    add("--hep-tls-key", metavar="FILE", help="its key, unless that is in the same file (PEM)")
    add("--dir", "-r", "--root", dest="root", metavar="DIR", help="keep the data here (./data)")
    add("--subdirs", metavar="WORD", help="one directory per: hourly, daily, none (hourly)")
    for option, form, text in (
        ("--retention", "AGE", "keep everything so long, e.g. 30d (for ever)"),
        ("--sip-age", "AGE", "keep SIP so long, and what belongs to it"),
        ("--rtp-age", "AGE", "keep RTP so long"),
        ("--sip-bytes", "SIZE", "keep so much SIP, e.g. 50GB"),
        ("--rtp-bytes", "SIZE", "keep so much RTP"),
        ("--min-free", "ROOM", "keep so much of the disk free, e.g. 5%% or 10GB (the smaller of 5%% and 20GB)"),
    ):
        setting = next(setting for setting, spelling in _DIRECT.items() if spelling == option)
        add(option, dest=setting, metavar=form, help=text)
    add(
        "--node",
        metavar="NAME",
        help="what this server is called: one of [[sipflow.nodes]] (that with an address of ours), and in an archive "
        "(else the name of the machine)",
    )
    add("--archive-cache-mb", type=int, metavar="MB", help="keep so much of what is read from the archive (2048)")
    add("--rules", dest="rules", metavar="FILE", help="rules of one's own for the diagnosis, a Python file (none)")
    add(
        "--hide-digits",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show and play no keys that were pressed (no)",
    )
    add("--pack", action=argparse.BooleanOptionalAction, default=None, help="rewrite sealed buckets by call (yes)")
    add("--media", action=argparse.BooleanOptionalAction, default=None, help="record RTP (yes)")
    add("--flush-count", type=int, metavar="N", help="packets that may be pending before a commit (500)")
    add("--flush-interval", type=int, dest="flush_interval_secs", metavar="SECONDS", help="longest wait (10)")
    add("--trusted", action="append", metavar="CIDR", help="answer HTTP from this network without a token")
    add("--allow", action="append", metavar="CIDR", help="take packets from this network only; may be repeated")
    add("--pool-mb", type=int, metavar="MB", help="shared memory for packets on their way to disk (by memory)")
    add("--pool-dir", metavar="DIR", help="where that memory lives (/dev/shm, or DIR/.pool)")
    add("--recv-buffer-mb", type=int, metavar="MB", help="socket buffer (32)")
    add("--receivers", "--recv-tasks", type=int, metavar="N", help="receiving threads per address (1)")
    add("--encoders", type=int, metavar="N", help="compressing threads (2)")
    add("--durability", metavar="WORD", help="survive: process (a kill) or disk (a power cut) (process)")
    add("--sync-ms", type=int, metavar="MS", help="with --durability disk, how often the pool is synced (200)")
    add("--log-level", metavar="WORD", help="debug, info, warning, error (info)")
    peer = parser.add_argument_group("spellings of RustPBX's stand-alone server")
    peer.add_argument("-a", "--addr", metavar="IP", help="UDP address, as in --udp")
    peer.add_argument("-p", "--port", metavar="PORT", help="UDP port, as in --udp")
    peer.add_argument("--http-port", metavar="PORT", help="HTTP port on all addresses, as in --http")
    peer.add_argument(
        "--recv-buffer-size",
        type=int,
        dest="recv_buffer_octets",
        metavar="OCTETS",
        help="as --recv-buffer-mb, in octets",
    )
    peer.add_argument("--ttl-secs", type=int, dest="ttl_secs", metavar="N", help="as --retention, in seconds")
    for option, name, metavar in _IDLE:
        reason = f"accepted, no effect: {WITHOUT_EFFECT[name]}"
        if metavar is None:
            peer.add_argument(option, dest=f"idle_{name}", action="store_true", help=reason)
        else:
            peer.add_argument(option, dest=f"idle_{name}", metavar=metavar, help=reason)
    return parser
