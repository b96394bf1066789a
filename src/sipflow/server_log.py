"""The log of the server: one line of key=value pairs (logfmt) per event on standard error."""

import json
import logging
import sys
import time


class _Lines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        when = f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}Z"
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        # As JSON writes it: a line stays one line, whatever was put into it.
        said = json.dumps(text, ensure_ascii=False)
        return f"time={when} level={record.levelname.lower()} from={record.name} msg={said}"


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
