"""How offers and answers were exchanged: glare, late offers, early media, provisional answers."""

from collections.abc import Iterator

from sipflow.clock import SECOND_US
from sipflow.diagnose.dialogue import Dialogue, Step
from sipflow.diagnose.words import brief, label
from sipflow.media.finding import Figure, Finding, Severity
from sipflow.wire.endpoint import Endpoint


def glare(dialogue: Dialogue) -> Iterator[Finding]:
    """Name changes of the call that both sides asked for at once."""
    crossed = [step for step in dialogue.steps if step.status == 491]
    if crossed:
        over = any(
            200 <= step.status < 300 and step.method == crossed[-1].method and step.time_us > crossed[-1].time_us
            for step in dialogue.steps
        )
        yield Finding(
            "glare", Severity.NOTE if over else Severity.WARNING,
            f"Both sides changed the call at once ({len(crossed)} times {label(crossed[0].head)})"
            + ("; a later try succeeded." if over else ", and no later try succeeded."),
            "RFC 3261 section 14.1", tuple(step.time_us for step in crossed[:8]),
        )  # fmt: skip


def late_offer(dialogue: Dialogue) -> Iterator[Finding]:
    """Name an INVITE that offers no media, so that the called side has to."""
    if not dialogue.attempts:
        return
    first = dialogue.attempts[-1].requests[0]
    if first.descriptions or first.head.body < len(first.message.payload):
        return
    answer = dialogue.answer
    described = answer is not None and bool(answer.descriptions)
    lost = answer is not None and not described and not any(step.descriptions for step in dialogue.steps)
    yield Finding(
        "late-offer", Severity.ERROR if lost else Severity.NOTE,
        "The INVITE offers no media (late offer)"
        + (": the answer has to, and the ACK answers it." if not lost else ", and the answer has no offer either."),
        "RFC 3261 section 13.2.1; RFC 3264 section 5", (first.time_us,),
    )  # fmt: skip


def early_media(dialogue: Dialogue) -> Iterator[Finding]:
    """Name media that came before the answer although no provisional response described any."""
    answer = dialogue.answer
    until_us = answer.time_us if answer is not None else None
    described = any(step.descriptions for step in dialogue.steps if 100 < step.status < 200)
    if described or dialogue.invited_us is None:
        return
    offered = _offered(dialogue)
    for stream in dialogue.call.streams:
        lead_us = None if until_us is None else until_us - stream.first_us
        if stream.dst in offered and stream.payload_type is not None and (lead_us is None or lead_us > SECOND_US // 2):
            yield Finding(
                "early-media-undescribed", Severity.WARNING,
                f"Media from {stream.src} came "
                + ("though the call was not answered" if lead_us is None else f"{lead_us / SECOND_US:.1f} s early")
                + ", but no provisional response (183) carries a session description: the caller may not play it.",
                "RFC 3960 section 3; RFC 3264 section 5.1", (stream.first_us,),
            )  # fmt: skip
            return


def _offered(dialogue: Dialogue) -> set[Endpoint]:
    return {
        Endpoint(media.connection.address, media.port)
        for one in dialogue.attempts
        for each in one.requests[0].descriptions
        for media in each.media
        if media.connection is not None
    }


def unacknowledged_progress(dialogue: Dialogue) -> Iterator[Finding]:
    """Name reliable provisional responses that no PRACK acknowledged (RFC 3262)."""
    acknowledged = {
        tuple(step.fields.first("rack").split()[:2]) for step in dialogue.steps if step.head.method == "PRACK"
    }
    missing: dict[tuple[str, str], list[Step]] = {}
    for step in dialogue.steps:
        number = step.fields.first("rseq") if 100 < step.status < 200 else ""
        wants = any("100rel" in value.lower() for value in step.fields.every("require")) if number else False
        if wants and (number, str(step.head.cseq)) not in acknowledged:
            missing.setdefault((step.head.to_tag, number), []).append(step)
    for steps in missing.values():
        yield Finding(
            "missing-prack", Severity.WARNING,
            f"{label(steps[0].head)} of {steps[0].message.src} has to be acknowledged (100rel) and no PRACK was seen; "
            f"it was sent {len(steps)} times.",
            "RFC 3262 section 3", tuple(step.time_us for step in steps[:8]),
            figures=(Figure("copies", len(steps)),),
        )  # fmt: skip


def unsupported_extension(dialogue: Dialogue) -> Iterator[Finding]:
    """Name the extension that a 420 or 421 is about."""
    for step in dialogue.steps:
        if step.status in (420, 421):
            named = step.fields.first("unsupported" if step.status == 420 else "require")
            yield Finding(
                "extension", Severity.ERROR,
                f"{label(step.head)} of {step.message.src}: the extension is {brief(named) or 'not named'}.",
                "RFC 3261 section 8.2.2.3", (step.time_us,),
            )  # fmt: skip
            return
