"""Options that several commands share: where to look, and when."""

from collections.abc import Callable
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any

import click

from sipflow.origin import open_origin


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where to look, and hand it the opened origin first."""

    @click.option("--dir", "root", type=click.Path(path_type=Path),
                  help="Data directory to read; that of --config, else data.")  # fmt: skip
    @click.option("--url", help="Server to ask instead, e.g. http://127.0.0.1:3001.")
    @click.option("--config", type=click.Path(path_type=Path), envvar="SIPFLOW_CONFIG", show_envvar=True,
                  help="Settings of the server: its directory, its archive, its aliases.")  # fmt: skip
    @wraps(command)
    def run(root: Path | None, url: str | None, config: Path | None, **rest: Any) -> None:
        with closing(open_origin(root, url, config)) as origin:
            command(origin, **rest)

    return run


def windowed(command: Callable[..., None]) -> Callable[..., None]:
    """Add --since and --until, both inclusive."""
    since = click.option("--since", metavar="TIME", help="Not before: RFC 3339, or Unix time in s, ms or us.")
    until = click.option("--until", metavar="TIME", help="Not after.")
    return since(until(command))
