"""What a server counted while a run lasted."""

import re
from collections import Counter
from collections.abc import Sequence

import httpx
import msgspec

from sipflow.errors import ServerUnreachable

_SAMPLE = re.compile(r'^(sipflow_\w+)\{[^}]*?(?:reason="([^"]*)")?\} (\d+)$', re.MULTILINE)
_STORED = "sipflow_items_recorded_total"
_LOST = {
    "sipflow_kernel_drops_total": "dropped by the kernel [datagrams]",
    "sipflow_dropped_total": "dropped",
    "sipflow_rejected_total": "refused",
}


class Ledger(msgspec.Struct, frozen=True):
    """Counts of a server: packets stored, and what was lost, by a reason in words."""

    stored: int
    lost: dict[str, int]

    @staticmethod
    def ask(client: httpx.Client) -> "Ledger":
        """Read /metrics. Raises ServerUnreachable."""
        try:
            answer = client.get("/metrics")
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{client.base_url}/metrics: {error}") from None
        if answer.status_code != 200 or _STORED not in answer.text:
            raise ServerUnreachable(f"{answer.url}: not the metrics of a sipflow server (HTTP {answer.status_code})")
        stored = 0
        lost: Counter[str] = Counter()
        for name, reason, value in _SAMPLE.findall(answer.text):
            if name == _STORED:
                stored += int(value)
            elif name in _LOST:
                lost[f"{_LOST[name]}: {reason}" if reason else _LOST[name]] += int(value)
        return Ledger(stored, dict(lost))

    @staticmethod
    def sum(ledgers: "Sequence[Ledger]") -> "Ledger":
        """Add up the counts of several servers."""
        lost: Counter[str] = Counter()
        for ledger in ledgers:
            lost.update(ledger.lost)
        return Ledger(sum(ledger.stored for ledger in ledgers), dict(lost))

    def since(self, before: "Ledger") -> "Ledger":
        """Give what was counted after `before`; reasons without a loss are left out."""
        lost = {reason: count - before.lost.get(reason, 0) for reason, count in self.lost.items()}
        return Ledger(self.stored - before.stored, {reason: count for reason, count in lost.items() if count})


class Totals(msgspec.Struct, frozen=True):
    """All packets of a run: how many were sent, how many the server stored, and what it lost meanwhile."""

    sent: int
    stored: int
    lost: dict[str, int]

    @property
    def right(self) -> bool:
        """Tell whether everything was stored and nothing else."""
        return self.sent == self.stored and not self.lost

    @property
    def text(self) -> str:
        """Tell in words what became of the packets."""
        lost = "".join(f", {count} {reason}" for reason, count in self.lost.items())
        return f"{self.stored} of {self.sent} packets are stored{lost}"
