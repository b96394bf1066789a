"""The command `sipflow verify`: what is wrong with a data root, a line for each damage."""

from pathlib import Path

import click
import msgspec

from sipflow.cli.care import DIRECTORY, Bars
from sipflow.cli.ladder_text import printable
from sipflow.clock import format_time
from sipflow.errors import BadQuery
from sipflow.storage.finding import Finding
from sipflow.storage.verify import Checked, find_all, verify_bucket, verify_catalog


class Report(msgspec.Struct, frozen=True):
    """What was verified: buckets, blocks, records and octets of data; `sound` when nothing is wrong."""

    root: str
    sound: bool
    buckets: int
    open_buckets: int
    blocks: int
    records: int
    octets: int
    findings: list[Finding]


@click.command("verify")
@DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("buckets", nargs=-1, metavar="[BUCKET]...")
def verify_root(root: Path, buckets: tuple[str, ...], as_json: bool) -> None:
    """Verify every checksum, every block and every index row; ends with status 1 when something is damaged.

    BUCKET is a directory below the data directory, as 2026/06/01/00; without one all are verified, and the catalog.
    A server may be recording there: of its open buckets that is verified what their indexes know.
    """
    findings: list[Finding] = []
    if not root.is_dir():
        raise BadQuery(f"--dir: found {str(root)!r}; allowed: a data directory")
    known = find_all(root, findings)
    chosen = [Path(one) for one in buckets] or known
    for path in chosen:
        if path not in known:
            raise BadQuery(f"BUCKET: found {path.as_posix()!r}; allowed: a directory below {root} that holds a bucket")
    checked = []
    with Bars() as bars:
        for path in chosen:
            one = verify_bucket(root, path, bars)
            checked.append(one)
            if not as_json:
                _print(one.findings)
    catalog = [] if buckets else [*findings, *verify_catalog(root, known)]
    report = _report(root, checked, catalog)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print(catalog)
        verdict = "sound" if report.sound else f"{len(report.findings)} damages"
        click.echo(
            f"{root}: {report.buckets} buckets ({report.open_buckets} open), {report.blocks} blocks, "
            f"{report.records} records, {report.octets} octets verified: {verdict}"
        )
    if not report.sound:
        raise click.exceptions.Exit(1)


def _report(root: Path, checked: list[Checked], more: list[Finding]) -> Report:
    findings = [finding for one in checked for finding in one.findings] + more
    return Report(
        root=str(root),
        sound=not findings,
        buckets=len(checked),
        open_buckets=sum(not one.sealed for one in checked),
        blocks=sum(one.blocks for one in checked),
        records=sum(one.records for one in checked),
        octets=sum(one.octets for one in checked),
        findings=findings,
    )


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        click.echo(printable(_line(finding)))


def _line(finding: Finding) -> str:
    place = finding.file
    if finding.offset is not None:
        place += (
            f": octets from {finding.offset}"
            if finding.length is None
            else f": {finding.length} octets at {finding.offset}"
        )
    parts = [f"{place}: {finding.what}"]
    if finding.since_us is not None and finding.until_us is not None:
        parts.append(f"from {format_time(finding.since_us)} to {format_time(finding.until_us)}")
    if finding.calls:
        more = finding.call_count - len(finding.calls)
        parts.append(f"calls {', '.join(finding.calls)}" + (f" and {more} more" if more else ""))
    return "; ".join([*parts, finding.remedy])
