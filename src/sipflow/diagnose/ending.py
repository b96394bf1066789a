"""How a call came out and who ended it."""

import re
from collections.abc import Iterator
from typing import Final

from sipflow.clock import SECOND_US
from sipflow.diagnose.dialogue import Dialogue
from sipflow.diagnose.fields import parameter
from sipflow.diagnose.words import CAUSES, brief, label, meaning
from sipflow.media.finding import Figure, Finding, Severity

# Shorter talks are rarely ones: a wrong number, a voice mail, no sound.
SHORT_US: Final = 3 * SECOND_US
# ITU-T E.721, table 2: the target for international connections.
LONG_DELAY_US: Final = 8 * SECOND_US
# By authentication, glare and refused_media; 487 follows a CANCEL.
_TOLD_ELSEWHERE: Final = frozenset({401, 407, 415, 487, 488, 491, 606})
# What a person did, and not a fault of any machine.
_PEOPLE: Final = frozenset({480, 486, 487, 600, 603, 607})
_DIGITS: Final = re.compile(r"\d{1,3}\Z", re.ASCII)


def outcome(dialogue: Dialogue) -> Iterator[Finding]:
    """Say how the call came out: its final status in plain words."""
    last = dialogue.outcome
    if last is None:
        return
    begun_us = dialogue.invited_us if dialogue.invited_us is not None else last.time_us
    seconds = max(0, last.time_us - begun_us) / SECOND_US
    if last.status < 300:
        yield Finding(
            "answered", Severity.NOTE, f"The call was answered after {seconds:.1f} s ({label(last.head)}).",
            "RFC 3261 section 13.3.1.4", (last.time_us,), figures=(Figure("time to answer", seconds, "s"),),
        )  # fmt: skip
        return
    means = meaning(last.status)
    severity = Severity.NOTE if last.status in _PEOPLE or last.status < 400 else Severity.ERROR
    came_out = "failed" if severity is Severity.ERROR else "ended unanswered"
    yield Finding(
        "final-status", severity,
        f"The call {came_out} after {seconds:.1f} s with {label(last.head)} from {last.message.src}: {means.words}.",
        means.reference, (last.time_us,), figures=(Figure("status", last.status),),
    )  # fmt: skip


def registration(dialogue: Dialogue) -> Iterator[Finding]:
    """Say how a registration came out."""
    finals = [final for one in dialogue.of("REGISTER") if (final := one.final) is not None]
    if finals and finals[-1].status < 300:
        contacts = len(finals[-1].fields.every("contact"))
        yield Finding(
            "registered", Severity.NOTE,
            f"REGISTER was accepted by {finals[-1].message.src}; it lists {contacts} Contact lines.",
            "RFC 3261 section 10.3", (finals[-1].time_us,), figures=(Figure("contacts", contacts),),
        )  # fmt: skip


def failed_requests(dialogue: Dialogue) -> Iterator[Finding]:
    """Say what refused requests mean that opened no call: REGISTER, OPTIONS, SUBSCRIBE, changes within the call."""
    told: set[tuple[str, int]] = set()
    for one in dialogue.transactions:
        final = one.final
        if final is None or final.status < 300 or final.status in _TOLD_ELSEWHERE or one in dialogue.attempts:
            continue
        if (one.method == "INVITE" and one.begins) or (one.method, final.status) in told:
            continue
        told.add((one.method, final.status))
        means = meaning(final.status)
        yield Finding(
            "request-failed", Severity.WARNING,
            f"{brief(one.method)} from {one.way} was refused with {label(final.head)}: {means.words}.",
            means.reference, (final.time_us,), figures=(Figure("status", final.status),),
        )  # fmt: skip


def reasons(dialogue: Dialogue) -> Iterator[Finding]:
    """Translate the causes that BYE, CANCEL and refusals give in Reason headers (RFC 3326)."""
    told: set[str] = set()
    for step in dialogue.steps:
        for value in step.fields.every("reason"):
            protocol = value.partition(";")[0].strip()
            code = parameter(value, "cause")
            if code is None or not _DIGITS.match(code) or value in told:
                continue
            told.add(value)
            number = int(code)
            known = CAUSES.get(number, "") if protocol.upper() == "Q.850" else ""
            if protocol.upper() == "SIP" and number >= 300:
                known = meaning(number).words
            text = brief(parameter(value, "text") or "")
            words = known or text or "a cause without words"
            yield Finding(
                "reason", Severity.NOTE,
                f"{label(step.head)} from {step.message.src} gives the reason {brief(protocol)} {number}: {words}"
                + (f' ("{text}").' if known and text else "."),
                "RFC 3326; ITU-T Q.850" if protocol.upper() == "Q.850" else "RFC 3326",
                (step.time_us,), figures=(Figure("cause", number),),
            )  # fmt: skip


def end(dialogue: Dialogue) -> Iterator[Finding]:
    """Say who ended the call, and when."""
    answer, bye, cancel = dialogue.answer, dialogue.bye, dialogue.cancel
    if bye is not None:
        who = "The caller" if dialogue.is_caller(bye) else "The called side"
        talked = None if answer is None else max(0, bye.time_us - answer.time_us) / SECOND_US
        yield Finding(
            "ended-by", Severity.NOTE,
            f"{who} ({bye.message.src}) ended the call with BYE"
            + ("." if talked is None else f" after {talked:.1f} s of talk."),
            "RFC 3261 section 15", (bye.time_us,),
            figures=() if talked is None else (Figure("talk", talked, "s"),),
        )  # fmt: skip
    elif cancel is not None and answer is None and dialogue.invited_us is not None:
        seconds = (cancel.time_us - dialogue.invited_us) / SECOND_US
        rang = "while it rang" if dialogue.ring is not None else "before it rang"
        yield Finding(
            "cancelled", Severity.NOTE, f"The calling side gave up after {seconds:.1f} s, {rang} (CANCEL).",
            "RFC 3261 section 9.1", (cancel.time_us,), figures=(Figure("waited", seconds, "s"),),
        )  # fmt: skip
    elif answer is not None:
        yield Finding(
            "no-end", Severity.NOTE, "No BYE was captured: the call goes on, or its end was not seen.",
            "RFC 3261 section 15", (dialogue.steps[-1].time_us,),
        )  # fmt: skip


def short_call(dialogue: Dialogue) -> Iterator[Finding]:
    """Name a talk too short to be one."""
    answer, bye = dialogue.answer, dialogue.bye
    if answer is not None and bye is not None and 0 <= bye.time_us - answer.time_us < SHORT_US:
        seconds = (bye.time_us - answer.time_us) / SECOND_US
        yield Finding(
            "short-call", Severity.NOTE,
            f"The talk lasted only {seconds:.1f} s: a wrong number, a voice mail, or no sound.",
            "RFC 6076 section 4.5", (answer.time_us, bye.time_us), figures=(Figure("talk", seconds, "s"),),
        )  # fmt: skip


def post_dial_delay(dialogue: Dialogue) -> Iterator[Finding]:
    """Name a long silence between dialling and ringing."""
    first = dialogue.ring or dialogue.answer
    if first is None or dialogue.invited_us is None:
        return
    delay_us = first.time_us - dialogue.invited_us
    if delay_us >= LONG_DELAY_US:
        seconds = delay_us / SECOND_US
        yield Finding(
            "long-post-dial-delay", Severity.WARNING,
            f"Nothing was heard for {seconds:.1f} s after dialling, until {label(first.head)}.",
            "RFC 6076 section 4.3; ITU-T E.721", (dialogue.invited_us, first.time_us),
            figures=(Figure("post-dial delay", seconds, "s"),),
        )  # fmt: skip
