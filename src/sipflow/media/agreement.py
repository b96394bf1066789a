"""Why there may be no sound, as far as the signalling tells: offers, answers, addresses, holds."""

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from sipflow.clock import SECOND_US
from sipflow.media.announcement import Hold
from sipflow.media.case import Case
from sipflow.media.finding import Figure, Finding, Severity
from sipflow.media.negotiation import Said

# Not routed in the public network: RFC 1918, RFC 6598, RFC 3927, loopback, RFC 4193, link-local.
_PRIVATE: Final = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)


def agreement(case: Case) -> Iterator[Finding]:
    """Give what the session descriptions of a call have against its sound."""
    yield from _offer_and_answer(case)
    yield from _refused(case)
    yield from _private(case)
    yield from _holds(case)


def _offer_and_answer(case: Case) -> Iterator[Finding]:
    negotiation = case.announcements.negotiation
    missing = Severity.WARNING if case.audio else Severity.ERROR
    offers = [each.offer.time_us for each in negotiation.exchanges if each.offer is not None]
    answers = [answer.time_us for each in negotiation.exchanges for answer in each.answers]
    if negotiation.last_us is None:
        yield Finding("no-sip", Severity.NOTE, "No SIP message of this call was captured.", "RFC 3261")
    elif negotiation.failure is not None:
        yield Finding(
            "not-answered",
            Severity.NOTE,
            f"The call was not answered ({negotiation.failure})"
            + (", only early media was agreed." if answers else ", so no media was agreed."),
            "RFC 3261 section 13.2.2.3",
            (negotiation.last_us,),
        )
    elif answers:
        return
    elif negotiation.invited_us is None and negotiation.answered_us is None and not offers:
        yield Finding("no-invite", Severity.NOTE, "No INVITE of this call was captured.", "RFC 3261 section 13")
    elif not offers:
        sentence = "No message of this call offers media: no session description was captured."
        yield Finding("no-offer", missing, sentence, "RFC 3264 section 5", _times(negotiation.invited_us))
    else:
        sentence = "The offer was never answered: no answer with a session description was captured."
        yield Finding("no-answer", missing, sentence, "RFC 3264 section 6", tuple(offers))


def _refused(case: Case) -> Iterator[Finding]:
    """Name the last audio medium that was offered, and answered with port 0."""
    last = None
    for exchange in case.announcements.negotiation.exchanges:
        for answer in exchange.answers:
            offered = exchange.offer.description.media if exchange.offer is not None else ()
            pairs = zip(offered, answer.description.media, strict=False)
            ports = [answered.port for offer, answered in pairs if offer.kind == "audio" and offer.port]
            if ports:
                last = answer if not any(ports) else None
    if last is not None:
        sentence = f"The audio that was offered is refused by {last.side.src}: its answer gives it port 0."
        yield Finding("audio-refused", Severity.ERROR, sentence, "RFC 3264 section 6", (last.time_us,))


def _private(case: Case) -> Iterator[Finding]:
    named: set[tuple[str, str]] = set()
    for exchange in case.announcements.negotiation.exchanges:
        for said in (exchange.offer, *exchange.answers):
            if said is None or _is_private(said.side.src.ip):
                continue
            for address in _addresses(said):
                if _is_private(address) and (said.side.src.ip, address) not in named:
                    named.add((said.side.src.ip, address))
                    yield _unreachable(case, said, address)


def _unreachable(case: Case, said: Said, address: str) -> Finding:
    reached = any(heard.key.dst.ip == address for heard in case.heard)
    severity = Severity.NOTE if case.both_ways else Severity.WARNING if reached else Severity.ERROR
    return Finding(
        "private-address",
        severity,
        f"{said.side.src.ip} signals from a public address but wants its media at {address}, which is private: "
        "nobody outside its network can send there.",
        "RFC 1918; RFC 3264 section 5.1",
        (said.time_us,),
    )


def _holds(case: Case) -> Iterator[Finding]:
    negotiation = case.announcements.negotiation
    begin_us = negotiation.answered_us or negotiation.invited_us or 0
    end_us = negotiation.over_us or negotiation.last_us or 0
    for hold in case.announcements.holds():
        whole = hold.from_us <= begin_us and hold.to_us >= end_us
        yield _held(hold, whole=whole)


def _held(hold: Hold, *, whole: bool) -> Finding:
    who = "The caller" if hold.by_caller else "The called side"
    seconds = (hold.to_us - hold.from_us) / SECOND_US
    return Finding(
        "on-hold",
        Severity.ERROR if whole else Severity.NOTE,
        f"{who} ({hold.by}) wanted to receive no media for {seconds:.1f} s"
        + (": the whole call, as if muted." if whole else ": the other side was on hold."),
        "RFC 3264 section 8.4",
        (hold.from_us, hold.to_us),
        figures=(Figure("held", seconds, "s"),),
    )


def _addresses(said: Said) -> Iterator[str]:
    """List the addresses of media that are in use; with ICE others may be chosen, so those say nothing."""
    for media in said.description.media:
        if media.port and media.connection is not None and not media.candidates:
            yield media.connection.address


def _is_private(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed.version == network.version and parsed in network for network in _PRIVATE)


def _times(time_us: int | None) -> tuple[int, ...]:
    return () if time_us is None else (time_us,)
