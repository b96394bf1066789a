"""The command sipflow-load."""

import sys
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from sipflow.clock import SECOND_US, now_us
from sipflow.errors import SipflowError
from sipflow.load.bank import VoiceBank
from sipflow.load.codec import parse_codecs, parse_ptimes
from sipflow.load.framing import Framing
from sipflow.load.impairment import Impairment
from sipflow.load.length import Length
from sipflow.load.outcome import IMPOSSIBLE, Outcome
from sipflow.load.pace import Pace
from sipflow.load.play import CLIENT_ID, Sending
from sipflow.load.profile import OFFICE, PROFILES, Profile, profile_of
from sipflow.load.run import Check, Run, over, unread_socket
from sipflow.load.scenario import Mix
from sipflow.load.schedule import Schedule
from sipflow.load.status import parse_refusals
from sipflow.load.style import Style
from sipflow.load.target import Target
from sipflow.load.view import Lines, Screen, Silent, View
from sipflow.version import __version__

_SHOWN = 20  # calls with differences that are printed
_MOST_CPS = 100_000
_HERE = "-"  # standard output


class Options(msgspec.Struct, frozen=True):
    """What the command line said, by option."""

    to: str | None
    node: tuple[str, ...]
    config: Path | None
    ceiling: bool
    profile: str
    calls: int | None
    cps: str | None
    ramp: float | None
    steps: int
    rate: float | None
    duration: float
    talk: float | None
    length: str | None
    seed: int
    scenario: str | None
    status: str | None
    codec: str | None
    ptime: str | None
    leg_a: str | None
    leg_b: str | None
    sip_only: bool
    ipv6: bool
    framing: str
    clients: int
    client_id: int
    senders: int
    single: bool
    offload: bool
    tick_ms: float
    verify: str | None
    sample: int | None
    root: Path | None
    settle: float
    json: str | None


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="sipflow-load")
@click.option("--to", metavar="HOST:PORT", help="Recorder to send to, e.g. 127.0.0.1:3000.")
@click.option(
    "--node",
    multiple=True,
    metavar="udp=HOST:PORT[,http=URL][,name=NAME]",
    help="A node of a cluster, in the order of its list; again for each. Call-IDs decide which gets what.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the nodes from [[sipflow.nodes]] of a TOML file, as a PBX has it.",
)
@click.option("--ceiling", is_flag=True, help="Send as fast as it goes to a socket that nobody reads.")
@click.option("--profile", default=OFFICE.name, show_default=True, help=f"{', '.join(PROFILES)} (docs/LOAD.md).")
@click.option("--calls", type=click.IntRange(1, 1_000_000), help="Calls in progress at any time (10 without --cps).")
@click.option("--cps", metavar="N or N..M", help="New calls per second instead, or from the first rate to the second.")
@click.option(
    "--ramp",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="Time from the first rate of --cps to the second (all of it unless given), or until all --calls run.",
)
@click.option("--steps", type=click.IntRange(2, 1000), default=None, help="Ramp in so many steps; else evenly.")
@click.option(
    "--rate", type=click.FloatRange(1), help="Packets per second; the calls' clock runs at the speed it takes."
)
@click.option("--duration", type=click.FloatRange(0.5, 7 * 86400), default=10.0, show_default=True, help="Seconds.")
@click.option("--talk", type=click.FloatRange(2, 3600), help="Mean length of an answered call; the profile's.")
@click.option(
    "--length",
    type=click.Choice([length.value for length in Length]),
    help="How lengths are distributed; as in the profile.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Decides every octet.")
@click.option("--scenario", help="mix, a name, or a list like answered=70,busy=30; the profile's mix unless given.")
@click.option("--status", metavar="STATUS=PERCENT,…", help="Calls that are refused, by status: 486=5,503=1.")
@click.option("--codec", metavar="NAME[=WEIGHT],…", help="PCMU, PCMA, G722, G729, AMR, opus; each telephone's own.")
@click.option("--ptime", metavar="MS,…", help="Packet times: of 10, 20, 30, 40, 60.")
@click.option("--leg-a", metavar="loss=2%,…", help="What happens to media from the caller (docs/LOAD.md).")
@click.option("--leg-b", metavar="jitter=30ms,…", help="What happens to media to the caller.")
@click.option("--sip-only", is_flag=True, help="No RTP.")
@click.option("--ipv6", is_flag=True, help="Calls between IPv6 addresses.")
@click.option(
    "--format",
    "framing",
    type=click.Choice([framing.value for framing in Framing]),
    default=Framing.SF.value,
    show_default=True,
    help="SipFlow frames, or HEP version 3.",
)
@click.option(
    "--clients", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Client ids that calls come from."
)
@click.option(
    "--client-id", type=click.IntRange(0, 2**32 - 1), default=CLIENT_ID, show_default=True, help="The first of them."
)
@click.option(
    "--senders", type=click.IntRange(1, 64), default=1, show_default=True, help="Sockets and threads to each node."
)
@click.option("--single", is_flag=True, help="One frame per datagram instead of batches.")
@click.option(
    "--offload/--no-offload",
    default=True,
    show_default=True,
    help="Let the kernel cut datagrams (UDP_SEGMENT), where it can; the same packets arrive.",
)
@click.option("--tick-ms", type=click.FloatRange(0.5, 20), default=1.0, show_default=True, help="Pace of the sender.")
@click.option(
    "--verify",
    is_flag=False,
    flag_value="",
    metavar="[URL]",
    help="Then ask the server, or every node, for every call and compare.",
)
@click.option(
    "--sample", type=click.IntRange(1), help="--verify so many calls, picked at random, and the totals of all."
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Data directory of the server: --verify then compares every RTP packet stored there.",
)
@click.option("--settle", type=click.FloatRange(0), default=15.0, show_default=True, help="Seconds --verify waits.")
@click.option("--json", metavar="FILE", help='Write the outcome as JSON; "-" for standard output.')
def main(**given: object) -> None:
    """Send realistic calls to sipflow recorders, and check that they kept every one of them.

    Calls run in real time unless --rate says otherwise. Exits with 1 when --verify finds a difference, 2 when the run
    could not be made.
    """
    options = msgspec.convert({**given, "steps": given["steps"] or 0}, Options)
    _refuse_contradictions(options)
    try:
        with ExitStack() as stack:
            if options.ceiling:
                run = over(_run_of(options, Target()), stack.enter_context(unread_socket()))
            else:
                run = _run_of(options, Target(options.to, options.node, options.config, options.verify or ""))
            view = _view(options)
            stack.callback(view.close)
            outcome = run.execute(view)
        _write(outcome, options)
    except SipflowError as error:
        click.echo(f"sipflow-load: {error}", err=True)
        sys.exit(IMPOSSIBLE)
    sys.exit(outcome.status)


