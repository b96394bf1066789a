"""Codecs that were offered and wanted, where the two sides do not agree."""

from collections.abc import Iterator
from typing import Final

from sipflow.diagnose.dialogue import Dialogue, Step
from sipflow.diagnose.words import brief, label
from sipflow.media.announcement import Announcements
from sipflow.media.finding import Figure, Finding, Severity
from sipflow.wire.sdp import Description, Media

# No speech is heard with these alone.
_SIGNALS: Final = frozenset({"telephone-event", "cn", "red"})


def refused_media(dialogue: Dialogue) -> Iterator[Finding]:
    """Say what was offered where an offer was refused as not acceptable (488, 606, 415)."""
    told: set[str] = set()
    for one in dialogue.of("INVITE") + dialogue.of("UPDATE"):
        final, asked = one.final, one.request
        if final is None or final.status not in (488, 606, 415):
            continue
        offered = _names(asked.descriptions) if asked is not None else []
        wanted = _names(final.descriptions) or _wanted(dialogue, asked)
        warning = brief(final.fields.first("warning"))
        sentence = (
            f"{one.dst} does not accept the offered media ({label(final.head)}). Offered: {_list(offered)}."
            + (f" Wanted there: {_list(wanted)}." if wanted else " It does not say what it wants.")
            + (f" Its warning: {warning}." if warning else "")
        )
        if sentence not in told:
            told.add(sentence)
            yield Finding("media-refused", Severity.ERROR, sentence, "RFC 3261 section 21.4.26; RFC 3264 section 6",
                          (final.time_us,), figures=(Figure("codecs offered", len(offered)),))  # fmt: skip


def no_common_codec(dialogue: Dialogue) -> Iterator[Finding]:
    """Name answers that choose no codec of the offer."""
    for offer, answer, time_us in _pairs(dialogue):
        offered, chosen = _speech(offer), _speech(answer)
        if answer.port and offered and chosen and not {name.lower() for name in offered} & {n.lower() for n in chosen}:
            yield Finding(
                "no-common-codec", Severity.ERROR,
                f"Offer and answer have no codec in common: offered {_list(offered)}, answered {_list(chosen)}.",
                "RFC 3264 section 6.1", (time_us,),
            )  # fmt: skip


def packet_times(dialogue: Dialogue) -> Iterator[Finding]:
    """Name an offer and an answer that ask for packets of different length."""
    for offer, answer, time_us in _pairs(dialogue):
        if offer.ptime and answer.ptime and offer.ptime != answer.ptime:
            yield Finding(
                "ptime-differs", Severity.NOTE,
                f"The offer asks for packets of {offer.ptime:g} ms, the answer for {answer.ptime:g} ms: "
                "devices that cannot do both sound choppy.",
                "RFC 8866 section 6.4", (time_us,),
                figures=(Figure("offered", offer.ptime, "ms"), Figure("answered", answer.ptime, "ms")),
            )  # fmt: skip
            return


def _pairs(dialogue: Dialogue) -> Iterator[tuple[Media, Media, int]]:
    """Give the media of offers beside those of their answers, which correspond by position."""
    told: set[str] = set()
    for exchange in Announcements.of(dialogue.call.messages).negotiation.exchanges:
        offers = exchange.offer.description.media if exchange.offer is not None else ()
        for answer in exchange.answers:
            for offer, chosen in zip(offers, answer.description.media, strict=False):
                key = repr((offer, chosen))
                if offer.kind == "audio" and key not in told:
                    told.add(key)
                    yield offer, chosen, answer.time_us


def _wanted(dialogue: Dialogue, asked: Step | None) -> list[str]:
    """List the codecs the refusing side named elsewhere in the call: in OPTIONS, or an offer of its own."""
    if asked is None:
        return []
    side = asked.message.dst
    return _names([each for step in dialogue.steps if step.message.src == side for each in step.descriptions])


def _names(descriptions: list[Description]) -> list[str]:
    names = [name for each in descriptions for media in each.media if media.port for name in _speech(media)]
    secure = any(media.secure for each in descriptions for media in each.media)
    return [*dict.fromkeys(names), *(["encrypted (SRTP)"] if secure else [])]


def _speech(media: Media) -> list[str]:
    if not media.is_rtp:
        return [f"{media.kind} ({'/'.join(media.formats)})"]
    return [codec.name for codec in media.codecs if codec.name.lower() not in _SIGNALS]


def _list(names: list[str]) -> str:
    return brief(", ".join(names)) if names else "nothing"
