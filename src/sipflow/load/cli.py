"""The command sipflow-load."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sipflow.clock import SECOND_US, now_us
from sipflow.errors import SipflowError
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.play import Sending, destination, play
from sipflow.load.report import Report
from sipflow.load.scenario import Mix
from sipflow.load.schedule import Schedule
from sipflow.load.totals import Ledger
from sipflow.load.verify import Verdict, Verifier
from sipflow.version import __version__

_SHOWN = 20  # calls with differences that are printed


class Outcome(msgspec.Struct, frozen=True):
    """What --json prints."""

    seed: int
    speed: float
    rate: float
    cpu_share: float
    sent: Report
    verdict: Verdict | None


@dataclass(frozen=True)
class _Run:
    """Everything the options decided."""

    to: str
    schedule: Schedule
    sending: Sending
    check: "_Check | None"
    show: bool


@dataclass(frozen=True)
class _Check:
    """How what is stored is compared: every call, or `sample` of them and the totals of all."""

    url: str
    sample: int | None
    root: Path | None
    settle_s: float


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="sipflow-load")
@click.option("--to", metavar="HOST:PORT", required=True, help="Recorder to send to, e.g. 127.0.0.1:3000.")
@click.option("--calls", type=click.IntRange(1, 1_000_000), help="Calls in progress at any time (10 without --cps).")
@click.option("--cps", type=click.FloatRange(0, 100_000, min_open=True), help="New calls per second instead.")
@click.option(
    "--rate", type=click.FloatRange(1), help="Packets per second; the calls' clock runs at the speed it takes."
)
@click.option("--duration", type=click.FloatRange(0.5, 7 * 86400), default=10.0, show_default=True, help="Seconds.")
@click.option("--talk", type=click.FloatRange(2, 3600), default=30.0, show_default=True, help="Mean length of a call.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Decides every octet.")
@click.option("--scenario", default="mix", show_default=True, help="mix, a name, or a list like answered=70,busy=30.")
@click.option("--sip-only", is_flag=True, help="No RTP.")
@click.option("--single", is_flag=True, help="One frame per datagram instead of batches.")
@click.option(
    "--offload",
    is_flag=True,
    help="Let the kernel cut datagrams (UDP_SEGMENT): batches padded to 1472 octets, single frames as they are.",
)
@click.option("--ipv6", is_flag=True, help="Calls between IPv6 addresses.")
@click.option("--tick-ms", type=click.FloatRange(0.5, 20), default=1.0, show_default=True, help="Pace of the sender.")
@click.option("--verify", "url", metavar="URL", help="Then ask this server for every call and compare.")
@click.option(
    "--sample", type=click.IntRange(1), help="--verify so many calls, picked at random, and the totals of all."
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Data directory of the server: --verify then compares every RTP packet stored there.",
)
@click.option("--settle", type=click.FloatRange(0), default=15.0, show_default=True, help="Seconds --verify waits.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def main(  # noqa: PLR0913 - click hands over one argument per option
    *,
    to: str,
    calls: int | None,
    cps: float | None,
    rate: float | None,
    duration: float,
    talk: float,
    seed: int,
    scenario: str,
    sip_only: bool,
    single: bool,
    offload: bool,
    ipv6: bool,
    tick_ms: float,
    url: str | None,
    sample: int | None,
    root: Path | None,
    settle: float,
    as_json: bool,
) -> None:
    """Send realistic calls to a sipflow recorder, and check that it kept every one of them.

    Calls run in real time unless --rate says otherwise. Exits with 1 when --verify finds a difference, 2 when the run
    could not be made.
    """
    if calls is not None and cps is not None:
        raise click.UsageError("--calls and --cps: found both; allowed: one of them")
    if url is None and (sample or root):
        raise click.UsageError("--sample and --root: of no use without --verify")
    lines = 0 if cps is not None else calls or 10
    try:
        destination(to)
        plan = Schedule(
            seed=seed,
            mix=Mix.parse(scenario),
            start_us=now_us(),
            span_us=int(duration * SECOND_US),
            talk_us=int(talk * SECOND_US),
            lines=lines,
            per_second=cps or 0.0,
            ipv6=ipv6,
        )
        schedule, speed = _at_rate(plan, rate, sip_only=sip_only)
        sending = Sending(speed=speed, single=single, offload=offload, sip_only=sip_only, tick_us=int(tick_ms * 1000))
        shown = sys.stderr.isatty() and not as_json
        check = None if url is None else _Check(url, sample, root, settle)
        outcome = _run(_Run(to, schedule, sending, check, shown))
    except SipflowError as error:
        click.echo(f"sipflow-load: {error}", err=True)
        sys.exit(2)
    _print(outcome, as_json=as_json)
    if outcome.verdict is not None and not outcome.verdict.right:
        sys.exit(1)


def _at_rate(plan: Schedule, rate: float | None, *, sip_only: bool) -> tuple[Schedule, float]:
    """Speed the calls' clock up or down to the wanted rate; a faster clock begins in the past and ends now."""
    if rate is None:
        return plan, 1.0
    speed = rate / plan.records_per_second(VoiceBank.make(plan.seed), sip_only=sip_only)
    return plan.sped_up(speed), speed


