"""What senders report: how much they sent, held against how much of it arrived here."""

import threading
from collections import OrderedDict
from typing import Final

from sipflow.clock import now_us
from sipflow.cluster.exchange import SenderNote

SENDERS_MAX: Final = 1000
SENDERS_TOLD: Final = 100


class _First:
    """The first report of a sender, from which on is counted: what came before, nobody here has seen whole."""

    def __init__(self, sent: int, received: int) -> None:
        self.sent, self.received = sent, received


class Senders:
    """Keeps the latest reports, of the latest SENDERS_MAX senders. Safe to use from several threads."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self._lock = threading.Lock()
        self._known: OrderedDict[int, tuple[_First, SenderNote]] = OrderedDict()

    def reported(self, client_id: int, sent: int, received: int) -> None:
        """Note a report; both counts grow, and one that does not is of a program that was started anew."""
        with self._lock:
            first, last = self._known.pop(client_id, (_First(sent, received), None))
            if last is not None and (sent < first.sent + last.sent or received < first.received + last.received):
                first = _First(sent, received)
            note = SenderNote(client_id, sent - first.sent, received - first.received, now_us())
            self._known[client_id] = first, note
            while len(self._known) > SENDERS_MAX:
                self._known.popitem(last=False)

    def notes(self) -> list[SenderNote]:
        """Give the latest reports, the latest first, at most SENDERS_TOLD."""
        with self._lock:
            return [note for _, note in reversed(self._known.values())][:SENDERS_TOLD]
