"""The command that shows what retention would erase and delete, and does it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from sipflow.amount import size_text
from sipflow.clock import DAY_US, format_time, now_us
from sipflow.config import Settings, load
from sipflow.errors import StorageError
from sipflow.given import Given
from sipflow.storage.layout import CATALOG
from sipflow.storage.retention import Plan
from sipflow.storage.sweep import Sweep

_OPTIONS = ("retention", "sip_age", "rtp_age", "sip_bytes", "rtp_bytes", "min_free")


class StepTold(msgspec.Struct, frozen=True):
    """A step as JSON has it."""

    path: str
    action: str
    octets: int
    why: str


class PlanTold(msgspec.Struct, frozen=True):
    """A plan as JSON has it; `applied` tells whether it was carried out, `failures` what of it could not be."""

    applied: bool
    steps: list[StepTold]
    octets: int
    shortfalls: list[str]
    failures: list[str]


@click.command("retention")
@click.option("--dir", "root", type=click.Path(path_type=Path), help="Data directory; that of --config, else data.")
@click.option(
    "--config", type=click.Path(path_type=Path), help="Settings of the server: [sipflow.retention] of a TOML file."
)
@click.option("--retention", metavar="AGE", help="Keep everything so long, e.g. 30d.")
@click.option("--sip-age", metavar="AGE", help="Keep SIP so long, and what belongs to it.")
@click.option("--rtp-age", metavar="AGE", help="Keep RTP so long.")
@click.option("--sip-bytes", metavar="SIZE", help="Keep so much SIP, e.g. 50GB.")
@click.option("--rtp-bytes", metavar="SIZE", help="Keep so much RTP.")
@click.option("--min-free", metavar="ROOM", help="Keep so much of the disk free, e.g. 5% or 10GB.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def apply_retention(root: Path | None, config: Path | None, dry_run: bool, as_json: bool, **limits: str | None) -> None:
    """Erase and delete what is kept no longer, oldest first.

    A server may be recording there; it does the same every minute by its own settings.
    """
    settings = load(config, _overrides(root, limits), {})
    sweep = Sweep(settings.root, settings.retention, upload=settings.upload)
    if not (settings.root / CATALOG).exists():
        raise StorageError("open", settings.root / CATALOG, "no such file; `sipflow reindex` makes it of the buckets")
    decided, failures = (sweep.plan(), []) if dry_run else sweep.run()
    newest_us = sweep.newest_us()
    if as_json:
        steps = [StepTold(step.part.path, str(step.action), step.octets, step.why) for step in decided.steps]
        told = PlanTold(not dry_run, steps, decided.octets, decided.shortfalls, failures)
        click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
    else:
        _print(decided, settings, dry_run)
    if newest_us is not None and now_us() - newest_us > DAY_US:
        click.echo(
            f"sipflow: the newest packet here is of {format_time(newest_us)[:16]}: is the clock right?", err=True
        )
    for sentence in (*decided.shortfalls, *failures):
        click.echo(f"sipflow: {sentence}", err=True)
    if failures:
        raise click.exceptions.Exit(1)


def _overrides(root: Path | None, limits: Mapping[str, Any]) -> dict[str, Given]:
    found = {} if root is None else {"root": Given(str(root), "--dir")}
    for name in _OPTIONS:
        if limits[name] is not None:
            setting = name if name == "retention" else f"retention.{name}"
            found[setting] = Given(limits[name], f"--{name.replace('_', '-')}")
    return found


def _print(decided: Plan, settings: Settings, dry_run: bool) -> None:
    rows = [("PATH", "ACTION", "OCTETS", "WHY")]
    rows += [(step.part.path, str(step.action), str(step.octets), step.why) for step in decided.steps]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    if decided.steps:
        for path, action, octets, why in rows:
            click.echo(f"{path:<{widths[0]}}  {action:<{widths[1]}}  {octets:>{widths[2]}}  {why}")
    verb = "to free" if dry_run else "freed"
    click.echo(f"{settings.root}: {len(decided.steps)} parts, {size_text(decided.octets)} {verb}")
