"""The command that writes a call to a file others can read: export."""

import sys
from pathlib import Path

import click

from sipflow.cli.options import asking
from sipflow.cli.output import save
from sipflow.origin import Origin
from sipflow.web.download import file_name
from sipflow.web.exports import EXPORTS

# By the name of the command: which view of the API it is.
FORMATS = {
    "pcapng": "call.pcapng", "txt": "call.txt", "jsonl": "call.jsonl", "svg": "ladder.svg", "png": "ladder.png",
    "bundle": "bundle.html",
}  # fmt: skip


@click.command()
@click.argument("call_id", metavar="CALLID")
@asking
@click.option("--format", "form", type=click.Choice([*FORMATS]), default="pcapng", show_default=True,
              help="bundle: one HTML file with ladder, messages and sound.")  # fmt: skip
@click.option("--pseudonyms", is_flag=True, help="Replace numbers, names, hosts and addresses; audio stays.")
@click.option("--hide-digits", is_flag=True, help="Hide the keys that were pressed; a server decides by itself.")
@click.option("-o", "--output", metavar="FILE", help="Where to write; - is standard output. By default CALLID.SUFFIX.")
def export(origin: Origin, call_id: str, form: str, pseudonyms: bool, hide_digits: bool, output: str | None) -> None:
    """Write a call as a capture, text, picture, or one page with everything."""
    wanted = EXPORTS[FORMATS[form]]
    parts = origin.export(call_id, wanted.view, pseudonyms=pseudonyms, hide_digits=hide_digits)
    if output == "-":
        for part in parts:
            sys.stdout.buffer.write(part)
        return
    # A name that says the Call-ID would undo the pseudonyms.
    name = f"call{wanted.suffix}" if pseudonyms else f"{call_id}{wanted.suffix}"
    target = Path(output if output is not None else file_name(name))
    click.echo(f"{target}: {save(parts, target)} octets", err=True)
