"""One run: calls are sent, watched, and compared with what is stored."""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from sipflow.load.call import Call
from sipflow.load.framing import Framing
from sipflow.load.outcome import RIGHT, WRONG, Outcome
from sipflow.load.play import Sending, play
from sipflow.load.report import Report
from sipflow.load.route import Route
from sipflow.load.schedule import Schedule
from sipflow.load.verdict import Verdict
from sipflow.load.verify import Verifier
from sipflow.load.view import Standing, View
from sipflow.load.watch import Watch


@dataclass(frozen=True)
class Check:
    """How what is stored is compared: every call, or `sample` of them and the totals of all."""

    sample: int | None
    root: Path | None
    settle_s: float


@dataclass(frozen=True)
class Run:
    """Everything that options decide."""

    profile: str
    route: Route
    schedule: Schedule
    sending: Sending
    check: Check | None

    def execute(self, view: View) -> Outcome:
        """Send, and compare if that was asked for.

        Raises ConfigError for a destination that is none, ServerUnreachable and StorageError when the servers cannot be
        asked.
        """
        check = self.check
        verifier = None
        if check is not None:
            legs = self.sending.framing is not Framing.HEP
            verifier = Verifier(self.route, sip_only=self.sending.sip_only, legs=legs, root=check.root)
        watch = Watch(self.route.nodes)
        try:
            before = verifier.ledger() if verifier is not None and check is not None and check.sample else None
            report = play(self.schedule, self.route, self.sending, self._telling(view, watch))
            verdict = None
            if verifier is not None and check is not None:
                calls: Iterable[Call] = self.schedule.calls()
                totals = None
                if before is not None and check.sample is not None:
                    totals = verifier.totals(before, report.records, check.settle_s)
                    calls = self.schedule.sample(check.sample)
                verdict = msgspec.structs.replace(verifier.run(calls, check.settle_s, view.compare), totals=totals)
        finally:
            watch.close()
            if verifier is not None:
                verifier.close()
        return self._outcome(report, verdict)

    def _telling(self, view: View, watch: Watch) -> Callable[[Report, int], None]:
        pace = self.schedule.pace

        def tell(report: Report, clock_us: int) -> None:
            done_us = clock_us - self.schedule.start_us
            asked = None if pace is None else pace.rate(done_us) * (self.sending.speed or 1.0)
            view.show(Standing(done_us, self.schedule.span_us, asked, report, watch.since))

        return tell

    def _outcome(self, report: Report, verdict: Verdict | None) -> Outcome:
        if verdict is None:
            conclusion = f"{report.records} packets of {report.calls} calls were sent; nothing was compared"
        else:
            conclusion = verdict.text
        if report.unsent:
            conclusion += f"; {report.unsent} datagrams could not be sent ({report.last_error})"
        return Outcome(
            profile=self.profile,
            seed=self.schedule.seed,
            speed=self.sending.speed or 0.0,
            rate=report.rate,
            cpu_share=report.cpu_share,
            format=self.sending.framing.value,
            nodes=[node.name for node in self.route.nodes],
            sent=report,
            verdict=verdict,
            conclusion=conclusion,
            status=RIGHT if verdict is None or verdict.right else WRONG,
        )


@contextmanager
def unread_socket() -> Iterator[Route]:
    """Give the route to a socket of this machine that is bound and that nobody reads: what sending alone can do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.bind(("127.0.0.1", 0))
        yield Route.to(f"127.0.0.1:{sock.getsockname()[1]}")


def over(run: Run, route: Route) -> Run:
    """Give a run that goes another way, as fast as it can."""
    return replace(run, route=route, sending=msgspec.structs.replace(run.sending, speed=None))
