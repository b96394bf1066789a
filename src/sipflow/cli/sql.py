"""The command that asks about calls with SQL, live and archived ones at once: sql."""

import csv
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from sipflow.amount import SIZE_FORM, parse_size
from sipflow.archive.cache import FileCache
from sipflow.archive.call_files import CallFiles
from sipflow.archive.call_objects import CallObjects
from sipflow.archive.columns import COLUMNS
from sipflow.archive.opening import node_of, open_place
from sipflow.archive.sql import Answer, CallDatabase
from sipflow.cli.ladder_text import printable
from sipflow.cli.options import windowed
from sipflow.cli.output import console, warn
from sipflow.config import Settings, load
from sipflow.errors import BadQuery
from sipflow.given import Given
from sipflow.own_node import settled
from sipflow.query.history import History
from sipflow.query.question import parse_window

# A table has to be seen whole before its columns have a width; who wants more rows wants a file.
ROWS_SHOWN: Final = 1000


@click.command()
@click.argument("query", required=False)
@click.option("--dir", "root", type=click.Path(path_type=Path), help="Data directory; that of --config, else data.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings of the server: its archive is asked too.")
@windowed
@click.option("--csv", "form", flag_value="csv", help="As CSV.")
@click.option("--json", "form", flag_value="json", help="As JSON.")
@click.option("--parquet", metavar="FILE", type=click.Path(path_type=Path), help="Into a Parquet file.")
@click.option("--cache-size", metavar="SIZE", default="4GB", show_default=True,
              help="Room for tables of calls that were made or fetched before.")  # fmt: skip
def sql(  # noqa: PLR0913, PLR0917 - an argument for each option
    query: str | None,
    root: Path | None,
    config: Path | None,
    since: str | None,
    until: str | None,
    form: str | None,
    parquet: Path | None,
    cache_size: str,
) -> None:
    """Ask about calls with SQL (DuckDB): SELECT ... FROM calls. Without QUERY, shows the columns.

    `calls` has a row per call, live and sealed; `call_parts` one for each part that holds some of it. --since and
    --until leave out what lies outside, which saves reading it. QUERY - is read from standard input.
    """
    if query is None:
        _show_columns()
        return
    if form is not None and parquet is not None:
        raise click.UsageError("--parquet: found with --csv or --json; allowed: one of them")
    window = parse_window(since, until, ("--since", "--until"))
    text = sys.stdin.read() if query == "-" else query
    settings = load(config, {} if root is None else {"root": Given(str(root), "--dir")})
    root = settings.root
    cache = FileCache(_cache_directory(), _octets(cache_size))
    with (
        closing(History.open(root)) as history,
        closing(CallFiles(history, root, node_of(settled(settings).node), cache)) as files,
    ):
        with _Bar() as bar:
            found = files.collect(window, _archive(settings), bar.advance)
        warn(files.faults)
        with closing(CallDatabase(found, window)) as tables:
            if parquet is not None:
                _save(tables, text, parquet)
            else:
                _write(tables.ask(text), form)


class _Bar:
    """Shows how many tables are made or fetched, where there is a terminal to show it."""

    def __init__(self) -> None:
        terminal = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal)
        self._task = self._progress.add_task("tables of calls", total=None)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, done: int, total: int) -> None:
        """Show that `done` of `total` are there."""
        self._progress.update(self._task, completed=done, total=total)


def _save(tables: CallDatabase, query: str, target: Path) -> None:
    try:
        rows = tables.save(query, target)
    except OSError as error:
        raise click.UsageError(f"--parquet {target}: {error.strerror or error}") from None
    click.echo(f"{target}: {rows} rows", err=True)


def _write(answer: Answer, form: str | None) -> None:
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([_text(value) for value in row] for row in answer.rows())
    elif form == "json":
        _write_json(answer)
    else:
        _write_table(answer)


def _write_json(answer: Answer) -> None:
    """Write an array of objects, one a line, as they come."""
    lead = "["
    for row in answer.rows():
        one = dict(zip(answer.columns, row, strict=True))
        click.echo(f"{lead}\n{msgspec.json.encode(one, enc_hook=str).decode()}", nl=False)
        lead = ","
    click.echo("[]" if lead == "[" else "\n]")


def _write_table(answer: Answer) -> None:
    rows = answer.rows()
    shown = list(islice(rows, ROWS_SHOWN))
    terminal = console()
    table = _table(answer.columns, ([printable(_text(value)) for value in row] for row in shown))
    # A row that is cut would hide what was asked for: a narrow terminal wraps it.
    terminal.width = max(
        terminal.width, Measurement.get(terminal, terminal.options.update(max_width=100_000), table).maximum
    )
    terminal.print(table)
    if next(rows, None) is not None:
        click.echo(f"sipflow: these are the first {ROWS_SHOWN} rows; --csv, --json or --parquet give all", err=True)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(Text(printable(name)), no_wrap=True)
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    return table


def _show_columns() -> None:
    rows: list[tuple[str, str, str]] = [(one.name, one.kind, one.meaning.replace("`", "")) for one in COLUMNS]
    rows += [
        ("date", "date", "UTC day of the part"),
        ("hour", "count", "UTC hour of the part"),
        ("node", "text", "node that recorded it"),
    ]
    terminal = console()
    table = _table(("COLUMN", "HOLDS", "WHAT"), rows)
    terminal.width = max(
        terminal.width, Measurement.get(terminal, terminal.options.update(max_width=100_000), table).maximum
    )
    terminal.print(table)


def _text(value: Any) -> str:
    """Write a value for people and spreadsheets; times as RFC 3339 in UTC."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def _octets(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError:
        raise BadQuery(f"--cache-size: found {text!r}; allowed: {SIZE_FORM}") from None


def _archive(settings: Settings) -> CallObjects | None:
    """Open the archive that is set. Raises ArchiveError."""
    return None if settings.upload is None else CallObjects(open_place(settings.upload))


def _cache_directory() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "sipflow" / "calls"
