"""The command that tells where calls are kept: placement."""

import click

from sipflow.cli.ladder_text import printable
from sipflow.errors import ConfigError
from sipflow.placement import REMOVED, REPLICAS_MAX, Placement


@click.command()
@click.option("--nodes", required=True, metavar="A,B,-,D", help="The slots in order; - for an empty one.")
@click.option("--replicas", type=click.IntRange(1, REPLICAS_MAX), default=1, show_default=True, help="Nodes per call.")
@click.option("--explain", "call_id", required=True, metavar="CALLID", help="The call.")
def placement(nodes: str, replicas: int, call_id: str) -> None:
    """Tell which nodes keep a call, and why."""
    try:
        cluster = Placement.parse(nodes, replicas)
    except ValueError as error:
        raise ConfigError("--nodes", nodes, f"names between commas, {REMOVED} for a removed node ({error})") from None
    owners = cluster.owners(call_id)
    click.echo(f"{printable(call_id)}: {' and '.join(printable(name) for name in owners)}")
    tries = cluster.tried(call_id)
    left = list(owners)
    number = 0
    while left:
        slot = next(tries)
        name = cluster.slots[slot]
        number += 1
        what = "empty: its node was removed" if name is None else printable(name)
        if name is not None and name == left[0]:
            left.pop(0)
            what += " keeps it"
        elif name is not None:
            what += ", again"
        how = "jump hash of the Call-ID" if number == 1 else f"jump hash of its seed, mixed with {number - 1}"
        click.echo(f"  try {number}: slot {slot} of {len(cluster.slots)} ({how}): {what}")
