"""The command line: questions about calls, from a data directory or a server, and care of the directory."""

from sipflow.cli.archive import archive
from sipflow.cli.audio import audio, wav
from sipflow.cli.care import import_captures, reindex_root
from sipflow.cli.commands import main
from sipflow.cli.diagnose import diagnose
from sipflow.cli.export import export
from sipflow.cli.hold import hold_call, release_call
from sipflow.cli.pack import pack_parts
from sipflow.cli.placement import placement
from sipflow.cli.retention import apply_retention
from sipflow.cli.sql import sql
from sipflow.cli.stats import stats
from sipflow.cli.verify import verify_root

main.add_command(wav)
main.add_command(audio)
main.add_command(stats)
main.add_command(diagnose)
main.add_command(export)
main.add_command(import_captures)
main.add_command(reindex_root)
main.add_command(apply_retention)
main.add_command(verify_root)
main.add_command(pack_parts)
main.add_command(placement)
main.add_command(sql)
main.add_command(archive)
main.add_command(hold_call)
main.add_command(release_call)

__all__ = ["main"]
