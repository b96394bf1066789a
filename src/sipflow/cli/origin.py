"""Where the answers of a command come from: a data directory on this machine, or a server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from sipflow.client import SipflowClient
from sipflow.config import TOKEN_VARIABLE
from sipflow.errors import CallUnknown
from sipflow.media.wav import WavFile
from sipflow.query.announced import announced
from sipflow.query.answer import CallPage, CallSummary, Criteria, Flow, together
from sipflow.query.history import History
from sipflow.query.window import Window

ALWAYS = Window()


class Origin(Protocol):
    """What a command can ask for, from wherever.

    `unread` tells what the last recording lacks because it could not be read; it is known with its first part.
    """

    unread: list[str]

    def close(self) -> None:
        """Let go of files and connections."""
        ...

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first."""
        ...

    def call(self, call_id: str) -> CallSummary:
        """Sum a call up. Raises CallUnknown."""
        ...

    def flow(self, call_id: str, window: Window = ...) -> Flow:
        """Give the messages of a call. Raises CallUnknown."""
        ...

    def wav(self, call_id: str, window: Window = ..., leg: int | None = ...) -> Iterator[bytes]:
        """Give the WAV of a call in parts. Raises NothingToPlay."""
        ...


class LocalOrigin:
    """Asks a history on this machine."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.unread: list[str] = []

    def close(self) -> None:
        """Close the history."""
        self._history.close()

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls, newest first."""
        return self._history.calls(criteria)

    def call(self, call_id: str) -> CallSummary:
        """Sum a call up. Raises CallUnknown."""
        return self._history.call(call_id)

    def flow(self, call_id: str, window: Window = ALWAYS) -> Flow:
        """Give the messages of a call; none in the window is an answer, an unknown call is CallUnknown."""
        flow = self._history.flow(call_id, window)
        if not flow.messages and not flow.faults:
            self._history.call(call_id)
        return flow

    def wav(self, call_id: str, window: Window = ALWAYS, leg: int | None = None) -> Iterator[bytes]:
        """Render the WAV of a call in parts. Raises NothingToPlay, CallUnknown."""
        parts = self._history.media(call_id, window)
        flow = self._history.flow(call_id)
        self.unread = [f"{fault.where}: {fault.what}" for fault in together(parts.faults, flow.faults)]
        if not parts.chunks and not flow.messages and not self.unread:
            raise CallUnknown(call_id)
        yield from WavFile(call_id, parts.chunks, announced(flow.messages), leg=leg, faults=self.unread).iterate()


def open_origin(root: Path, url: str | None) -> Origin:
    """Open a server when a URL is given, else the data directory. Raises ConfigError, StorageError."""
    if url is not None:
        return SipflowClient(url, os.environ.get(TOKEN_VARIABLE) or None)
    return LocalOrigin(History.open(root))
