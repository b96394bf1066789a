"""The commands of `sipflow archive`: what an archive holds, parts put there and brought back, whether all is sound."""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial, wraps
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import click
import msgspec

from sipflow.amount import size_text
from sipflow.archive.adoption import Archived, archived
from sipflow.archive.archiver import Archiver
from sipflow.archive.call_tables import CallTables
from sipflow.archive.fetching import fetch_part
from sipflow.archive.lock import archive_lock
from sipflow.archive.manifest import part_key
from sipflow.archive.opening import node_of, open_place
from sipflow.archive.place import Place
from sipflow.archive.remote_adoption import adopt_missing
from sipflow.archive.sending import prove, read_manifest
from sipflow.archive.state import ArchiveState, read_state
from sipflow.cli.care import Bars
from sipflow.cli.ladder_text import printable
from sipflow.cli.output import write_json
from sipflow.clock import format_time
from sipflow.config import load
from sipflow.destination import Upload
from sipflow.errors import ArchiveError, BadQuery, ConfigError, ObjectDamaged, ObjectMissing, StorageError
from sipflow.given import Given
from sipflow.own_node import settled
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.layout import CATALOG, is_bucket


class _At(NamedTuple):
    """Where a command works: the data root, the node, the settings and the opened place."""

    root: Path
    node: str
    upload: Upload
    place: Place


class PartTold(msgspec.Struct, frozen=True):
    """An archived part as JSON has it; `local` tells whether its files stand here too, `fault` what is wrong."""

    path: str
    key: str
    local: bool
    listed: bool
    calls: int = 0
    sip_messages: int = 0
    rtp_packets: int = 0
    octets: int = 0
    packed: bool = False
    archived_us: int | None = None
    fault: str = ""


class Listing(msgspec.Struct, frozen=True):
    """What an archive holds of a node, and what waits to go there; `state` is what the archiver last said."""

    where: str
    node: str
    parts: list[PartTold]
    waiting: list[str]
    state: ArchiveState | None


class FindingTold(msgspec.Struct, frozen=True):
    """Something wrong with an archived part."""

    path: str
    what: str


class Verified(msgspec.Struct, frozen=True):
    """What was verified of an archive; `sound` when nothing is wrong.

    `by_crc` counts the objects whose manifest has no digest: they were read back and held to a CRC-32C alone.
    """

    where: str
    node: str
    sound: bool
    parts: int
    octets: int
    by_crc: int
    findings: list[FindingTold]


@click.group("archive")
def archive() -> None:
    """Shows and tends what [sipflow.upload] archives: sealed buckets in S3 or on an HTTP server."""


