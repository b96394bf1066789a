"""Calls that go on being sent while the server dies and comes back."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Self

from sipflow.clock import SECOND_US, now_us
from sipflow.load.call import Call
from sipflow.load.play import Sending, play
from sipflow.load.report import Report
from sipflow.load.scenario import Mix
from sipflow.load.schedule import Schedule
from sipflow.storage.layout import HOUR_US
from soak.victim import Victim

# Without calls that send a packet twice on purpose or out of order: what is stored twice is then a fault of ours, and
# what is missing between two stored packets was lost.
ORDERLY = Mix.parse("answered=60,challenged=10,early-media=10,one-way=5,digits=5,busy=4,register=3,options=3")


class Traffic(threading.Thread):
    """Sends a plan of calls to a server in a thread of its own; packets carry their capture times.

    `calls` are in progress at any time, a hundred packets a second each. `start_us` is when the calls' clock begins,
    now unless given; it runs at the speed of life unless `speed` says otherwise (None: as fast as the socket takes it).
    Plans that are compared together need numbers of their own: `first` is that of the first call.
    """

    def __init__(
        self,
        dest: tuple[str, int],
        *,
        calls: int,
        seconds: float,
        start_us: int | None = None,
        talk: float = 8.0,
        first: int = 0,
        speed: float | None = 1.0,
    ) -> None:
        """Plan; `start` begins to send."""
        super().__init__(name="traffic", daemon=True)
        self._dest = dest
        self.start_us = now_us() if start_us is None else start_us
        self._schedule = Schedule(7, ORDERLY, self.start_us, int(seconds * SECOND_US), int(talk * SECOND_US), calls)
        self._first = first
        self._speed = speed
        self._quit = threading.Event()
        self.report: Report | None = None
        self.clock_us = self.start_us

    def run(self) -> None:
        """Send until all calls have ended or `quit`."""
        with suppress(_Quit):
            play(self._numbered(), self._dest, Sending(speed=self._speed), self._progress)

    def _progress(self, report: Report, clock_us: int) -> None:
        self.report, self.clock_us = report, clock_us
        if self._quit.is_set():
            raise _Quit

    @property
    def sent(self) -> int:
        """Count the packets sent so far, a tenth of a second behind."""
        return self.report.records if self.report is not None else 0

    def quit(self) -> None:
        """Send no more."""
        self._quit.set()
        self.join()

    def calls(self) -> list[Call]:
        """List the planned calls."""
        return list(self._numbered())

    def _numbered(self) -> Iterator[Call]:
        return (replace(call, number=call.number + self._first) for call in self._schedule.calls())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.quit()


def hours_ago(hours: int) -> int:
    """Give a time in the middle of an earlier hour [us], so that calls of some seconds stay in its bucket."""
    return (now_us() // HOUR_US - hours) * HOUR_US + HOUR_US // 2


def burst(victim: Victim, *, start_us: int, first: int = 0, seconds: float = 30.0) -> Traffic:
    """Send ten calls at once and wait until the server has stored every packet of them."""
    before = victim.stored()
    with Traffic(victim.udp, calls=10, seconds=4, talk=3, start_us=start_us, first=first, speed=None) as traffic:
        traffic.join()
    victim.until(lambda: victim.stored() >= before + traffic.sent, f"storing all {traffic.sent} packets", seconds)
    return traffic


class _Quit(Exception):
    pass
