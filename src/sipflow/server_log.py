"""The log of the server: one line per event on standard error."""

import logging
import sys
import time


class _Lines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime


def set_up_log(level: str) -> None:
    """Send the log to standard error, times in UTC; `level` is debug, info, warning or error."""
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [to_stderr]
    root.setLevel(level.upper())
    # One line per request says nothing that /metrics does not.
    logging.getLogger("uvicorn").setLevel("WARNING")
    logging.getLogger("httpx").setLevel("WARNING")
