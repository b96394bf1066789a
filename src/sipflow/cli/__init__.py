"""The command line: questions about calls, from a data directory or a server."""

from sipflow.cli.commands import main

__all__ = ["main"]
