"""The command line: questions about calls from a data directory or a server."""