def _run(run: _Run) -> Outcome:
    check = run.check
    verifier = None if check is None else Verifier(check.url, sip_only=run.sending.sip_only, root=check.root)
    try:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not run.show,
        ) as bars:
            before = verifier.ledger() if verifier is not None and check is not None and check.sample else None
            report = _send(run, bars)
            verdict = None
            if verifier is not None and check is not None:
                verdict = _compare(run, check, verifier, report, before, bars)
    finally:
        if verifier is not None:
            verifier.close()
    return Outcome(run.schedule.seed, run.sending.speed or 0.0, report.rate, report.cpu_share, report, verdict)


def _send(run: _Run, bars: Progress) -> Report:
    bar = bars.add_task("sending", total=run.schedule.span_us, note="")

    def sent_so_far(report: Report, clock_us: int) -> None:
        note = f"{report.records} packets, {report.rate:.0f}/s"
        bars.update(bar, completed=clock_us - run.schedule.start_us, note=note)

    return play(run.schedule, run.to, run.sending, sent_so_far)


def _compare(
    run: _Run, check: _Check, verifier: Verifier, report: Report, before: Ledger | None, bars: Progress
) -> Verdict:
    calls: Iterable[Call] = run.schedule.calls()
    totals = None
    if check.sample is not None and before is not None:
        totals = verifier.totals(before, report.records, check.settle_s)
        calls = run.schedule.sample(check.sample)
    bar = bars.add_task("comparing", total=None, note="")

    def compared(done: int, total: int) -> None:
        bars.update(bar, completed=done, total=total, note=f"{done} of {total} calls as sent")

    return msgspec.structs.replace(verifier.run(calls, check.settle_s, compared), totals=totals)


def _print(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(outcome), indent=2).decode())
        return
    table = Table.grid(padding=(0, 2))
    for name, value in outcome.sent.lines():
        table.add_row(name, value)
    verdict = outcome.verdict
    if verdict is not None:
        table.add_row(
            "compared",
            f"{verdict.calls} calls, {verdict.messages} messages, {verdict.streams} streams of {verdict.packets} "
            f"packets in {verdict.settled_s:.1f} s",
        )
        table.add_row("differences", f"{len(verdict.wrong)} calls" if verdict.wrong else "none")
        if verdict.totals is not None:
            lost = "".join(f"; {count} {reason}" for reason, count in verdict.totals.lost.items())
            table.add_row("stored", f"{verdict.totals.stored} of {verdict.totals.sent} packets{lost}")
    console = Console(soft_wrap=True)
    console.print(table, highlight=False)
    for found in verdict.wrong[:_SHOWN] if verdict is not None else ():
        console.print(f"{found.call_id}: {'; '.join(found.differences)}", highlight=False, markup=False)
