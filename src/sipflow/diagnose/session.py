"""Session timers: calls that end because nobody refreshed them (RFC 4028)."""

import re
from collections.abc import Iterator
from typing import Final

from sipflow.clock import SECOND_US
from sipflow.diagnose.dialogue import Dialogue, Step
from sipflow.diagnose.fields import parameter
from sipflow.diagnose.words import label
from sipflow.media.finding import Figure, Finding, Severity

_SECONDS: Final = re.compile(r"\s*(\d{1,9})\b", re.ASCII)
# Section 10: the side that does not refresh hangs up min(32 s, a third of the interval) before its end.
_EARLY_US: Final = 32 * SECOND_US
_LATE_US: Final = 5 * SECOND_US


def session_timer(dialogue: Dialogue) -> Iterator[Finding]:
    """Say whether the session was refreshed in time, and whether the call ended because it was not."""
    answer = dialogue.answer
    if answer is None:
        return
    value = answer.fields.first("session-expires")
    found = _SECONDS.match(value)
    if found is None or not int(found[1]):
        return
    interval_us = int(found[1]) * SECOND_US
    refreshes = [answer.time_us, *(step.time_us for step in dialogue.steps if _refreshes(step, answer))]
    end = dialogue.bye or dialogue.steps[-1]
    since_us = end.time_us - max(time for time in refreshes if time <= end.time_us)
    refresher = {"uac": "the caller", "uas": "the called side"}.get(parameter(value, "refresher") or "", "nobody named")
    seconds = int(found[1])
    figures = (Figure("session interval", seconds, "s"), Figure("since refresh", since_us / SECOND_US, "s"))
    early_us = min(_EARLY_US, interval_us // 3)
    if dialogue.bye is not None and interval_us - early_us - _LATE_US <= since_us <= interval_us + _LATE_US:
        yield Finding(
            "session-expired", Severity.ERROR,
            f"The call was ended {since_us / SECOND_US:.0f} s after its last refresh, when its session of {seconds} s "
            f"ran out: {refresher} was to refresh it and did not, or the refresh did not arrive.",
            "RFC 4028 section 10", (answer.time_us, end.time_us), figures=figures,
        )  # fmt: skip
    elif since_us > interval_us + _LATE_US:
        yield Finding(
            "session-not-refreshed", Severity.WARNING,
            f"The session of {seconds} s was not refreshed for {since_us / SECOND_US:.0f} s ({refresher} was to do "
            "it), and the call went on.",
            "RFC 4028 section 7", (answer.time_us, end.time_us), figures=figures,
        )  # fmt: skip


def interval_too_small(dialogue: Dialogue) -> Iterator[Finding]:
    """Name a 422 and the interval it asks for."""
    for step in dialogue.steps:
        if step.status == 422:
            least = _SECONDS.match(step.fields.first("min-se"))
            yield Finding(
                "session-interval-too-small", Severity.NOTE,
                f"{step.message.src} wants a longer session interval ({label(step.head)})"
                + (f": {int(least[1])} s at least." if least is not None else ", and does not say how long."),
                "RFC 4028 section 6", (step.time_us,),
            )  # fmt: skip
            return


def _refreshes(step: Step, answer: Step) -> bool:
    """Tell a 2xx to a re-INVITE or UPDATE after the answer."""
    later = step.time_us > answer.time_us and (step.head.cseq, step.head.from_tag) != (
        answer.head.cseq,
        answer.head.from_tag,
    )
    return later and 200 <= step.status < 300 and step.method in ("INVITE", "UPDATE")
