"""The command line: questions about calls, from a data directory or a server, and care of the directory."""

from sipflow.cli.care import import_captures, reindex_root
from sipflow.cli.commands import main
from sipflow.cli.verify import verify_root

main.add_command(import_captures)
main.add_command(reindex_root)
main.add_command(verify_root)

__all__ = ["main"]
