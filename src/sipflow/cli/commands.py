"""The commands of `sipflow`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import IO, Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from sipflow.cli.call_table import rows
from sipflow.cli.ladder_text import ASCII, UNICODE, printable, render
from sipflow.cli.origin import Origin, open_origin
from sipflow.errors import BadQuery, ConfigError, SipflowError
from sipflow.query.answer import Fault, Flow
from sipflow.query.ladder import draw
from sipflow.query.question import LIMIT_MAX, parse_criteria, parse_window
from sipflow.query.transcript import transcribe
from sipflow.version import __version__
from sipflow.web.download import file_name

PLAIN_WIDTH = 120
FAILED, WRONG = 1, 2


class _Commands(click.Group):
    """Says what went wrong in one line, without a trace: status 1 for an answer that is none, 2 for a wrong command."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SipflowError as error:
            click.echo(f"sipflow: {printable(str(error))}", err=True)
            ctx.exit(WRONG if isinstance(error, BadQuery | ConfigError) else FAILED)
        except BrokenPipeError:
            # The reader of a pipe (head, less) has seen enough; what is left must not raise at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sipflow")
def main() -> None:
    """Looks at recorded calls: their signalling as a ladder, their audio as a file.

    Every command reads a data directory (--dir) or asks a running server (--url). Times are UTC. A server's token is
    taken from SIPFLOW_TOKEN.
    """


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where to look, and hand it the opened origin first."""

    @click.option("--dir", "root", type=click.Path(path_type=Path), default=Path("data"), show_default=True,
                  help="Data directory to read.")  # fmt: skip
    @click.option("--url", help="Server to ask instead, e.g. http://127.0.0.1:3001.")
    @wraps(command)
    def run(root: Path, url: str | None, **rest: Any) -> None:
        with closing(open_origin(root, url)) as origin:
            command(origin, **rest)

    return run


def _windowed(command: Callable[..., None]) -> Callable[..., None]:
    """Add --since and --until, both inclusive."""
    since = click.option("--since", metavar="TIME", help="Not before: RFC 3339, or Unix time in s, ms or us.")
    until = click.option("--until", metavar="TIME", help="Not after.")
    return since(until(command))


@main.command()
@_asking
@_windowed
@click.option("--user", help="Caller or callee; * matches anything.")
@click.option("--status", help="A code (486), a class (4xx), or a state: failed, answered, completed, ...")
@click.option("--call-id", help="Exactly this Call-ID.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=50, show_default=True, help="At most so many.")
@click.option("--after", metavar="CURSOR", help="Go on where an earlier list ended.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def calls(origin: Origin, since: str | None, until: str | None, as_json: bool, **asked: Any) -> None:
    """List calls, newest first."""
    page = origin.calls(parse_criteria(window=parse_window(since, until, ("--since", "--until")), **asked))
    if as_json:
        _write_json(page)
    else:
        console = _console()
        for line in rows(page.calls):
            _print(console, line)
    _warn(page.faults)
    if page.next is not None and not as_json:
        click.echo(f"more: --after {page.next}", err=True)


@main.command()
@click.argument("call_id", metavar="CALLID")
@_asking
@_windowed
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--raw", is_flag=True, help="The messages themselves, octet for octet.")
def flow(origin: Origin, call_id: str, since: str | None, until: str | None, as_json: bool, raw: bool) -> None:
    """Draw the ladder of a call."""
    found = origin.flow(call_id, parse_window(since, until, ("--since", "--until")))
    if as_json:
        _write_json(transcribe(found))
    elif raw:
        _write_raw(found)
    else:
        console = _console()
        for line in render(draw(found.messages), console.width, UNICODE if _has_unicode(console) else ASCII):
            _print(console, line)
    _warn(found.faults)


@main.command()
@click.argument("call_id", metavar="CALLID")
@_asking
@_windowed
@click.option("-o", "--output", metavar="FILE", help="Where to write; - is standard output. By default CALLID.wav.")
@click.option("--leg", type=click.IntRange(0, 1), help="Only this leg: 0 the caller, 1 the callee.")
def wav(
    origin: Origin, call_id: str, since: str | None, until: str | None, output: str | None, leg: int | None
) -> None:
    """Write the audio of a call as a WAV file."""
    parts = origin.wav(call_id, parse_window(since, until, ("--since", "--until")), leg)
    if output == "-":
        for part in parts:
            sys.stdout.buffer.write(part)
    else:
        target = Path(output if output is not None else file_name(f"{call_id}.wav"))
        click.echo(f"{target}: {_save(parts, target)} octets", err=True)
    for unread in origin.unread:
        click.echo(f"sipflow: not everything could be read: {printable(unread)}", err=True)


def _save(parts: Iterator[bytes], target: Path) -> int:
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


def _console() -> Console:
    """Give the terminal, or plain text of a fixed width where there is none."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=PLAIN_WIDTH)


def _has_unicode(console: Console) -> bool:
    return console.encoding.lower().replace("-", "") in ("utf8", "utf16", "utf32")


def _print(console: Console, line: Text) -> None:
    console.print(line, soft_wrap=True)


def _write_json(value: msgspec.Struct) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _write_raw(found: Flow) -> None:
    stream: IO[bytes] = sys.stdout.buffer
    for message in found.messages:
        if sys.stdout.isatty():
            # Octets from the network can be commands to a terminal.
            lines = message.text.replace("\r\n", "\n").split("\n")
            click.echo("\n".join(printable(line.replace("\t", " ")) for line in lines))
        else:
            stream.write(message.payload)
            stream.flush()


def _warn(faults: list[Fault]) -> None:
    for fault in faults:
        click.echo(f"sipflow: not everything could be read: {printable(f'{fault.where}: {fault.what}')}", err=True)
