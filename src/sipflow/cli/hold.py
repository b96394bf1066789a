"""The commands that hold a call, let go of it, and list what is held."""

from pathlib import Path

import click
import msgspec

from sipflow.cli.care import DIRECTORY
from sipflow.cli.ladder_text import printable
from sipflow.clock import format_time, now_us
from sipflow.errors import BadQuery
from sipflow.storage.catalog import Catalog
from sipflow.storage.hold import CallHold, held_parts, hold, holds, release
from sipflow.storage.layout import CATALOG


class HeldCall(msgspec.Struct, frozen=True):
    """A held call as JSON has it, with the parts that may hold it."""

    call_id: str
    since_us: int
    why: str
    parts: list[str]


@click.command("hold")
@click.argument("call_ids", nargs=-1, metavar="[CALL-ID]...")
@DIRECTORY
@click.option("--why", default="", help="For whoever reads the list, e.g. a case number.")
@click.option("--json", "as_json", is_flag=True, help="The list as JSON.")
def hold_call(call_ids: tuple[str, ...], root: Path, why: str, as_json: bool) -> None:
    """Hold calls: buckets that may have them are not erased, deleted or evicted, nor removed from an archive.

    Without CALL-ID the held calls are listed. A server that runs there sees it within a minute.
    """
    _need(root)
    for call_id in call_ids:
        changed = hold(root, call_id, now_us(), why)
        click.echo(printable(f"{call_id}: {'held' if changed else 'was held already'}"), err=as_json)
    if call_ids and not as_json:
        return
    told = _told(root)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
        return
    for one in told:
        since = format_time(one.since_us)[:16].replace("T", " ")
        where = ", ".join(one.parts) or "in no bucket"
        click.echo(printable(f"{one.call_id}  since {since}  {where}" + (f"  {one.why}" if one.why else "")))
    click.echo(f"{root}: {len(told)} calls are held")


@click.command("release")
@click.argument("call_ids", nargs=-1, required=True, metavar="CALL-ID...")
@DIRECTORY
def release_call(call_ids: tuple[str, ...], root: Path) -> None:
    """Let go of held calls; ends with status 1 when one was not held."""
    _need(root)
    absent = [call_id for call_id in call_ids if not release(root, call_id)]
    for call_id in call_ids:
        click.echo(printable(f"{call_id}: {'was not held' if call_id in absent else 'released'}"))
    if absent:
        raise click.exceptions.Exit(1)


def _need(root: Path) -> None:
    if not root.is_dir():
        raise BadQuery(f"--dir: found {str(root)!r}; allowed: a data directory")


def _told(root: Path) -> list[HeldCall]:
    catalog = Catalog(root, readonly=True) if (root / CATALOG).exists() else None
    try:
        return [_told_one(catalog, one) for one in holds(root)]
    finally:
        if catalog is not None:
            catalog.close()


def _told_one(catalog: Catalog | None, one: CallHold) -> HeldCall:
    parts: list[str] = []
    if catalog is not None:
        found = (catalog.part(number) for number in held_parts(catalog, [one]))
        parts = sorted(part.path for part in found if part is not None)
    return HeldCall(one.call_id, one.since_us, one.why, parts)
