"""Commands that write a call's sound to a file: wav, audio."""

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sipflow.cli.ladder_text import printable
from sipflow.cli.options import asking, windowed
from sipflow.cli.output import save
from sipflow.errors import BadQuery
from sipflow.media.encoder import FORMS
from sipflow.origin import Origin
from sipflow.query.question import parse_window
from sipflow.query.wanted import Wanted, parse_wanted
from sipflow.web.download import file_name

WAV = "wav"
NAMES = (WAV, *FORMS)

_LEG = click.option("--leg", type=click.IntRange(0, 1), help="Only this leg: 0 the caller, 1 the callee.")


def _shaping(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which part of a recording is wanted, as one argument `wanted`."""

    @_LEG
    @click.option("--mono", is_flag=True, help="Both legs mixed into one channel.")
    @click.option("--start", metavar="SECONDS", help="Leave out what is before, in seconds from the recording's start.")
    @click.option("--end", metavar="SECONDS", help="Leave out what is after.")
    @click.option("--conceal", is_flag=True, help="Fill what was lost by what was heard before.")
    @wraps(command)
    def run(
        origin: Origin, *, leg: int | None, mono: bool, start: str | None, end: str | None, conceal: bool, **rest: Any
    ) -> None:
        shape = (None if leg is None else str(leg), "mono" if mono else None, start, end, "1" if conceal else None)
        wanted = parse_wanted(*shape)
        command(origin, wanted=wanted, **rest)

    return run


class Bar:
    """A bar on standard error while a recording is made; nothing where that is no terminal."""

    def __init__(self) -> None:
        terminal = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal)
        self._task = self._progress.add_task("audio", total=None)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)


@click.command()
@click.argument("call_id", metavar="CALLID")
@asking
@windowed
@click.option("-o", "--output", metavar="FILE", help="Where to write; - is standard output. By default CALLID.wav.")
@_LEG
@click.option("--copy", is_flag=True, help="G.711 codes as they were captured, where all of it is of one law.")
def wav(
    origin: Origin, call_id: str, since: str | None, until: str | None, output: str | None, leg: int | None, copy: bool
) -> None:
    """Write the audio of a call as a WAV file."""
    span = parse_window(since, until, ("--since", "--until"))
    parts = origin.audio(call_id, "wav", Wanted(leg, copy=copy), span)
    target = None if output == "-" else Path(output if output is not None else file_name(f"{call_id}.wav"))
    size = _write(parts, target)
    if target is not None:
        click.echo(f"{target}: {size} octets", err=True)
    _say_unread(origin)


@click.command()
@click.argument("call_id", metavar="CALLID")
@asking
@windowed
@click.option("-o", "--output", metavar="FILE",
              help="Where to write; - is standard output. By default CALLID with the form's suffix.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(NAMES, case_sensitive=False),
              help="The form; by default what the suffix of FILE says, or wav.")  # fmt: skip
@_shaping
def audio(
    origin: Origin, call_id: str, since: str | None, until: str | None, output: str | None, form: str | None,
    wanted: Wanted,
) -> None:  # fmt: skip
    """Write the audio of a call as WAV, Opus, MP3 or FLAC, whole or cut.

    --since and --until choose packets by time, --start and --end cut the recording made of them. Says how complete the
    recording is, and why.
    """
    name = form.lower() if form is not None else _form_of(output)
    target = None if output == "-" else Path(output if output is not None else file_name(f"{call_id}.{name}"))
    span = parse_window(since, until, ("--since", "--until"))
    with Bar() as bar:
        size = _write(origin.audio(call_id, name, wanted, span, bar), target)
    where = "" if target is None else f"{target}: "
    click.echo(f"{where}{size} octets; {printable(origin.note)}", err=True)
    _say_unread(origin)


def _form_of(output: str | None) -> str:
    if output is None or output == "-":
        return WAV
    suffix = Path(output).suffix.lower().removeprefix(".")
    if suffix not in NAMES:
        raise BadQuery(f"-o: found {output!r}, whose suffix names no form; allowed: {', '.join(NAMES)}, or --format")
    return suffix


def _write(parts: Iterator[bytes], target: Path | None) -> int:
    if target is not None:
        return save(parts, target)
    return sum(sys.stdout.buffer.write(part) for part in parts)


def _say_unread(origin: Origin) -> None:
    for unread in origin.unread:
        click.echo(f"sipflow: not everything could be read: {printable(unread)}", err=True)
