"""What the servers say they stored while a run lasts."""

import threading

import httpx

from sipflow.errors import ServerUnreachable
from sipflow.load.totals import Ledger
from sipflow.node import Node

_ASK_S = 1.0
_TIMEOUT_S = 2.0


class Watch:
    """Asks servers once a second; `since` is what they counted since it began, None while one does not answer."""

    def __init__(self, nodes: list[Node]) -> None:
        """Ask for the first time. A server that cannot be asked is no error: it is shown as silent."""
        self._clients = [httpx.Client(base_url=node.http, timeout=_TIMEOUT_S) for node in nodes if node.http]
        self._before = self._ask()
        self.since: Ledger | None = Ledger(0, {}) if self._before is not None else None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sipflow-load-watch", daemon=True)
        if self._before is not None:
            self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        for client in self._clients:
            client.close()

    def _run(self) -> None:
        while not self._over.wait(_ASK_S):
            now = self._ask()
            self.since = now.since(self._before) if now is not None and self._before is not None else None

    def _ask(self) -> Ledger | None:
        try:
            return Ledger.sum([Ledger.ask(client) for client in self._clients]) if self._clients else None
        except ServerUnreachable:
            return None
