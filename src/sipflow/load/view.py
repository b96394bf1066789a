"""A run as a person watches it: a table that changes on a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from sipflow.clock import SECOND_US
from sipflow.load.report import Report
from sipflow.load.totals import Ledger

_LINE_S = 5.0  # between two lines
_RECENT_S = 2.0  # over which the rate of the moment is measured


class Standing(NamedTuple):
    """How far a run has come: the calls' clock, the new calls per second that are asked for now, what was sent.

    `stored` is what the servers counted meanwhile, None when they cannot be asked.
    """

    done_us: int
    span_us: int
    asked: float | None
    report: Report
    stored: Ledger | None


class View(Protocol):
    """Shows how a run goes."""

    def show(self, standing: Standing) -> None:
        """Show how far sending has come."""

    def compare(self, done: int, total: int) -> None:
        """Show how many calls are as they were sent."""

    def close(self) -> None:
        """Show no more."""


class Speed:
    """The rate of the last seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing sent."""
        self._now = now
        self._seen: list[tuple[float, int]] = []

    def of(self, records: int) -> float:
        """Give the rate at which packets were sent of late; 0 until there is something to compare with."""
        at = self._now()
        self._seen.append((at, records))
        while len(self._seen) > 2 and self._seen[1][0] <= at - _RECENT_S:
            self._seen.pop(0)
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first) if last > first else 0.0


class Silent:
    """Shows nothing."""

    def show(self, standing: Standing) -> None:
        """Show nothing."""

    def compare(self, done: int, total: int) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class Screen:
    """A table on a terminal."""

    def __init__(self, console: Console) -> None:
        """Take over the last lines of the terminal."""
        self._speed = Speed()
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def show(self, standing: Standing) -> None:
        """Show how far sending has come."""
        table = Table.grid(padding=(0, 2))
        table.add_row(
            "sending",
            ProgressBar(total=standing.span_us, completed=min(standing.done_us, standing.span_us), width=30),
            f"{standing.done_us / SECOND_US:.0f} of {standing.span_us / SECOND_US:.0f} s of the calls' clock",
        )
        for name, value, note in rows(standing, self._speed.of(standing.report.records)):
            table.add_row(name, value, note)
        self._live.update(table)

    def compare(self, done: int, total: int) -> None:
        """Show how many calls are as they were sent."""
        table = Table.grid(padding=(0, 2))
        table.add_row("comparing", ProgressBar(total=total, completed=done, width=30), f"{done} of {total} as sent")
        self._live.update(table)

    def close(self) -> None:
        """Give the lines back."""
        self._live.stop()


class Lines:
    """A line every few seconds, for logs."""

    def __init__(self, out: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        """Write to `out`, the first line when so many seconds have passed."""
        self._out = out
        self._now = now
        self._speed = Speed(now)
        self._last = now()
        self._ended = False
        self._compared = (-1, -1)

    def show(self, standing: Standing) -> None:
        """Write a line, if it is time for one."""
        speed = self._speed.of(standing.report.records)
        ended = standing.done_us >= standing.span_us
        if self._ended or (self._now() - self._last < _LINE_S and not ended):
            return
        self._ended = ended
        self._last = self._now()
        parts = [f"{name} {value}" + (f" ({note})" if note else "") for name, value, note in rows(standing, speed)]
        self._write(f"{standing.done_us / SECOND_US:.0f} of {standing.span_us / SECOND_US:.0f} s: {', '.join(parts)}")

    def compare(self, done: int, total: int) -> None:
        """Write how many calls are as they were sent, when that has changed."""
        if (done, total) != self._compared:
            self._compared = (done, total)
            self._write(f"comparing: {done} of {total} calls as sent")

    def close(self) -> None:
        """Write no more."""

    def _write(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


def rows(standing: Standing, speed: float) -> list[tuple[str, str, str]]:
    """Give what is shown of a run: what, how much, and what else is to be known of it."""
    report, stored = standing.report, standing.stored
    found = [("rate", f"{speed:,.0f} packets/s", "")]
    if standing.asked is not None:
        found.append(("ramp", f"{standing.asked:,.1f} calls/s asked now", ""))
    found.append(("sent", f"{report.records:,}", f"{report.calls:,} calls, {report.sip:,} SIP, {report.rtp:,} RTP"))
    if stored is not None:
        behind = report.records - stored.stored
        found.append(("stored", f"{stored.stored:,}", f"{behind:,} not yet" if behind > 0 else ""))
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in stored.lost.items())
        found.append(("lost", f"{sum(stored.lost.values()):,}", reasons))
    late = f"{report.late_ticks:,} late ticks" if report.late_ticks else ""
    told = "; ".join(
        filter(None, (report.last_error, f"{report.unsent:,} datagrams not sent" if report.unsent else "", late))
    )
    found.append(("errors", f"{report.errors:,}", told))
    return found
