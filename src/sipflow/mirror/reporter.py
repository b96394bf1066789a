"""The report loop: nodes are told what was sent to them and answer what arrived, which shows loss on the way."""

from collections.abc import Callable
from threading import Event

import httpx
import msgspec

from sipflow.node import Node

_TIMEOUT_SECONDS = 5.0


class _Arrived(msgspec.Struct):
    packets_received: int


class Reporter:
    """Reports to one node; `received` is what it last said to have, `fault` why it did not."""

    def __init__(self, node: Node, token: str | None, sent: Callable[[], tuple[int, int]]) -> None:
        """Report what `sent` tells each time: by which client id the node knows us, and how many packets were sent."""
        self.received: int | None = None
        self.fault = ""
        self._url = f"{node.http}/report"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._sent = sent
        self._told = 0

    def run(self, stopping: Event, interval_secs: float) -> None:
        """Report what changed, in turns, until stopped."""
        with httpx.Client(timeout=_TIMEOUT_SECONDS, headers=self._headers) as http:
            while not stopping.wait(interval_secs):
                self._report(http)

    def _report(self, http: httpx.Client) -> None:
        client_id, sent = self._sent()
        if sent == self._told:
            return
        try:
            answer = http.post(self._url, json={"client_id": client_id, "sent_count": sent})
            self.received = msgspec.json.decode(answer.raise_for_status().content, type=_Arrived).packets_received
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            self.fault = f"{self._url}: {error or type(error).__name__}"
            return
        self.fault = ""
        self._told = sent