def _placed(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which archive, and hand it that first."""

    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        required=True,
        help="Settings of the server, with [sipflow.upload].",
    )
    @click.option("--dir", "root", type=click.Path(path_type=Path), help="Data directory; that of --config else.")
    @click.option("--node", help="Parts of another node of the same archive.")
    @wraps(command)
    def run(config: Path, root: Path | None, node: str | None, **rest: Any) -> None:
        settings = load(config, {} if root is None else {"root": Given(str(root), "--dir")})
        if settings.upload is None:
            raise ConfigError("[sipflow.upload]", "nothing", "the place to archive to", str(config))
        at = _At(settings.root, node_of(node or settled(settings).node), settings.upload, open_place(settings.upload))
        command(at, **rest)

    return run


@archive.command("ls")
@_placed
@click.argument("below", default="")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_parts(at: _At, below: str, as_json: bool) -> None:
    """List the parts in the archive, oldest first; BELOW is a beginning of their paths, as 2026/06.

    Ends with status 1 when a manifest cannot be read.
    """
    known = _known(at.root)
    told = [_told(at.root, known, one) for one in _found(at, below, known)]
    waiting = sorted(part.path for part in known.values() if part.sealed and part.archived_us is None)
    listing = Listing(at.upload.where, at.node, told, waiting, read_state(at.root))
    if as_json:
        write_json(listing)
    else:
        _print(listing)
    if any(one.fault for one in told):
        raise click.exceptions.Exit(1)


@archive.command("push")
@_placed
def push(at: _At) -> None:
    """Archive now whatever is sealed and not archived yet, packed or not, and what was given up.

    A server that archives does so by itself; beside one this ends with status 1, as it does when a part does not go.
    """
    _need_catalog(at.root)
    with archive_lock(at.root), Bars() as bars:
        worker = Archiver(
            at.root, dataclasses.replace(at.upload, pack_wait=0, queue_limit=None), at.node, at.place,
            makers=(CallTables(at.node).make,), progress=lambda path, *done: bars(Path(path), *done),
        )  # fmt: skip
        worker.take_back()
        worker.turn(lambda: "nothing expires on a push")
    state = worker.state
    click.echo(
        f"{at.root}: {state.archived_parts} parts, {size_text(state.archived_octets)} archived to {at.place.where}"
    )
    _complain([*state.refused, *worker.passed, *([state.error] if state.error else ())])


@archive.command("pull")
@_placed
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--hold/--no-hold", default=True, help="Keep retention from evicting them again (the default).")
def pull(at: _At, paths: tuple[str, ...], hold: bool) -> None:
    """Bring parts back to the data directory: all those below PATH, as 2026/06/01/00, whose files are not here.

    What was fetched is verified before it stands there. A server may be recording meanwhile.
    """
    at.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    count = octets = 0
    failed = []
    with Bars() as bars:
        for one in _chosen(at, paths):
            path = one.manifest.path if one.manifest is not None else one.key
            if is_bucket(at.root / path):
                continue
            try:
                octets += fetch_part(at.root, at.place, one, lambda key, *done: bars(Path(key), *done), hold=hold)
                count += 1
            except (ArchiveError, StorageError) as error:
                failed.append(str(error))
    click.echo(f"{at.root}: {count} parts, {size_text(octets)} pulled from {at.place.where}")
    _complain(failed)


@archive.command("verify")
@_placed
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--quick", is_flag=True, help="Sizes only, without reading everything back.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def verify(at: _At, paths: tuple[str, ...], quick: bool, as_json: bool) -> None:
    """Read the archive back, held to its manifests, and these to the catalog; status 1 when something is wrong.

    Each object is held to its size, its CRC-32C and the digest in its manifest; older manifests have no digest.
    """
    known = _known(at.root)
    findings: list[FindingTold] = []
    seen: set[str] = set()
    parts = octets = by_crc = 0
    with Bars() as bars:
        for one in _chosen(at, paths) if paths else _found(at, "", known):
            if one.manifest is not None and not quick:
                by_crc += sum(not file.blake2b for file in one.manifest.files)
            found, read = _verified(at, one, quick, bars)
            findings += found
            parts, octets = parts + 1, octets + read
            seen.add(one.key)
    if not paths:
        findings += [
            FindingTold(part.path, "the catalog has it as archived, and the archive has no manifest of it")
            for part in known.values()
            if part.archive_key is not None and part.archive_key not in seen and part.deleted_us is None
            and part.archive_key.startswith(f"{at.node}")
        ]  # fmt: skip
    report = Verified(at.upload.where, at.node, not findings, parts, octets, by_crc, findings)
    if as_json:
        write_json(report)
    else:
        for finding in findings:
            click.echo(printable(f"{finding.path}: {finding.what}"))
        if by_crc:
            click.echo(
                f"{by_crc} objects held to a CRC-32C alone: their manifests are of a version that wrote no digest"
            )
        verdict = "sound" if report.sound else f"{len(findings)} damages"
        click.echo(f"{at.place.where}: {parts} parts of {at.node}, {octets} octets verified: {verdict}")
    if findings:
        raise click.exceptions.Exit(1)


@archive.command("adopt")
@_placed
def adopt_parts(at: _At) -> None:
    """List again, in the catalog, parts that only the archive knows: after a catalog was lost, or on a new machine."""
    with Bars() as bars:
        adopted = adopt_missing(at.root, at.place, at.node, lambda done, every: bars(Path(at.node), done, every))
    click.echo(f"{at.root}: {adopted.parts} parts of {at.place.where} are listed again")
    _complain(adopted.faults)


def _verified(at: _At, one: Archived, quick: bool, bars: Bars) -> tuple[list[FindingTold], int]:
    if one.manifest is None or one.fault:
        return [FindingTold(one.key, one.fault)], 0
    findings, octets = [], 0
    for file in one.manifest.files:
        key = f"{one.key}/{file.name}"
        told = partial(bars, Path(key), total=max(file.octets, 1))
        told(0)
        try:
            prove(at.place, key, file, "size" if quick else "read", progress=told)
        except (ObjectDamaged, ObjectMissing) as error:
            findings.append(FindingTold(key, error.reason))
        octets += file.octets
        told(max(file.octets, 1))
    return findings, octets


def _found(at: _At, below: str, known: dict[str, Part]) -> Iterable[Archived]:
    """Walk the archive; a place that cannot be listed is asked for the parts that the catalog has."""
    if at.place.lists:
        return archived(at.place, at.node, below.strip("/"))
    return _asked(at, (path for path in sorted(known) if PurePosixPath(path).is_relative_to(below)), known)


def _asked(at: _At, paths: Iterable[str], known: dict[str, Part]) -> Iterable[Archived]:
    for path in paths:
        if known[path].archived_us is None:
            continue
        key = known[path].archive_key or part_key(at.node, path)
        try:
            yield Archived(key, read_manifest(at.place, key))
        except (ObjectDamaged, ObjectMissing) as error:
            yield Archived(key, None, error.reason)


def _chosen(at: _At, paths: tuple[str, ...]) -> Iterable[Archived]:
    known = _known(at.root)
    for path in paths:
        some = list(_found(at, path, known))
        if not some:
            raise BadQuery(f"PATH: found {path!r}; allowed: a path of `sipflow archive ls`, as 2026/06/01/00")
        yield from some


def _known(root: Path) -> dict[str, Part]:
    if not (root / CATALOG).exists():
        return {}
    catalog = Catalog(root, readonly=True)
    try:
        return {part.path: part for part in catalog.standing()}
    finally:
        catalog.close()


def _need_catalog(root: Path) -> None:
    if not (root / CATALOG).exists():
        raise StorageError("open", root / CATALOG, "no such file; `sipflow reindex` makes it of the buckets")


def _told(root: Path, known: dict[str, Part], one: Archived) -> PartTold:
    manifest = one.manifest
    if manifest is None:
        return PartTold(one.key, one.key, False, False, fault=one.fault)
    return PartTold(
        manifest.path, one.key, is_bucket(root / manifest.path), manifest.path in known, manifest.calls,
        manifest.sip_messages, manifest.rtp_packets, manifest.octets, manifest.packed, manifest.written_us, one.fault,
    )  # fmt: skip


def _print(listing: Listing) -> None:
    rows = [("PATH", "CALLS", "SIP", "RTP", "SIZE", "ARCHIVED", "HERE")]
    for one in listing.parts:
        when = "" if one.archived_us is None else format_time(one.archived_us)[:16].replace("T", " ")
        here = "yes" if one.local else "no" if one.listed else "not listed"
        counted = (str(one.calls), str(one.sip_messages), str(one.rtp_packets), size_text(one.octets))
        rows.append((one.path, *counted, when, one.fault or here))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for path, *counts, when, here in rows:
        numbers = "  ".join(f"{one:>{width}}" for one, width in zip(counts, widths[1:5], strict=True))
        click.echo(printable(f"{path:<{widths[0]}}  {numbers}  {when:<{widths[5]}}  {here}"))
    total = sum(one.octets for one in listing.parts)
    click.echo(
        f"{listing.where}: {len(listing.parts)} parts of {listing.node}, {size_text(total)}; "
        f"{len(listing.waiting)} parts are not archived yet"
    )
    if listing.state is not None and listing.state.error:
        click.echo(f"sipflow: {printable(listing.state.error)}", err=True)


def _complain(failed: list[str]) -> None:
    for sentence in failed:
        click.echo(f"sipflow: {printable(sentence)}", err=True)
    if failed:
        raise click.exceptions.Exit(1)
