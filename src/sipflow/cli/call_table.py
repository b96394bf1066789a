"""Calls as a table: one line each, the Call-ID whole and last, so that it can be copied."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from sipflow.cli.ladder_text import STYLES, printable
from sipflow.clock import SECOND_US, format_time
from sipflow.query.answer import CallSummary

HEAD = ("TIME (UTC)", "FROM", "TO", "METHOD", "RESULT", "LENGTH", "SIP", "RTP", "CALL-ID")
USER_MAX = 24


def rows(calls: Sequence[CallSummary]) -> Iterator[Text]:
    """Write the head and a line per call, columns aligned."""
    lines = [_cells(call) for call in calls]
    widths = [max(len(line[column]) for line in [HEAD, *lines]) for column in range(len(HEAD) - 1)]
    yield Text(joined(HEAD, widths), style="bold")
    for call, cells in zip(calls, lines, strict=True):
        yield Text(joined(cells, widths), style=_style(call))


def _cells(call: CallSummary) -> tuple[str, ...]:
    end_us = call.end_us if call.end_us is not None else call.last_us
    talk = f"{(end_us - call.answer_us) / SECOND_US:.1f}s" if call.answer_us is not None else "-"
    return (
        format_time(call.first_us)[:19].replace("T", " "),
        _short(call.from_user or call.from_uri or "-"),
        _short(call.to_user or call.to_uri or "-"),
        printable(call.method) or "-",
        printable(f"{call.state} {call.status}" if call.status else call.state),
        talk,
        str(call.sip_messages),
        str(call.rtp_packets),
        printable(call.call_id),
    )


def joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Write cells beside each other, padded to `widths`; the last has none."""
    fixed = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False))
    return f"{fixed}  {cells[-1]}"


def _short(text: str) -> str:
    plain = printable(text)
    return plain if len(plain) <= USER_MAX else plain[: USER_MAX - 1] + "~"


def _style(call: CallSummary) -> str:
    return STYLES.get(f"{call.status // 100}xx", "") if call.status else ""
