"""The commands of `sipflow`."""

import os
import sys
from typing import IO, Any

import click
from rich.console import Console

from sipflow.cli.call_table import rows
from sipflow.cli.ladder_text import ASCII, UNICODE, printable, render
from sipflow.cli.options import asking, windowed
from sipflow.cli.output import console, show, warn, write_json
from sipflow.errors import BadQuery, ConfigError, SipflowError
from sipflow.origin import Origin
from sipflow.query.answer import Flow
from sipflow.query.ladder import draw
from sipflow.query.question import LIMIT_MAX, parse_criteria, parse_window
from sipflow.query.search import parse_search
from sipflow.query.transcript import transcribe
from sipflow.version import __version__

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


@main.command()
@asking
@windowed
@click.argument("search", nargs=-1)
@click.option("--user", help="Caller or callee; * matches anything.")
@click.option("--status", help="A code (486), a class (4xx), or a state: failed, answered, completed, ...")
@click.option("--call-id", help="Exactly this Call-ID.")
@click.option("--from", help="Caller; with an @ its address.")
@click.option("--to", help="Callee; with an @ its address.")
@click.option("--ua", help="Part of the caller's user agent.")
@click.option("--ip", metavar="CIDR", help="Network the first request came from or went to.")
@click.option("--method", help="Method of the first request.")
@click.option("--text", help="Part of any of its messages; reads them all.")
@click.option("--mos-below", metavar="MOS", help="Calls of sealed buckets whose worst stream is below.")
@click.option("--loss-above", metavar="PERCENT", help="Calls of sealed buckets whose worst stream lost more.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=50, show_default=True, help="At most so many.")
@click.option("--after", metavar="CURSOR", help="Go on where an earlier list ended.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def calls(
    origin: Origin, search: tuple[str, ...], since: str | None, until: str | None, as_json: bool, **asked: Any
) -> None:
    """List calls, newest first.

    SEARCH is what the console's search box takes: from:alice status:4xx ua:yealink mos<3.5 since:2h. Put -- before it
    when it begins with a minus.
    """
    criteria = parse_criteria(window=parse_window(since, until, ("--since", "--until")), **asked)
    page = origin.calls(parse_search(" ".join(search), criteria))
    if as_json:
        write_json(page)
    else:
        terminal = console()
        for line in rows(page.calls):
            show(terminal, line)
    warn(page.faults)
    if page.next is not None and not as_json:
        click.echo(f"more: --after {page.next}", err=True)


@main.command()
@click.argument("call_id", metavar="CALLID")
@asking
@windowed
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--raw", is_flag=True, help="The messages themselves, octet for octet.")
def flow(origin: Origin, call_id: str, since: str | None, until: str | None, as_json: bool, raw: bool) -> None:
    """Draw the ladder of a call."""
    found = origin.flow(call_id, parse_window(since, until, ("--since", "--until")))
    if as_json:
        write_json(transcribe(found))
    elif raw:
        _write_raw(found)
    else:
        terminal = console()
        for line in render(draw(found.messages), terminal.width, UNICODE if _has_unicode(terminal) else ASCII):
            show(terminal, line)
    warn(found.faults)


def _has_unicode(terminal: Console) -> bool:
    return terminal.encoding.lower().replace("-", "") in ("utf8", "utf16", "utf32")


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