def _refuse_contradictions(options: Options) -> None:
    places = [options.to is not None, bool(options.node), options.config is not None, options.ceiling]
    if sum(places) != 1:
        raise click.UsageError("--to, --node, --config, --ceiling: found none or several; allowed: one of them")
    if options.calls is not None and options.cps is not None:
        raise click.UsageError("--calls and --cps: found both; allowed: one of them")
    if options.steps and ".." not in (options.cps or ""):
        raise click.UsageError("--steps: of no use without --cps FROM..TO")
    if options.verify is None and (options.sample or options.root):
        raise click.UsageError("--sample and --root: of no use without --verify")
    if options.verify is not None and options.ceiling:
        raise click.UsageError("--verify: of no use with --ceiling, which nobody receives")


def _run_of(options: Options, target: Target) -> Run:
    profile = profile_of(options.profile)
    sip_only = options.sip_only or profile.sip_only
    talk_s = options.talk or profile.talk_s
    lines = 0 if options.cps is not None else options.calls or 10
    ramp_s = options.ramp or options.duration
    plan = Schedule(
        seed=options.seed,
        mix=_mix(options, profile),
        start_us=now_us(),
        span_us=int(options.duration * SECOND_US),
        talk_us=int(talk_s * SECOND_US),
        lines=lines,
        pace=None
        if options.cps is None
        else Pace.parse(options.cps, int(ramp_s * SECOND_US), options.steps, _MOST_CPS),
        style=_style(options, profile),
        length=Length(options.length) if options.length else profile.length,
        ramp_us=None if options.ramp is None else int(options.ramp * SECOND_US),
    )
    speed = 1.0
    if options.rate is not None:
        bank = VoiceBank.make(plan.seed, plan.style.codings)
        speed = options.rate / plan.records_per_second(bank, sip_only=sip_only)
        # A faster clock begins in the past and ends now.
        plan = plan.sped_up(speed)
    sending = Sending(
        speed=speed,
        single=options.single,
        offload=options.offload,
        sip_only=sip_only,
        client_id=options.client_id,
        clients=options.clients,
        framing=Framing(options.framing),
        tick_us=int(options.tick_ms * 1000),
    )
    check = None if options.verify is None else Check(options.sample, options.root, options.settle)
    return Run(profile.name, target.route(options.senders, root=options.root), plan, sending, check)


def _mix(options: Options, profile: Profile) -> Mix:
    mix = Mix.parse(options.scenario) if options.scenario else profile.mix
    if options.status:
        mix = mix.refusing(sum(share for _, share in parse_refusals(options.status)))
    return mix


def _style(options: Options, profile: Profile) -> Style:
    codecs = parse_codecs(options.codec) if options.codec else profile.codecs
    own = () if options.codec else profile.ptimes
    a, b = profile.impairments
    return Style(
        ipv6=options.ipv6,
        codecs=codecs,
        ptimes=parse_ptimes(options.ptime, codecs) if options.ptime else own,
        impairments=(
            a if options.leg_a is None else Impairment.parse(options.leg_a, "--leg-a"),
            b if options.leg_b is None else Impairment.parse(options.leg_b, "--leg-b"),
        ),
        refusals=parse_refusals(options.status) if options.status else profile.refusals,
    )


def _view(options: Options) -> View:
    if sys.stderr.isatty():
        return Screen(Console(stderr=True))
    return Silent() if options.json == _HERE else Lines(sys.stderr)


def _write(outcome: Outcome, options: Options) -> None:
    if options.json is not None:
        text = msgspec.json.format(msgspec.json.encode(outcome), indent=2)
        if options.json == _HERE:
            click.echo(text.decode())
            return
        try:
            Path(options.json).write_bytes(text + b"\n")
        except OSError as error:
            raise click.FileError(options.json, error.strerror or "") from None
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
    console = Console(soft_wrap=True)
    console.print(table, highlight=False, markup=False)
    console.print(f"verdict: {outcome.conclusion}", highlight=False, markup=False)
    for found in verdict.wrong[:_SHOWN] if verdict is not None else ():
        console.print(found.text, highlight=False, markup=False)
