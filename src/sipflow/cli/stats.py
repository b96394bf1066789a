"""The command that tells how a call's streams fared: stats."""

from collections.abc import Iterator, Sequence

import click
import msgspec
from rich.text import Text

from sipflow.cli.call_table import joined
from sipflow.cli.ladder_text import printable
from sipflow.cli.options import asking, windowed
from sipflow.cli.output import console, show, warn, write_json
from sipflow.clock import SECOND_US
from sipflow.media.assessment import Assessment, QualityFigures
from sipflow.media.completeness import Completeness
from sipflow.origin import Origin
from sipflow.query.question import parse_window

HEAD = (
    "LEG", "CODEC", "SSRC", "PACKETS", "LOST", "LOSS", "DUPL", "REORD", "LATE", "RESETS", "JITTER", "MEAN", "P95",
    "MAX", "MOS", "LENGTH", "FROM > TO",
)  # fmt: skip
# From here on a listener hears what is missing.
LOSS_SEEN, LOSS_HEARD = 0.0, 1.0
_COLOURS = {"error": "red", "warning": "yellow", "note": ""}


class Stats(msgspec.Struct, frozen=True):
    """Everything measured of a call's media, and how complete its recording is; None where nothing can be played."""

    quality: Assessment
    completeness: Completeness | None
    note: str


@click.command()
@click.argument("call_id", metavar="CALLID")
@asking
@windowed
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def stats(origin: Origin, call_id: str, since: str | None, until: str | None, as_json: bool) -> None:
    """Measure the streams of a call: loss, order, jitter (in ms), MOS; how complete its recording is, and why."""
    span = parse_window(since, until, ("--since", "--until"))
    report, faults = origin.streams(call_id, span)
    assessment, _ = origin.assess(call_id, span)
    if as_json:
        write_json(Stats(assessment, report.completeness, report.note))
    else:
        terminal = console()
        for line in rows(assessment.streams):
            show(terminal, line)
        for label in dict.fromkeys(stream.lq.label for stream in assessment.streams if stream.lq is not None):
            show(terminal, Text(f"MOS: {label}, of an adaptive jitter buffer"))
        for finding in assessment.findings:
            show(terminal, Text(f"{finding.severity}: {printable(finding.sentence)}", style=_COLOURS[finding.severity]))
        show(terminal, Text(f"recording: {printable(report.note)}"))
    warn(faults)


def rows(streams: Sequence[QualityFigures]) -> Iterator[Text]:
    """Write the head and a line per stream, columns aligned."""
    lines = [_cells(stream) for stream in streams]
    widths = [max(len(line[column]) for line in [HEAD, *lines]) for column in range(len(HEAD) - 1)]
    yield Text(joined(HEAD, widths), style="bold")
    for stream, cells in zip(streams, lines, strict=True):
        yield Text(joined(cells, widths), style=_style(stream))


def _cells(stream: QualityFigures) -> tuple[str, ...]:
    return (
        str(stream.leg),
        printable(f"{stream.codec}/{stream.clock_rate}") if stream.codec else "-",
        "-" if stream.ssrc is None else f"{stream.ssrc:08x}",
        str(stream.packet_count),
        str(stream.lost),
        f"{stream.loss_percent:.2f}%",
        str(stream.duplicates),
        str(stream.reordered),
        str(stream.late),
        str(stream.resets),
        *(
            _ms(value)
            for value in (stream.jitter_ms, stream.jitter_mean_ms, stream.jitter_p95_ms, stream.jitter_max_ms)
        ),
        "-" if stream.lq is None else f"{stream.lq.mos:.2f}",
        f"{(stream.last_us - stream.first_us) / SECOND_US:.1f}s",
        printable(f"{stream.src} > {stream.dst}"),
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _style(stream: QualityFigures) -> str:
    return "red" if stream.loss_percent >= LOSS_HEARD else "yellow" if stream.loss_percent > LOSS_SEEN else ""
