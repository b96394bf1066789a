"""Commands that write a data directory: import, reindex."""

import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sipflow.importer import import_files
from sipflow.ingest.import_report import ImportReport
from sipflow.storage.layout import Subdirs
from sipflow.storage.reindex import reindex
from sipflow.storage.store import RootLock

DIRECTORY = click.option(
    "--dir", "root", type=click.Path(path_type=Path), default=Path("data"), show_default=True, help="Data directory."
)


# How often a long work shows a sign of life where there is no terminal for a bar.
_PLAIN_SECONDS = 10.0


class Bars:
    """A progress bar per file; plain lines for large files when standard error is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[Path, TaskID] = {}
        self._plain = not console.is_terminal
        self._said = time.monotonic()

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, file: Path, done: int, total: int) -> None:
        if self._plain:
            if time.monotonic() - self._said >= _PLAIN_SECONDS:
                self._said = time.monotonic()
                click.echo(f"{file}: {done} of {total}", err=True)
            return
        if file not in self._tasks:
            self._tasks[file] = self._progress.add_task("/".join(file.parts[-5:]), total=total)
        self._progress.update(self._tasks[file], completed=done, total=total)
        if done >= total:
            # A root has thousands of files: what is done makes room.
            self._progress.remove_task(self._tasks.pop(file))


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@DIRECTORY
@click.option(
    "--subdirs", type=click.Choice([one.value for one in Subdirs], case_sensitive=False), default="hourly",
    show_default=True, help="How the directory is divided.",
)  # fmt: skip
def import_captures(files: tuple[Path, ...], root: Path, subdirs: str) -> None:
    """Import capture files (pcap, pcapng) into a data directory, filed by packet time.

    A server may be recording there: an import writes parts of its own.
    """
    with Bars() as bars:
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
@DIRECTORY
def reindex_root(root: Path) -> None:
    """Rebuild every index of a data directory from its data files, and the catalog; no server may be writing there.

    Ends with status 1 when some of the data cannot be read, or a bucket cannot be rebuilt.
    """
    lock = RootLock(root)
    try:
        with Bars() as bars:
            done = reindex(root, bars)
    finally:
        lock.close()
    for one in done.buckets:
        click.echo(f"{one.path}: {one.failed or f'{one.blocks} blocks, {one.records} records'}")
        for damage in one.damage:
            click.echo(f"  unreadable: {damage.length} octets at {damage.offset}: {damage.what}")
    if done.catalog:
        click.echo(f"the catalog was damaged ({done.catalog}) and is new; the old one: {done.aside or 'none'}")
    for path, why in done.unlisted:
        click.echo(f"{path}: its calls cannot be listed: {why}")
    if done.unlisted or any(one.damage or one.failed for one in done.buckets):
        raise click.exceptions.Exit(1)
