"""Retransmissions and timers: requests without answer, answers without ACK (RFC 3261, section 17)."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from sipflow.clock import SECOND_US
from sipflow.diagnose.dialogue import Dialogue, Step, Transaction
from sipflow.diagnose.words import brief, label
from sipflow.media.finding import Figure, Finding, Severity

T1_US: Final = SECOND_US // 2
# Timers B, F and H: 64 * T1.
GIVE_UP_US: Final = 64 * T1_US
# Captures and clocks are not exact, and T1 may be set otherwise.
_AROUND_US: Final = 1_500_000
# Copies that follow sooner were captured twice; no timer of RFC 3261 is that short.
_CAPTURED_TWICE_US: Final = 50_000


def repeated(steps: Sequence[Step]) -> list[Step]:
    """List a message and its retransmissions, without copies that were only captured twice."""
    found: list[Step] = []
    for step in steps:
        if not found or step.time_us - found[-1].time_us >= _CAPTURED_TWICE_US:
            found.append(step)
    return found


def unanswered(dialogue: Dialogue) -> Iterator[Finding]:
    """Name requests that nobody answered, and those that were given up (timers B and F)."""
    for one in dialogue.transactions:
        if one.method == "ACK" or not one.requests or one.responses:
            continue
        copies = repeated(one.requests)
        span_us = copies[-1].time_us - copies[0].time_us
        # The last copy is sent well before the timer ends (sections 17.1.1.2 and 17.1.2.2): 31.5 s and 28 s.
        gave_up = span_us >= GIVE_UP_US // 2
        timer = "B" if one.method == "INVITE" else "F"
        times = len(copies)
        yield Finding(
            f"timer-{timer.lower()}" if gave_up else "no-response",
            Severity.ERROR if gave_up or one.method == "INVITE" else Severity.WARNING,
            f"{brief(one.method)} from {one.way} got no response at all"
            + (f", though it was sent {times} times in {span_us / SECOND_US:.1f} s" if times > 1 else "")
            + (f": timer {timer} (64*T1 = 32 s) ran out." if gave_up else ". Is the way there, or back, blocked?"),
            "RFC 3261 section 17.1.1.2" if timer == "B" else "RFC 3261 section 17.1.2.2",
            tuple(step.time_us for step in copies[:1] + copies[1:][-1:]),
            figures=(Figure("copies", times),),
        )


def retransmitted(dialogue: Dialogue) -> Iterator[Finding]:
    """Name requests that had to be sent again before an answer came, and how regular the intervals were."""
    for one in dialogue.transactions:
        copies = repeated(one.requests)
        if one.method == "ACK" or len(copies) < 2 or not one.responses:
            continue
        waited_us = one.responses[0].time_us - copies[0].time_us
        yield Finding(
            "retransmitted",
            Severity.WARNING,
            f"{brief(one.method)} from {one.way} was sent {len(copies)} times; the first answer came after "
            f"{waited_us / SECOND_US:.2f} s{_doubling(copies)}.",
            "RFC 3261 section 17.1",
            tuple(step.time_us for step in copies[:8]),
            figures=(Figure("copies", len(copies)), Figure("waited", waited_us / SECOND_US, "s")),
        )


def _doubling(copies: Sequence[Step]) -> str:
    gaps = [b.time_us - a.time_us for a, b in pairwise(copies)]
    if len(gaps) >= 2 and all(1.6 <= b / a <= 2.4 for a, b in pairwise(gaps)):
        return f"; its intervals double from {gaps[0] / SECOND_US:.2f} s, as timer A does"
    return ""


def acknowledgement(dialogue: Dialogue) -> Iterator[Finding]:
    """Name answers that were never acknowledged, or whose ACK did not arrive."""
    acks = {(step.head.from_tag, step.head.cseq) for step in dialogue.steps if step.head.method == "ACK"}
    told: set[tuple[str, int | None]] = set()
    for one in dialogue.of("INVITE"):
        for answers in _by_tag([step for step in one.responses if 200 <= step.status < 300]):
            copies = repeated(answers)
            dialog = (one.from_tag, one.cseq)
            if dialog in told or (dialog in acks and len(copies) < 3):
                continue
            quiet = dialogue.steps[-1].time_us - copies[0].time_us < T1_US
            if dialog not in acks and quiet and len(copies) == 1:
                continue  # the capture ends before an ACK was due
            told.add(dialog)
            yield _unacknowledged(one, copies, seen=dialog in acks)


def _by_tag(answers: Sequence[Step]) -> list[list[Step]]:
    found: dict[str, list[Step]] = {}
    for step in answers:
        found.setdefault(step.head.to_tag, []).append(step)
    return list(found.values())


def _unacknowledged(one: Transaction, copies: list[Step], *, seen: bool) -> Finding:
    again = f" was sent {len(copies)} times" if len(copies) > 1 else " was sent once"
    why = (
        "although an ACK was seen here: it did not reach who answered"
        if seen
        else "and no ACK was seen: it went astray, often because Contact or Record-Route name an unreachable address"
    )
    return Finding(
        "ack-lost" if seen else "missing-ack",
        Severity.WARNING if seen or len(copies) == 1 else Severity.ERROR,
        f"{label(copies[0].head)} of {one.dst} to INVITE{again} {why}.",
        "RFC 3261 section 13.3.1.4",
        tuple(step.time_us for step in copies[:8]),
        figures=(Figure("copies", len(copies)),),
    )


def dropped_after_32_s(dialogue: Dialogue) -> Iterator[Finding]:
    """Name a call that its called side ended when its answer had not been acknowledged for 64*T1."""
    answer, bye = dialogue.answer, dialogue.bye
    if answer is None or bye is None or dialogue.is_caller(bye):
        return
    talked_us = bye.time_us - answer.time_us
    if abs(talked_us - GIVE_UP_US) > _AROUND_US:
        return
    asked = {(one.from_tag, one.cseq) for one in dialogue.of("INVITE")}
    acked = any(step.head.method == "ACK" and (step.head.from_tag, step.head.cseq) in asked for step in dialogue.steps)
    yield Finding(
        "dropped-after-32-s",
        Severity.WARNING if acked else Severity.ERROR,
        f"The called side hung up {talked_us / SECOND_US:.1f} s after it answered: 64*T1, the time after which an "
        + ("answer counts as not acknowledged; the ACK that was seen here may not have arrived."
           if acked else "answer without ACK is given up."),
        "RFC 3261 section 13.3.1.4",
        (answer.time_us, bye.time_us),
        figures=(Figure("talk", talked_us / SECOND_US, "s"),),
    )  # fmt: skip
