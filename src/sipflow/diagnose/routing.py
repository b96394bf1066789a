"""The ways of requests: loops, hops that run out, forks."""

from collections import defaultdict
from collections.abc import Iterator

from sipflow.diagnose.dialogue import Dialogue
from sipflow.diagnose.words import brief, label
from sipflow.media.finding import Figure, Finding, Severity
from sipflow.wire.endpoint import Endpoint

# Requests are sent with 70 (RFC 3261 section 8.1.1.6); one that has so few left has come a very long way.
_FEW_HOPS = 3


def loops(dialogue: Dialogue) -> Iterator[Finding]:
    """Name requests that come back to a server they have passed (section 16.3)."""
    seen: dict[tuple[Endpoint, str, str, int | None, str], dict[str, int]] = defaultdict(dict)
    for step in dialogue.steps:
        head = step.head
        if head.is_request and head.branch and not head.to_tag and head.method not in ("ACK", "CANCEL"):
            place = (step.message.dst, head.method, head.from_tag, head.cseq, head.uri)
            seen[place].setdefault(head.branch, step.time_us)
    for (server, method, *_), branches in seen.items():
        if len(branches) >= 3:
            yield Finding(
                "loop", Severity.ERROR,
                f"The same {brief(method)} reached {server} {len(branches)} times by different ways: it goes round.",
                "RFC 3261 section 16.3; RFC 5393", tuple(list(branches.values())[:8]),
                figures=(Figure("times", len(branches)),),
            )  # fmt: skip


def hops_run_out(dialogue: Dialogue) -> Iterator[Finding]:
    """Name a request whose Max-Forwards is at its end."""
    for step in dialogue.steps:
        left = step.fields.first("max-forwards") if step.head.is_request else ""
        if left.isascii() and left.isdigit() and len(left) < 4 and int(left) <= _FEW_HOPS:
            if step.head.method == "OPTIONS":
                continue  # traceroute by Max-Forwards (section 11)
            yield Finding(
                "few-hops-left", Severity.WARNING,
                f"{label(step.head)} to {step.message.dst} has Max-Forwards {int(left)}: it may only pass so many more "
                "servers, which is a loop or a wrong start value.",
                "RFC 3261 section 8.1.1.6", (step.time_us,),
            )  # fmt: skip
            return


def forks(dialogue: Dialogue) -> Iterator[Finding]:
    """Name calls that rang or were answered in several places at once."""
    for one in dialogue.attempts:
        rang = {step.head.to_tag: step.time_us for step in one.responses if 100 < step.status < 300}
        rang.pop("", None)
        answered = {step.head.to_tag: step for step in one.responses if 200 <= step.status < 300}
        if len(answered) > 1:
            yield Finding(
                "answered-twice", Severity.WARNING,
                f"{len(answered)} places answered the same INVITE: the caller has to hang up all but one.",
                "RFC 3261 section 13.2.2.4", tuple(step.time_us for step in answered.values()),
                figures=(Figure("answers", len(answered)),),
            )  # fmt: skip
        elif len(rang) > 1:
            yield Finding(
                "forked", Severity.NOTE, f"The call rang in {len(rang)} places at once (it was forked).",
                "RFC 3261 section 16.7", tuple(rang.values())[:8], figures=(Figure("places", len(rang)),),
            )  # fmt: skip
