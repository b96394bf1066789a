"""Why there may be no sound, as far as addresses and times of RTP tell: missing, misdirected, early, late."""

from collections.abc import Iterator
from typing import Final

import msgspec

from sipflow.clock import SECOND_US
from sipflow.media.case import Case, Heard, listed
from sipflow.media.finding import Figure, Finding, Severity
from sipflow.wire.endpoint import UNSPECIFIED, Endpoint

# Messages and media are captured at different moments of their way; less than this says nothing about their order.
AT_ONCE_US: Final = 100_000
# What was on its way, or in a jitter buffer, when the call ended.
ON_ITS_WAY_US: Final = 500_000


def delivery(case: Case) -> Iterator[Finding]:
    """Give what is wrong with the ways and times of a call's RTP."""
    yield from _none_at_all(case)
    yield from _one_direction(case)
    yield from _elsewhere(case)
    yield from _before_the_answer(case)
    yield from _after_the_end(case)


def _none_at_all(case: Case) -> Iterator[Finding]:
    negotiation = case.announcements.negotiation
    described = any(exchange.answers for exchange in negotiation.exchanges)
    if case.heard or not (described or negotiation.answered_us is not None or negotiation.last_us is None):
        return
    kinds = {track.states[0].own.kind for track in negotiation.tracks}
    if kinds and "audio" not in kinds:
        sentence = f"No audio was agreed, only {', '.join(sorted(kinds))}."
        yield Finding("no-audio-agreed", Severity.ERROR, sentence, "RFC 3264 section 6")
        return
    places = ", ".join(map(str, case.announcements.addresses()))
    other = f"; {case.other_packets} packets that are no RTP came" if case.other_packets else ""
    yield Finding(
        "no-rtp",
        Severity.ERROR,
        f"No RTP of this call was seen{other}." + (f" Media was announced at {places}." if places else ""),
        "RFC 3550 section 5.1",
        figures=(Figure("packets without RTP", case.other_packets),),
    )


def _one_direction(case: Case) -> Iterator[Finding]:
    told: set[tuple[Endpoint, Endpoint, int]] = set()
    for heard in case.audio:
        key = heard.key
        if case.opposite(heard) or case.spare(heard) or (key.src, key.dst, key.leg) in told:
            continue
        told.add((key.src, key.dst, key.leg))
        severity, clause = _expected_back(case, heard)
        yield Finding(
            "one-direction",
            severity,
            f"Media flows from {heard.way} only; nothing comes back{clause}.",
            "RFC 3264 section 5.1",
            (heard.measured.first_us, heard.measured.last_us),
            (key,),
            (Figure("packets", heard.measured.packet_count),),
        )


def _expected_back(case: Case, heard: Heard) -> tuple[Severity, str]:
    """Weigh that nothing comes back by what was agreed."""
    key, negotiation = heard.key, case.announcements.negotiation
    back = msgspec.structs.replace(key, src=key.dst, dst=key.src, leg=key.leg ^ 1, ssrc=None)
    spans = [span for span in case.announcements.spans(back) if span.from_us <= heard.measured.last_us]
    if all(span.held for span in spans):
        return Severity.NOTE, f", as was agreed ({spans[-1].direction})"
    if negotiation.answered_us is not None:
        return Severity.ERROR, ", although both ways were agreed"
    return Severity.WARNING, ", but the call was not answered" if negotiation.failure is not None else ""


def _elsewhere(case: Case) -> Iterator[Finding]:
    """Name RTP with one end where the descriptions say, and the other where they do not."""
    severity = Severity.NOTE if case.both_ways else Severity.WARNING
    announcements = case.announcements
    if not announcements.addresses():
        return
    where = ", ".join(map(str, announcements.addresses()))
    for heard in case.heard:
        src, dst = heard.key.src, heard.key.dst
        if _somewhere(dst) and not announcements.announces(dst):
            yield Finding(
                "other-destination",
                severity,
                f"RTP from {src} goes to {dst}, which no session description names (announced: {where}).",
                "RFC 3264 section 5.1",
                (heard.measured.first_us,),
                (heard.key,),
                (Figure("packets", heard.measured.packet_count),),
            )
        elif _somewhere(src) and announcements.announces(dst) and not announcements.announces(src):
            yield Finding(
                "other-source",
                severity,
                f"RTP to {dst} comes from {src}, not from an announced address: a NAT, or a sender whose ports differ. "
                "Receivers that check the source drop it.",
                "RFC 4961; RFC 3264 section 5.1",
                (heard.measured.first_us,),
                (heard.key,),
                (Figure("packets", heard.measured.packet_count),),
            )


def _before_the_answer(case: Case) -> Iterator[Finding]:
    answers = [answer.time_us for each in case.announcements.negotiation.exchanges for answer in each.answers]
    begun_us = case.announcements.negotiation.invited_us
    if not answers or begun_us is None:
        return
    answered_us = min(answers)
    for heard in case.heard:
        early_us = answered_us - heard.measured.first_us
        if early_us > AT_ONCE_US:
            yield Finding(
                "before-answer",
                Severity.NOTE,
                f"RTP from {heard.way} began {early_us / SECOND_US:.2f} s before any answer described media: "
                "what came until then may not have been played.",
                "RFC 3264 section 5.1; RFC 3960",
                (heard.measured.first_us, answered_us),
                (heard.key,),
                (Figure("early", early_us / SECOND_US, "s"),),
            )


def _after_the_end(case: Case) -> Iterator[Finding]:
    over_us = case.announcements.negotiation.over_us
    for heard in case.heard if over_us is not None else ():
        assert over_us is not None
        late_us = heard.measured.last_us - over_us
        if late_us > ON_ITS_WAY_US:
            only = heard.measured.first_us > over_us
            yield Finding(
                "after-bye",
                Severity.WARNING if only else Severity.NOTE,
                f"RTP from {heard.way} {'came only after' if only else 'went on for'} "
                + ("the BYE." if only else f"{late_us / SECOND_US:.2f} s after the BYE."),
                "RFC 3261 section 15.1.1",
                (over_us, heard.measured.last_us),
                listed([heard]),
                (Figure("late", late_us / SECOND_US, "s"),),
            )


def _somewhere(endpoint: Endpoint) -> bool:
    return endpoint.port != 0 and endpoint.ip not in (UNSPECIFIED.ip, "::")
