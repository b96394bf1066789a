"""Settings written as the configuration that would give them: for the reader, and for people."""

import dataclasses
from typing import Final

from sipflow.amount import age_text
from sipflow.config import DEFAULT_MIN_FREE, RETENTION, Retention, Settings, settings_from
from sipflow.destination import HTTP_ONLY, S3_ONLY, UPLOAD, Upload
from sipflow.given import Given
from sipflow.node import written_nodes

Value = str | int | bool | list[str] | dict[str, str] | list[dict[str, str | bool]]
# What is shown to nobody. The nodes are shown without their tokens.
SECRETS: Final = ("token", "hep_key", f"{UPLOAD}.access_key", f"{UPLOAD}.secret_key", f"{UPLOAD}.headers")
_AGES: Final = ("keep_local", "keep_archive", "pack_wait")
_LIMITS: Final = ("sip_bytes", "rtp_bytes")


def written(settings: Settings) -> dict[str, Value]:
    """Write settings by their keys in the order of the configuration; those of retention as `retention.KEY`.

    What has no value is left out; `read_back` gives the same settings again. What is secret is among them, by the keys
    of SECRETS and as the `token` of each of `nodes`.
    """
    found: dict[str, Value] = {
        "udp": [str(address) for address in settings.udp],
        "http": str(settings.http),
        "hep": [str(address) for address in settings.hep],
        "hep_tls": [str(address) for address in settings.hep_tls],
        "root": str(settings.root),
        "subdirs": settings.subdirs,
        "flush_count": settings.flush_count,
        "flush_interval_secs": settings.flush_interval_secs,
        **_retention(settings.retention),
        **({} if settings.upload is None else _upload(settings.upload)),
        "pack": settings.pack,
        "archive_cache_mb": settings.archive_cache_mb,
        "media": settings.media,
        "hide_digits": settings.hide_digits,
        "trusted": [str(network) for network in settings.trusted],
        "allow": [str(network) for network in settings.allow],
        "recv_buffer_mb": settings.recv_buffer_mb,
        "receivers": settings.receivers,
        "encoders": settings.encoders,
        "durability": settings.durability,
        "sync_ms": settings.sync_ms,
        "log_level": settings.log_level,
        "aliases": {alias.ip: alias.name for alias in settings.aliases},
        "type": settings.type,
        "replicas": settings.replicas,
        "peer_timeout_ms": settings.peer_timeout_ms,
    }
    found |= {} if not settings.nodes else {"nodes": written_nodes(settings.nodes)}
    found |= {} if settings.token is None else {"token": settings.token}
    found |= {} if settings.hep_key is None else {"hep_key": settings.hep_key}
    found |= {} if settings.hep_tls_cert is None else {"hep_tls_cert": str(settings.hep_tls_cert)}
    found |= {} if settings.hep_tls_key is None else {"hep_tls_key": str(settings.hep_tls_key)}
    found |= {} if settings.pool_mb is None else {"pool_mb": settings.pool_mb}
    found |= {} if settings.pool_dir is None else {"pool_dir": str(settings.pool_dir)}
    found |= {} if settings.node is None else {"node": settings.node}
    found |= {} if settings.rules is None else {"rules": str(settings.rules)}
    return found


def _retention(limits: Retention) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, age in (("sip_age", limits.sip_age), ("rtp_age", limits.rtp_age)):
        if age is not None:
            found[f"{RETENTION}.{name}"] = age_text(age)
    for name in _LIMITS:
        octets = getattr(limits, name)
        if octets is not None:
            found[f"{RETENTION}.{name}"] = octets
    free = limits.min_free
    # The default is the only one of two parts, which has no spelling.
    if free != DEFAULT_MIN_FREE:
        share = None if free.share is None else f"{free.share * 100:.6f}".rstrip("0").rstrip(".") + "%"
        found[f"{RETENTION}.min_free"] = share or free.octets or "none"
    return found


def _upload(upload: Upload) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in ((field.name, getattr(upload, field.name)) for field in dataclasses.fields(upload)):
        known = f"{UPLOAD}.{name}"
        if name in _AGES and value is not None:
            found[known] = age_text(value)
        elif name == "headers" and value:
            found[known] = dict(value)
        elif value not in (None, "", ()) and not (name == "vendor" and upload.type == "http"):
            found[known] = value
    # What belongs to the other type has its default there, and no place in the file.
    return {name: value for name, value in found.items() if name not in _foreign(upload.type)}


def _foreign(kind: str) -> set[str]:
    return {f"{UPLOAD}.{name}" for name in (HTTP_ONLY if kind == "s3" else S3_ONLY)}


def read_back(found: dict[str, Value]) -> Settings:
    """Read what `written` wrote. Raises ConfigError."""
    return settings_from({name: Given(value, name) for name, value in found.items()})
