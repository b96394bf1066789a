"""A session description as named facts, so that two are compared by what they mean and not by the order of lines."""

from collections.abc import Iterator

import msgspec

from sipflow.wire.header import parameters_of, split
from sipflow.wire.sdp import Candidate, Description, Media

# Attributes that have facts of their own.
_TOLD = frozenset(
    {"rtpmap", "fmtp", "ptime", "maxptime", "rtcp", "rtcp-mux", "crypto", "candidate"}
    | {"sendrecv", "sendonly", "recvonly", "inactive"}
)


class DescriptionFact(msgspec.Struct, frozen=True):
    """One thing that a description says; `parameters` where its parts can be compared one by one, in any order."""

    name: str
    value: str
    parameters: dict[str, str] = {}


def facts(description: Description) -> list[DescriptionFact]:
    """List what a description says, each under a name that is unique in it."""
    return list(_named(_session(description), ""))


def _session(description: Description) -> Iterator[DescriptionFact]:
    if (origin := description.origin) is not None:
        yield DescriptionFact("origin", f"{origin.user} {origin.session_id} at {origin.address}")
        yield DescriptionFact("origin version", origin.version)
    if description.name:
        yield DescriptionFact("session name", description.name)
    for attribute in description.attributes:
        if attribute.name.lower() not in _TOLD:
            yield DescriptionFact(attribute.name, attribute.value or "yes")
    for number, media in enumerate(description.media, 1):
        yield from _named(_media(media), f"{media.kind} {number}: ")


def _named(found: Iterator[DescriptionFact], prefix: str) -> Iterator[DescriptionFact]:
    """Number facts whose name was there before."""
    seen: dict[str, int] = {}
    for fact in found:
        name = prefix + fact.name
        seen[name] = seen.get(name, 0) + 1
        yield msgspec.structs.replace(fact, name=name if seen[name] == 1 else f"{name} ({seen[name]})")


def _media(media: Media) -> Iterator[DescriptionFact]:
    where = media.connection.address if media.connection is not None else "no address"
    yield DescriptionFact("address", f"{where}:{media.port}")
    yield DescriptionFact("protocol", media.protocol)
    yield DescriptionFact("direction", media.direction)
    names = [f"{codec.name}/{codec.clock_rate}" for codec in media.codecs]
    if names:
        yield DescriptionFact("preference", ", ".join(names))
    elif media.formats:
        yield DescriptionFact("formats", " ".join(media.formats))
    for codec in sorted(media.codecs, key=lambda codec: (codec.name.lower(), codec.clock_rate, codec.payload_type)):
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        name = f"{codec.name}/{codec.clock_rate}{channels}"
        yield DescriptionFact(f"{name} payload type", str(codec.payload_type))
        if codec.payload_type in media.fmtp:
            text = media.fmtp[codec.payload_type]
            yield DescriptionFact(f"{name} parameters", text, parameters_of(list(split(text, ";"))))
    if media.ptime is not None:
        yield DescriptionFact("ptime", f"{media.ptime:g} ms")
    if media.maxptime is not None:
        yield DescriptionFact("maxptime", f"{media.maxptime:g} ms")
    if media.rtcp is not None:
        yield DescriptionFact("rtcp", f"{media.rtcp.address or where}:{media.rtcp.port}")
    if media.rtcp_mux:
        yield DescriptionFact("rtcp-mux", "yes")
    for crypto in media.cryptos:
        yield DescriptionFact(f"crypto {crypto.suite}", " ".join((*crypto.keys, *crypto.parameters)))
    if media.candidates:
        yield DescriptionFact("ICE candidates", ", ".join(sorted(map(_candidate, media.candidates))))
    for attribute in sorted(media.attributes, key=lambda attribute: attribute.name):
        if attribute.name.lower() not in _TOLD:
            yield DescriptionFact(attribute.name, attribute.value or "yes")


def _candidate(candidate: Candidate) -> str:
    return f"{candidate.kind} {candidate.transport} {candidate.address}:{candidate.port}/{candidate.component}"
