"""The command that says why a call went as it did: diagnose."""

from collections.abc import Iterator
from pathlib import Path

import click
from rich.text import Text

from sipflow.cli.ladder_text import printable
from sipflow.cli.options import asking
from sipflow.cli.output import console, show, warn, write_json
from sipflow.diagnose import Severity, load_rules
from sipflow.origin import Origin
from sipflow.query.diagnosed import Diagnosis, Entry

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_PLACES_MAX = 8


@click.command()
@click.argument("call_id", metavar="CALLID")
@asking
@click.option("--rules", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A Python file with rules of your own (@sipflow.diagnose.rule).")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def diagnose(origin: Origin, call_id: str, rules: Path | None, as_json: bool) -> None:
    """Say in plain words why a call went as it did.

    Each finding names its evidence (numbers of messages in the ladder, from 1) and the rule it rests on. --rules adds
    to what is read from a data directory; a server has its own.
    """
    load_rules(rules)
    found = origin.diagnosis(call_id)
    if as_json:
        write_json(found)
    else:
        terminal = console()
        for line in lines(found):
            show(terminal, line)
    warn(found.faults)


def lines(found: Diagnosis) -> Iterator[Text]:
    """Write each finding as its sentence, and its evidence below."""
    for entry in found.findings:
        line = Text(f"{entry.severity.value:<8}", style=_STYLES[entry.severity])
        line.append(printable(entry.sentence), style="default")
        yield line
        yield Text(f"        {printable(_evidence(entry))}", style="dim")


def _evidence(entry: Entry) -> str:
    said = [entry.code, entry.reference]
    if entry.messages:
        numbers = ", ".join(map(str, entry.messages[:_PLACES_MAX]))
        said.append(f"message {numbers}" if len(entry.messages) == 1 else f"messages {numbers}")
    elif entry.times:
        said.append(entry.times[0])
    return " · ".join(said)
