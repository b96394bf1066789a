"""Commands that write a data directory: import, reindex."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from sipflow.importer import import_files
from sipflow.ingest.import_report import ImportReport
from sipflow.storage.layout import Subdirs
from sipflow.storage.reindex import reindex
from sipflow.storage.store import RootLock
from sipflow.storage.sweep import sweep_lock

_DIRECTORY = click.option(
    "--dir", "root", type=click.Path(path_type=Path), default=Path("data"), show_default=True, help="Data directory."
)


class _Bars:
    """A progress bar per file; says nothing when standard error is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[Path, object] = {}

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, file: Path, done: int, total: int) -> None:
        if file not in self._tasks:
            self._tasks[file] = self._progress.add_task(file.name, total=total)
        self._progress.update(self._tasks[file], completed=done, total=total)  # type: ignore[arg-type]


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_DIRECTORY
@click.option(
    "--subdirs", type=click.Choice([one.value for one in Subdirs], case_sensitive=False), default="hourly",
    show_default=True, help="How the directory is divided.",
)  # fmt: skip
def import_captures(files: tuple[Path, ...], root: Path, subdirs: str) -> None:
    """Import capture files (pcap, pcapng) into a data directory, filed by packet time.

    A server may be recording there: an import writes parts of its own.
    """
    with _Bars() as bars:
        reports = import_files(list(files), root, Subdirs(subdirs.lower()), bars)
    for report in reports:
        _print_report(report)


def _print_report(report: ImportReport) -> None:
    click.echo(f"{report.path}: {report.sip} SIP messages, {report.rtp} RTP packets of {report.calls} calls imported")
    for reason, skipped in sorted(report.skipped.items(), key=lambda item: -item[1].count):
        click.echo(
            f"  not imported: {skipped.count} {reason}; first: {skipped.examples[0] if skipped.examples else '-'}"
        )
    if report.damage:
        click.echo(f"  the file is damaged: {report.damage}")


@click.command("reindex")
@_DIRECTORY
def reindex_root(root: Path) -> None:
    """Rebuild every index of a data directory from its data files; no server may be writing there."""
    lock = RootLock(root)
    try:
        with sweep_lock(root), _Bars() as bars:
            results = reindex(root, bars)
    finally:
        lock.close()
    for one in results:
        click.echo(f"{one.path}: {one.blocks} blocks, {one.records} records")
        for damage in one.damage:
            click.echo(f"  unreadable: {damage.length} octets at {damage.offset}: {damage.what}")
    if any(one.damage for one in results):
        raise click.exceptions.Exit(1)
