"""How answers leave a command: whole files, terminals, JSON, and warnings beside them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.text import Text

from sipflow.cli.ladder_text import printable
from sipflow.query.answer import Fault

PLAIN_WIDTH: Final = 120


def save(parts: Iterator[bytes], target: Path) -> int:
    """Write beside the target and rename, so that a file under its name is always whole; gives its size."""
    # The first part is asked for before anything is created: a call without audio leaves no file.
    first = next(parts, b"")
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            size = file.write(first)
            for part in parts:
                size += file.write(part)
        beside.replace(target)
    except OSError as error:
        raise click.UsageError(f"-o {target}: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
    return size


def console() -> Console:
    """Give the terminal, or plain text of a fixed width where there is none."""
    terminal = Console(highlight=False, soft_wrap=True)
    return terminal if terminal.is_terminal else Console(highlight=False, soft_wrap=True, width=PLAIN_WIDTH)


def show(terminal: Console, line: Text) -> None:
    """Print a line, which may be longer than the terminal is wide."""
    terminal.print(line, soft_wrap=True)


def write_json(value: msgspec.Struct) -> None:
    """Print a value as JSON, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def warn(faults: list[Fault]) -> None:
    """Say on standard error what could not be read."""
    for fault in faults:
        click.echo(f"sipflow: not everything could be read: {printable(f'{fault.where}: {fault.what}')}", err=True)
