"""Why there may be no sound, as far as the packets' content tells: payload types, codecs, encryption, level, pace."""

from collections.abc import Iterator, Mapping
from typing import Final

from sipflow.media.case import Case, Heard, listed
from sipflow.media.codec import is_signal
from sipflow.media.finding import Figure, Finding, Severity

# Below this a whole stream holds nothing that anybody hears: G.711 silence is at -inf to -72 dBFS.
SILENT_DBFS: Final = -60.0
# Octets per millisecond of codecs whose packets tell their length.
_OCTETS_PER_MS: Final[Mapping[str, float]] = {
    "PCMU": 8.0,
    "PCMA": 8.0,
    "G722": 8.0,
    "G729": 1.0,
    "GSM": 1.65,
    "G723": 0.8,
    "G726-16": 2.0,
    "G726-24": 3.0,
    "G726-32": 4.0,
    "G726-40": 5.0,
}
_PACED_MIN: Final = 50
_OFF_BY: Final = 0.25


def content(case: Case) -> Iterator[Finding]:
    """Give what is wrong with what a call's RTP carries."""
    for heard in case.heard:
        yield from _wrong_type(heard)
        sealed = list(_encrypted(heard))
        yield from sealed
        if not any(finding.severity is Severity.ERROR for finding in sealed):
            yield from _undecodable(case, heard)
            yield from _silent(heard)
        yield from _ptime(heard)
    yield from _two_codecs(case)


def _wrong_type(heard: Heard) -> Iterator[Finding]:
    announced = frozenset().union(*(span.announced for span in heard.spans))
    if not announced:
        return
    wrong = {number: count for number, count in heard.measured.payload_types.items() if number not in announced}
    total = sum(heard.measured.payload_types.values())
    for number, count in wrong.items():
        codec = heard.codec_of(number)
        named = f"{number} ({codec.name})" if heard.knows(number) else str(number)
        main = number == heard.measured.payload_type
        minor = is_signal(codec) or not main
        yield Finding(
            "wrong-payload-type",
            Severity.NOTE if minor else Severity.ERROR,
            f"{count} of {total} packets from {heard.way} have payload type {named}, which the receiver did not "
            f"announce; it announced {', '.join(map(str, sorted(announced)))}.",
            "RFC 3264 section 6.1",
            (heard.measured.first_us,),
            (heard.key,),
            (Figure("payload type", number), Figure("packets", count)),
        )


def _encrypted(heard: Heard) -> Iterator[Finding]:
    span = next((span for span in heard.spans if span.secure), None)
    if span is None:
        return
    severity, missing = Severity.ERROR, "its sender's a=crypto line was not captured"
    if span.cryptos:
        suites = ", ".join(dict.fromkeys(crypto.suite for crypto in span.cryptos))
        severity, missing = Severity.NOTE, f"the keys are in the captured description ({suites})"
    elif "TLS" in span.protocol.upper():
        missing = "its keys were agreed in DTLS between the two ends (RFC 5763) and are in no description"
    yield Finding(
        "encrypted",
        severity,
        f"RTP from {heard.way} is encrypted ({span.protocol}): {missing}.",
        "RFC 3711; RFC 4568 section 6.1",
        (heard.measured.first_us,),
        (heard.key,),
    )


def _undecodable(case: Case, heard: Heard) -> Iterator[Finding]:
    number = heard.measured.payload_type
    if number is None or heard.span.kind != "audio":
        return
    codec = heard.codec
    if not heard.knows(number):
        reason: str | None = "nothing says which codec this payload type is"
    else:
        reason = case.undecodable(codec) if case.undecodable is not None and not is_signal(codec) else None
    if reason is not None:
        yield Finding(
            "undecodable",
            Severity.ERROR,
            f"Audio from {heard.way} is {codec.name}, which cannot be decoded: {reason}.",
            "RFC 3551 section 6",
            (heard.measured.first_us,),
            (heard.key,),
            (Figure("payload type", number), Figure("packets", heard.measured.payload_types[number])),
        )


def _silent(heard: Heard) -> Iterator[Finding]:
    level = heard.level_dbfs
    if level is not None and level <= SILENT_DBFS:
        yield Finding(
            "silent",
            Severity.WARNING,
            f"Audio from {heard.way} is silent throughout ({level:.0f} dBFS): its sender is muted, or sends silence.",
            "ITU-T G.711",
            (heard.measured.first_us, heard.measured.last_us),
            (heard.key,),
            (Figure("level", level, "dBFS"),),
        )


def _ptime(heard: Heard) -> Iterator[Finding]:
    wanted = heard.span.ptime_ms
    observed = _packet_ms(heard)
    if wanted and observed and abs(observed - wanted) > _OFF_BY * wanted and heard.span.kind == "audio":
        yield Finding(
            "ptime-mismatch",
            Severity.NOTE,
            f"Packets from {heard.way} hold {observed:.0f} ms of audio; {wanted:g} ms were asked for.",
            "RFC 8866 section 6.4",
            (heard.measured.first_us,),
            (heard.key,),
            (Figure("announced", wanted, "ms"), Figure("observed", observed, "ms")),
        )


def _packet_ms(heard: Heard) -> float | None:
    """Tell how much audio a packet holds: by its size where the codec's is constant, else by the pace."""
    measured = heard.measured
    total = sum(measured.payload_types.values())
    main = measured.payload_types.get(measured.payload_type or 0, 0)
    if main < _PACED_MIN or main < 0.95 * total or len(heard.spans) > 1:
        return None
    rate = _OCTETS_PER_MS.get(heard.codec.name)
    if rate is not None and not heard.span.secure:
        return measured.payload_octets / total / rate
    if rate is None and measured.segments != 1:
        return None
    return (measured.last_us - measured.first_us) / 1000.0 / max(measured.expected - 1, 1)


def _two_codecs(case: Case) -> Iterator[Finding]:
    told: set[frozenset[int]] = set()
    for heard in case.audio:
        for back in case.opposite(heard):
            one, two = heard.codec, back.codec
            pair = frozenset((id(heard), id(back)))
            together = (
                back.measured.first_us < heard.measured.last_us and heard.measured.first_us < back.measured.last_us
            )
            if one.name == two.name or pair in told or not together or is_signal(one) or is_signal(two):
                continue
            told.add(pair)
            yield Finding(
                "codec-mismatch",
                Severity.NOTE,
                f"The directions differ in codec: {one.name} from {heard.way}, {two.name} back. "
                "That is allowed, but not every device can do it.",
                "RFC 3264 section 6.1",
                (heard.measured.first_us, back.measured.first_us),
                listed([heard, back]),
            )
