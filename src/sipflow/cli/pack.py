"""The command that packs parts by hand."""

from contextlib import closing
from pathlib import Path

import click
import msgspec

from sipflow.amount import size_text
from sipflow.cli.care import DIRECTORY, Bars
from sipflow.errors import BadQuery, SipflowError, StorageError
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.layout import CATALOG
from sipflow.storage.packed_part import settle_part, unfit
from sipflow.storage.packing import Packed, pack_part
from sipflow.storage.sweep import sweep_lock


class LeftAlone(msgspec.Struct, frozen=True):
    """A part that stays as it is, and why; `failed` when it could not be read or written."""

    path: str
    why: str
    failed: bool = False


class PackingTold(msgspec.Struct, frozen=True):
    """What came of packing, or with --dry-run would be packed, as JSON has it."""

    packed: list[Packed]
    would: list[str]
    left: list[LeftAlone]


@click.command("pack")
@DIRECTORY
@click.option("--dry-run", is_flag=True, help="Only show what would be packed.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("parts", nargs=-1, metavar="[PART]...")
def pack_parts(root: Path, parts: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Rewrite sealed buckets with each call's packets together, oldest first; ends with status 1 when one fails.

    PART is a directory below the data directory, as 2026/06/01/00; without one all are packed that can be. A server
    may be recording there; it does the same by itself when the machine has time. Until a bucket is done it is as it
    was: interrupting costs nothing but the work.
    """
    chosen = _chosen(root, parts)
    packed: list[Packed] = []
    would: list[str] = []
    left: list[LeftAlone] = []
    with Bars() as bars:
        for part in chosen:
            try:
                why = unfit(root, part)
                if why:
                    left.append(LeftAlone(part.path, why))
                elif dry_run:
                    would.append(part.path)
                elif (one := pack_part(root, part, progress=bars)) is not None:
                    packed.append(one)
            except SipflowError as error:
                left.append(LeftAlone(part.path, str(error), failed=True))
    told = PackingTold(packed, would, left)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
    else:
        _print(root, told, {part.path: part.octets or 0 for part in chosen})
    if any(one.failed for one in left):
        raise click.exceptions.Exit(1)


def _chosen(root: Path, paths: tuple[str, ...]) -> list[Part]:
    if not (root / CATALOG).exists():
        raise StorageError("open", root / CATALOG, "no such file; `sipflow reindex` makes it of the buckets")
    with closing(Catalog(root)) as catalog:
        with sweep_lock(root):
            for part in catalog.standing():
                settle_part(catalog, part)
        parts = {part.path: part for part in catalog.standing() if part.sealed}
    wanted = [Path(one).as_posix() for one in paths]
    for one in wanted:
        if one not in parts:
            raise BadQuery(f"PART: found {one!r}; allowed: a sealed part below {root}, as `sipflow verify` names them")
    return sorted((parts[one] for one in wanted or parts), key=lambda part: (part.end_us, part.id))


def _print(root: Path, told: PackingTold, octets: dict[str, int]) -> None:
    for one in told.packed:
        click.echo(f"{one.path}: packed, {size_text(one.before)} before, {size_text(one.after)} now")
    for path in told.would:
        click.echo(f"{path}: would be packed, {size_text(octets[path])}")
    for left in told.left:
        click.echo(f"{left.path}: stays as it is: {left.why}", err=left.failed)
    done = f"{len(told.would)} to pack" if told.would else f"{len(told.packed)} packed"
    click.echo(f"{root}: {done}, {len(told.left)} stay as they are")
