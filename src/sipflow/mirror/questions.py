"""What a capture can be asked about its calls, by threads and by coroutines."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sipflow.mirror.remote import RemoteSettings
from sipflow.node import NodeList

# Loaded with the first question: a PBX that only mirrors shall start at once.
if TYPE_CHECKING:
    from sipflow.mirror.asking import Answers
    from sipflow.mirror.told import ToldCall, ToldStreams
    from sipflow.query.answer import CallPage, Flow
    from sipflow.query.window import Window

# A question does not wait long for packets to a node that cannot be reached.
_ASK_SECONDS = 1.0


class Questions(ABC):
    """Questions about calls, to the data root at `path` if there is one, else to the nodes of a cluster.

    What waits is sent or stored first. `faults` of an answer name what is not in it.
    """

    def __init__(self, cluster: NodeList, settings: RemoteSettings, path: Path | None) -> None:
        self._cluster = cluster
        self._settings = settings
        self._path = path

    @abstractmethod
    def flush(self, timeout_secs: float) -> bool:
        """Wait until what was handed over before is sent or stored; False when it is not in that time."""
        ...

    def flow(self, call_id: str) -> "Flow":
        """Give the SIP messages of a call. Raises CallUnknown, StorageError, ServerUnreachable, QueryError."""
        self.flush(_ASK_SECONDS)
        return self._answers.flow(call_id)

    def media(self, call_id: str) -> "ToldStreams":
        """Measure the RTP streams of a call. Raises as `flow` does."""
        self.flush(_ASK_SECONDS)
        return self._answers.media(call_id)

    def call(self, call_id: str) -> "ToldCall":
        """Sum a call up: parties, times, status, counts. Raises as `flow` does."""
        self.flush(_ASK_SECONDS)
        return self._answers.call(call_id)

    def wav(self, call_id: str) -> Iterator[bytes]:
        """Give the sound of a call as WAV, in parts. Raises NothingToPlay, and as `flow` does."""
        self.flush(_ASK_SECONDS)
        return self._answers.wav(call_id)

    def calls(
        self,
        *,
        user: str | None = None,
        status: str | None = None,
        window: "Window | None" = None,
        limit: int = 50,
        after: str | None = None,
    ) -> "CallPage":
        """List calls, newest first: of a user (* matches anything), of a status ("486", "4xx", "failed"), in a window.

        `after` is the `next` of the page before. Raises BadQuery, and as `flow` does.
        """
        self.flush(_ASK_SECONDS)
        return self._answers.calls(window, user=user, status=status, limit=limit, after=after)

    async def aflow(self, call_id: str) -> "Flow":
        """Do as `flow`, without keeping the event loop."""
        return await asyncio.to_thread(self.flow, call_id)

    async def amedia(self, call_id: str) -> "ToldStreams":
        """Do as `media`, without keeping the event loop."""
        return await asyncio.to_thread(self.media, call_id)

    async def acall(self, call_id: str) -> "ToldCall":
        """Do as `call`, without keeping the event loop."""
        return await asyncio.to_thread(self.call, call_id)

    async def acalls(
        self,
        *,
        user: str | None = None,
        status: str | None = None,
        window: "Window | None" = None,
        limit: int = 50,
        after: str | None = None,
    ) -> "CallPage":
        """Do as `calls`, without keeping the event loop."""
        ask = partial(self.calls, user=user, status=status, window=window, limit=limit, after=after)
        return await asyncio.to_thread(ask)

    @cached_property
    def _answers(self) -> "Answers":
        asking = import_module("sipflow.mirror.asking")
        settings = self._settings
        found: Answers = (
            asking.LocalAnswers(self._path)
            if self._path is not None
            else asking.RemoteAnswers(self._cluster, settings.timeout_secs, settings.token)
        )
        return found
