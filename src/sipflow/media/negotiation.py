"""Offers and answers of one call: which session descriptions belong together, and when they take effect (RFC 3264)."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message
from sipflow.wire.sdp import Description, Media, find_descriptions
from sipflow.wire.sip import SipHead, parse_head

# Methods whose descriptions negotiate; those of OPTIONS only say what would be possible (RFC 3261, section 11.2).
_NEGOTIATING: Final = frozenset({"INVITE", "ACK", "PRACK", "UPDATE"})

# A call that renews its session every minute for a day has fewer exchanges; one that rings everywhere fewer answers.
EXCHANGES_MAX: Final = 2000
ANSWERS_MAX: Final = 64

_Transaction = tuple[frozenset[Endpoint], str, int | None, str]


class Side(NamedTuple):
    """Who describes its media: the address its messages come from, and its dialog tag there."""

    src: Endpoint
    tag: str


class Said(msgspec.Struct, frozen=True):
    """One description, when it was said and by whom; `hop` is the pair of SIP peers it travelled between."""

    time_us: int
    side: Side
    hop: frozenset[Endpoint]
    description: Description


class Exchange(msgspec.Struct):
    """An offer and its answers: several when a call forks, or when early media was described before the final answer.

    `offer` is None when its message was not seen. `refused_us` is when the request that carried the offer failed.
    `in_dialog` tells a change of a call from its beginning.
    """

    begun_us: int
    in_dialog: bool
    offer: Said | None = None
    offered_by_response: bool = False
    requested: bool = False
    answers: list[Said] = []
    refused_us: int | None = None

    @property
    def unanswered_offer(self) -> Said | None:
        """Give the offer that holds although no answer to it was seen; None when it was answered or refused."""
        return None if self.answers or self.refused_us is not None else self.offer


class State(msgspec.Struct, frozen=True):
    """What one side says of one medium from `from_us` on, and what the other side says of it, if that is known.

    `refused` tells that one of the two gave it port 0; `offered` that this side made the offer. `beside` are the
    other media of the same description.
    """

    from_us: int
    side: Side
    own: Media
    peer: Media | None
    offered: bool
    refused: bool
    beside: tuple[Media, ...] = ()


class Track(msgspec.Struct, frozen=True):
    """The states of one medium of one side, in order of time; `hop` counts the hops in order of first description."""

    side: Side
    index: int
    hop: int
    states: list[State]


class Negotiation(msgspec.Struct, frozen=True):
    """What the messages of a call say of its media, and the moments of the call that media are measured by.

    `answered_us` is the first 2xx to an INVITE, `over_us` the first BYE, `failure` the status and reason that ended
    an unanswered call. `said` are all descriptions of all messages in order of time, negotiating or not.
    """

    exchanges: tuple[Exchange, ...]
    tracks: tuple[Track, ...]
    said: tuple[Said, ...]
    caller_tag: str | None
    invited_us: int | None
    answered_us: int | None
    over_us: int | None
    last_us: int | None
    failure: str | None


def negotiate(messages: Sequence[Message]) -> Negotiation:
    """Read the messages of one call, in whatever order they are given and however often each was captured."""
    reading = _Reading()
    for message in sorted(messages, key=_order):
        reading.take(message)
    return reading.close()


def _order(message: Message) -> tuple[int, int, Endpoint, Endpoint, bytes]:
    return message.time_us, message.arrival_us, message.src, message.dst, message.payload


class _Reading:
    """Reads messages in order of time."""

    def __init__(self) -> None:
        self.exchanges: dict[_Transaction, Exchange] = {}
        # Exchanges whose offer came in a response, by the tag and number of the INVITE, and the last one of each tag.
        self.late: dict[tuple[str, int | None], Exchange] = {}
        self.latest: dict[str, Exchange] = {}
        self.said: list[Said] = []
        self.hops: dict[frozenset[Endpoint], int] = {}
        self.caller_tag: str | None = None
        self.invited_us: int | None = None
        self.answered_us: int | None = None
        self.over_us: int | None = None
        self.last_us: int | None = None
        self.failure: str | None = None

    def take(self, message: Message) -> None:
        head = parse_head(message.payload)
        method = head.method if head.is_request else head.cseq_method
        hop = frozenset((message.src, message.dst))
        side = Side(message.src, head.from_tag if head.is_request else head.to_tag)
        said = [
            Said(message.time_us, side, hop, description)
            for description in find_descriptions(head.content_type, message.payload[head.body :])
        ]
        self.said += said
        self.last_us = message.time_us
        self._follow(head, method, message.time_us)
        if method not in _NEGOTIATING:
            return
        for each in said[:1]:
            self.hops.setdefault(each.hop, len(self.hops))
        if head.is_request:
            self._request(head, method, hop, message.time_us, said[0] if said else None)
        elif head.status is not None:
            self._response(head, method, hop, message.time_us, said[0] if said else None)

    def close(self) -> Negotiation:
        exchanges = tuple(exchange for exchange in self.exchanges.values() if exchange.offer or exchange.answers)
        return Negotiation(
            exchanges,
            tuple(_tracks(exchanges, self.hops)),
            tuple(self.said),
            self.caller_tag,
            self.invited_us,
            self.answered_us,
            self.over_us,
            self.last_us,
            None if self.answered_us is not None else self.failure,
        )

    def _follow(self, head: SipHead, method: str, time_us: int) -> None:
        """Keep the moments of the call."""
        if method == "BYE" and head.is_request and self.over_us is None:
            self.over_us = time_us
        if method != "INVITE":
            return
        if head.is_request:
            # A caller that is asked for credentials tries again in the same call.
            self.failure = None
            if self.invited_us is None:
                self.invited_us, self.caller_tag = time_us, head.from_tag
        elif head.status is not None and head.status >= 200:
            if head.status < 300 and self.answered_us is None:
                self.answered_us = time_us
            elif head.status >= 300:
                self.failure = head.label

    def _request(self, head: SipHead, method: str, hop: frozenset[Endpoint], time_us: int, said: Said | None) -> None:
        answered = self._late_offer(head, method, hop) if said is not None else None
        if answered is not None and said is not None:
            _answer(answered, said)
        elif method != "ACK":
            exchange = self._exchange((hop, head.from_tag, head.cseq, method), time_us, in_dialog=bool(head.to_tag))
            exchange.requested = True
            exchange.offer = exchange.offer or said

    def _response(self, head: SipHead, method: str, hop: frozenset[Endpoint], time_us: int, said: Said | None) -> None:
        transaction = (hop, head.from_tag, head.cseq, method)
        status = head.status or 0
        if status >= 300:
            exchange = self.exchanges.get(transaction)
            if exchange is not None and exchange.refused_us is None:
                exchange.refused_us = time_us
        elif said is not None and status > 100:
            exchange = self._exchange(transaction, time_us, in_dialog=False)
            if exchange.offer is None and exchange.requested:
                exchange.offer, exchange.offered_by_response = said, True
                self.late[head.from_tag, head.cseq] = self.latest[head.from_tag] = exchange
            elif not exchange.offered_by_response:
                _answer(exchange, said)

    def _late_offer(self, head: SipHead, method: str, hop: frozenset[Endpoint]) -> Exchange | None:
        """Find the offer in a response that the description of an ACK or PRACK answers (RFC 3264; RFC 3262).

        An ACK may take another way than its INVITE, past the proxies.
        """
        if method not in ("ACK", "PRACK"):
            return None
        if method == "PRACK":
            latest = self.latest.get(head.from_tag)
            return latest if latest is not None and not latest.answers else None
        exchange = self.exchanges.get((hop, head.from_tag, head.cseq, "INVITE"))
        if exchange is not None:
            return exchange if exchange.offered_by_response else None
        return self.late.get((head.from_tag, head.cseq))

    def _exchange(self, transaction: _Transaction, time_us: int, *, in_dialog: bool) -> Exchange:
        found = self.exchanges.get(transaction)
        if found is None:
            found = Exchange(time_us, in_dialog, answers=[])
            if len(self.exchanges) < EXCHANGES_MAX:
                self.exchanges[transaction] = found
        return found


def _answer(exchange: Exchange, said: Said) -> None:
    """Add an answer, unless the same side has said the same before: responses are repeated."""
    if len(exchange.answers) < ANSWERS_MAX and all(
        (each.side, each.description) != (said.side, said.description) for each in exchange.answers
    ):
        exchange.answers.append(said)


def _tracks(exchanges: Sequence[Exchange], hops: dict[frozenset[Endpoint], int]) -> Iterator[Track]:
    """Lay the states of every medium of every side in order of time."""
    tracks: dict[tuple[Side, int], Track] = {}
    for exchange in sorted(exchanges, key=lambda each: each.begun_us):
        before: dict[tuple[Side, int], State] = {}
        for said, index, state in _states(exchange):
            key = (said.side, index)
            track = tracks.get(key) or Track(said.side, index, hops[said.hop], [])
            last = track.states[-1] if track.states else None
            if _append(track, state):
                tracks[key] = track
                if last is not None:
                    before.setdefault(key, last)
        if exchange.refused_us is not None and _falls_back(exchange):
            for key, last in before.items():
                _append(tracks[key], msgspec.structs.replace(last, from_us=exchange.refused_us))
    yield from tracks.values()


def _falls_back(exchange: Exchange) -> bool:
    # RFC 3261, section 14.1: when a change fails, what was agreed before goes on, whatever was said meanwhile.
    return exchange.in_dialog and bool(exchange.answers)


def _append(track: Track, state: State) -> bool:
    """Add a state that says something new; a medium that was refused at once never begins."""
    last = track.states[-1] if track.states else None
    if last is None:
        if state.refused:
            return False
    elif msgspec.structs.replace(state, from_us=last.from_us) == last:
        return False
    track.states.append(state)
    if last is not None and last.from_us > state.from_us:
        track.states.sort(key=lambda each: each.from_us)
    return True


def _states(exchange: Exchange) -> Iterator[tuple[Said, int, State]]:
    """Give what an exchange puts in force: with each answer, or with the offer when no answer was seen."""
    if (offer := exchange.unanswered_offer) is not None:
        yield from _said(offer, None, offer.time_us, offered=True)
    for answer in exchange.answers:
        if exchange.offer is not None:
            yield from _said(exchange.offer, answer, answer.time_us, offered=True)
        yield from _said(answer, exchange.offer, answer.time_us, offered=False)


def _said(said: Said, other: Said | None, from_us: int, *, offered: bool) -> Iterator[tuple[Said, int, State]]:
    """Give a state for every medium of a description; the media of offer and answer correspond by position."""
    media = said.description.media
    others = other.description.media if other is not None else ()
    for index, own in enumerate(media):
        peer = others[index] if index < len(others) else None
        refused = own.port == 0 or (other is not None and (peer is None or peer.port == 0))
        beside = media[:index] + media[index + 1 :]
        yield said, index, State(from_us, said.side, own, peer, offered, refused, beside)
