"""What a call's session descriptions announce for each of its media streams, and from when on (RFC 3264).

The types of RTP that goes to an address and port are those its receiver announced for them (section 5.1). Senders
break that: what the receiver did not announce is looked up in what the sender announced for itself, then in the first
mention anywhere in the call, then in RFC 3551.

A stream finds its receiver by the announced address and port, else its sender and through it the other side. When
neither end was announced, as behind NAT or where a capture names no addresses: by an announced port that is the only
one of its number, then by the address the SIP comes from, then by the leg: what goes to the caller has an odd one.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Final

import msgspec

from sipflow.media.codec import Codec, Payloads
from sipflow.media.negotiation import Negotiation, State, Track, negotiate
from sipflow.media.span import EVER, Span, add_types, receives, sends, spans_of
from sipflow.wire.endpoint import Endpoint, from_packed
from sipflow.wire.packet import Message, StreamKey
from sipflow.wire.sdp import Media

# What stands where a capture names no address.
_NOWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing binds it


__all__ = ["EVER", "Announcements", "Hold", "Span", "endpoints"]


class Hold(msgspec.Struct, frozen=True):
    """One side kept the other waiting; `by` is where its SIP comes from, `to_us` the end of the call at the latest."""

    from_us: int
    to_us: int
    by: Endpoint
    by_caller: bool


class Announcements:
    """Answers what was announced for a stream; built once for a call, by `of`."""

    def __init__(self, negotiation: Negotiation) -> None:
        """Index the media of a negotiation by their addresses."""
        self.negotiation = negotiation
        self._everything = _first_mention(negotiation)
        self._at: dict[Endpoint, list[Track]] = defaultdict(list)
        self._by_port: dict[int, set[Endpoint]] = defaultdict(set)
        self._media_of: dict[Endpoint, set[Endpoint]] = defaultdict(set)
        self._rtcp: dict[Endpoint, set[Endpoint]] = defaultdict(set)
        self._spans: dict[tuple[Endpoint, Endpoint, int], tuple[Span, ...]] = {}
        for track in negotiation.tracks:
            for endpoint in dict.fromkeys(itertools.chain.from_iterable(endpoints(s.own) for s in track.states)):
                self._at[endpoint].append(track)
                self._by_port[endpoint.port].add(endpoint)
            for state in track.states:
                for endpoint, control in _controls(state):
                    self._rtcp[endpoint].add(control)
                    self._media_of[control].add(endpoint)

    @classmethod
    def of(cls, messages: Sequence[Message]) -> "Announcements":
        """Read the SIP messages of one call, in any order. Bodies that cannot be read say nothing."""
        return cls(negotiate(messages))

    def everything(self) -> Payloads:
        """Map every payload type of the call to what was first said of it, by whomever."""
        return self._everything

    def spans(self, key: StreamKey) -> tuple[Span, ...]:
        """Give what holds for a stream, in order of time; never empty, and the first holds since EVER."""
        place = (key.src, key.dst, key.leg)
        found = self._spans.get(place)
        if found is None:
            found = self._spans[place] = spans_of(*self._parties(key), self._everything)
        return found

    def announces(self, endpoint: Endpoint) -> bool:
        """Tell whether a description names this address and port as one of its media's."""
        return endpoint in self._at

    def addresses(self) -> tuple[Endpoint, ...]:
        """List the announced addresses of media, in order of mention."""
        return tuple(self._at)

    def rtcp(self, endpoint: Endpoint) -> tuple[Endpoint, ...]:
        """List where RTCP goes for the medium at this address: a=rtcp, the same port (rtcp-mux), else the next one."""
        return tuple(sorted(self._rtcp.get(endpoint, ())))

    def media_of(self, endpoint: Endpoint) -> tuple[Endpoint, ...]:
        """List the media addresses whose RTCP comes to this address, so that a datagram finds its stream."""
        return tuple(sorted(self._media_of.get(endpoint, ())))

    def holds(self) -> list[Hold]:
        """List when a side held the other: it said sendonly or inactive, or gave 0.0.0.0 (RFC 3264, section 8.4)."""
        end_us = self.negotiation.over_us or self.negotiation.last_us or 0
        found: dict[tuple[str, int], list[Hold]] = defaultdict(list)
        for track in self.negotiation.tracks:
            if track.states[0].own.kind == "audio":
                caller = track.side.tag == self.negotiation.caller_tag
                holds = [Hold(start, stop, track.side.src, caller) for start, stop in _held(track, end_us)]
                # The same side is seen on every hop; the hop where it was seen first speaks.
                found[track.side.tag, track.index] = found[track.side.tag, track.index] or holds
        return sorted(itertools.chain.from_iterable(found.values()), key=lambda hold: (hold.from_us, hold.to_us))

    def _parties(self, key: StreamKey) -> tuple[list[Track], list[Track]]:
        """Find the media of the receiver and of the sender of a stream; both may be empty."""
        ways = (self._at_address, self._at_port, self._at_signalling)
        for way in ways:
            receivers, senders = way(key.dst), way(key.src)
            if receivers or senders:
                return receivers, senders
        hops = [track for track in self.negotiation.tracks if track.hop == key.leg // 2]
        caller = [track for track in hops if track.side.tag == self.negotiation.caller_tag]
        called = [track for track in hops if track.side.tag != self.negotiation.caller_tag]
        return (caller, called) if key.leg % 2 else (called, caller)

    def _at_address(self, endpoint: Endpoint) -> list[Track]:
        return self._at.get(endpoint, [])

    def _at_port(self, endpoint: Endpoint) -> list[Track]:
        places = self._by_port.get(endpoint.port, set())
        if len(places) == 1:
            return self._at[next(iter(places))]
        return _of_one([t for place in sorted(places) for t in self._at[place] if t.side.src.ip == endpoint.ip])

    def _at_signalling(self, endpoint: Endpoint) -> list[Track]:
        if endpoint.ip in _NOWHERE:
            return []
        return _of_one([track for track in self.negotiation.tracks if track.side.src.ip == endpoint.ip])


def _of_one(tracks: list[Track]) -> list[Track]:
    """Keep tracks that are all of one side; the tag is the same on every hop."""
    return tracks if len({track.side.tag for track in tracks}) == 1 else []


def endpoints(media: Media) -> Iterator[Endpoint]:
    """List the addresses RTP may come to: c= with the port of m=, and the candidates of ICE (RFC 8839)."""
    if media.connection is not None:
        for port in media.ports:
            yield from _endpoint(media.connection.address, port)
    for candidate in media.candidates:
        if candidate.component == 1 and candidate.transport == "udp":
            yield from _endpoint(candidate.address, candidate.port)


def _endpoint(address: str, port: int) -> Iterator[Endpoint]:
    """Give an address as captures write it; none for a host name or 0.0.0.0, which name no place."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return
    if not parsed.is_unspecified and 0 < port <= 65535:
        yield from_packed(parsed.packed, port)


def _controls(state: State) -> Iterator[tuple[Endpoint, Endpoint]]:
    """Pair the media addresses of a state with where their RTCP goes (RFC 3605, RFC 5761, RFC 3550 section 11)."""
    own = state.own
    component_2 = [c for c in own.candidates if c.component == 2 and c.transport == "udp"]
    for media in endpoints(own):
        if own.rtcp_mux and (state.peer is None or state.peer.rtcp_mux):
            yield media, media
        if own.rtcp is not None:
            ways = _endpoint(own.rtcp.address or media.ip, own.rtcp.port)
        else:
            ways = _endpoint(media.ip, media.port + 1)
        others = itertools.chain.from_iterable(_endpoint(c.address, c.port) for c in component_2)
        yield from ((media, control) for control in itertools.chain(ways, others))


def _first_mention(negotiation: Negotiation) -> Payloads:
    found: dict[int, Codec] = {}
    for said in negotiation.said:
        for media in said.description.media:
            add_types(found, media)
    return found


def _held(track: Track, end_us: int) -> Iterator[tuple[int, int]]:
    """Give the stretches in which this side holds; the side that only agrees to being held does not."""
    since: int | None = None
    for state in track.states:
        holding = not state.refused and not receives(state.own) and (state.offered or since is not None or _free(state))
        if holding and since is None:
            since = state.from_us
        elif not holding and since is not None:
            yield since, state.from_us
            since = None
    if since is not None:
        yield since, max(end_us, since)


def _free(state: State) -> bool:
    """Tell whether an answer could have agreed to both ways."""
    return state.peer is None or (sends(state.peer) and receives(state.peer))
