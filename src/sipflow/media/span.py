"""What holds for one media stream for a while: its payload types, packet time, direction and keys."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from sipflow.media.codec import Codec, Payloads, canonical
from sipflow.media.negotiation import State, Track
from sipflow.wire.sdp import Crypto, Media

# Before every capture time.
EVER: Final = -(1 << 63)
_HELD: Final = frozenset({"sendonly", "inactive"})
_RECEIVING: Final = frozenset({"sendrecv", "recvonly"})
_SENDING: Final = frozenset({"sendrecv", "sendonly"})


class Span(msgspec.Struct, frozen=True):
    """What holds for a stream from `from_us` until the next span begins.

    `direction` is what both sides agreed, as the receiver of the stream would write it: sendonly and inactive mean that
    this stream is not to flow. `cryptos` are the keys its sender encrypts with (RFC 4568), `secure` tells that the
    payload is encrypted, keys or not. `announced` are the payload types the receiver itself named; `payloads` has more.
    """

    from_us: int
    payloads: Payloads
    ptime_ms: float | None
    direction: str
    cryptos: tuple[Crypto, ...]
    secure: bool = False
    announced: frozenset[int] = frozenset()
    kind: str = "audio"
    protocol: str = "RTP/AVP"

    @property
    def held(self) -> bool:
        """Tell whether the stream is on hold: nothing is to be sent, and silence is no loss."""
        return self.direction in _HELD


def spans_of(receivers: Iterable[Track], senders: Iterable[Track], everything: Payloads) -> tuple[Span, ...]:
    """Give what holds for a stream to these media from those, in order of time; never empty, the first since EVER.

    `everything` is what the call says of payload types that neither of the two knows.
    """
    spans: list[Span] = []
    for from_us, to, by in _moments(_in_time(receivers), _in_time(senders)):
        span = _span(from_us if spans else EVER, to, by, everything)
        if not spans or msgspec.structs.replace(span, from_us=spans[-1].from_us) != spans[-1]:
            spans.append(span)
    return tuple(spans) or (Span(EVER, everything, None, "sendrecv", ()),)


def add_types(found: dict[int, Codec], media: Media) -> None:
    """Add what a medium says of its types; what is there already stands."""
    for codec in media.codecs if media.is_rtp else ():
        if codec.payload_type not in found and codec.clock_rate:
            parameters = media.fmtp.get(codec.payload_type, "")
            found[codec.payload_type] = Codec(canonical(codec.name), codec.clock_rate, codec.channels, parameters)


def _in_time(tracks: Iterable[Track]) -> list[list[State]]:
    """Group the states of all tracks by when they begin; of several sides at once the first one speaks."""
    states = sorted((state for track in tracks for state in track.states), key=lambda state: state.from_us)
    groups = [list(group) for _, group in itertools.groupby(states, key=lambda state: state.from_us)]
    return [[state for state in group if state.side == group[0].side] for group in groups]


def _moments(
    receivers: list[list[State]], senders: list[list[State]]
) -> Iterator[tuple[int, list[State], list[State]]]:
    """Give at each change what the receiver and the sender say then; before it speaks, a side's first word counts."""
    changes = sorted({group[0].from_us for group in itertools.chain(receivers, senders)})
    to = by = 0
    for from_us in changes:
        to, by = _advance(receivers, to, from_us), _advance(senders, by, from_us)
        yield from_us, receivers[to] if receivers else [], senders[by] if senders else []


def _advance(groups: list[list[State]], at: int, time_us: int) -> int:
    while at + 1 < len(groups) and groups[at + 1][0].from_us <= time_us:
        at += 1
    return at


def _span(from_us: int, to: list[State], by: list[State], everything: Payloads) -> Span:
    """Write the span of a stream that goes to what `to` describes and comes from what `by` describes."""
    own = [state.own for state in to] or [state.peer for state in by if state.peer is not None]
    other = [state.own for state in by] or [state.peer for state in to if state.peer is not None]
    payloads: dict[int, Codec] = {}
    for media in own:
        add_types(payloads, media)
    announced = frozenset(payloads)
    for media in itertools.chain(*(state.beside for state in to), other):
        add_types(payloads, media)
    for number, codec in everything.items():
        payloads.setdefault(number, codec)
    receiver, sender = next(iter(own), None), next(iter(other), None)
    refused = any(states and all(state.refused for state in states) for states in (to, by))
    known = receiver or sender
    return Span(
        from_us,
        payloads,
        next((media.ptime for media in (receiver, sender) if media is not None and media.ptime), None),
        "inactive" if refused else _direction(receiver, sender),
        _cryptos(receiver, sender),
        all(media.secure for media in (receiver, sender) if media is not None) and known is not None,
        announced,
        known.kind if known is not None else "audio",
        known.protocol if known is not None else "RTP/AVP",
    )


def _direction(receiver: Media | None, sender: Media | None) -> str:
    to = (receiver is None or receives(receiver)) and (sender is None or sends(sender))
    back = (receiver is None or sends(receiver)) and (sender is None or receives(sender))
    return {(True, True): "sendrecv", (True, False): "recvonly", (False, True): "sendonly"}.get((to, back), "inactive")


def receives(media: Media) -> bool:
    """Tell whether a side wants to receive a medium; 0.0.0.0 says no as well (RFC 3264, section 8.4)."""
    nowhere = media.connection is not None and media.connection.unspecified
    return media.direction in _RECEIVING and media.port != 0 and not nowhere


def sends(media: Media) -> bool:
    """Tell whether a side may send a medium."""
    return media.direction in _SENDING and media.port != 0


def _cryptos(receiver: Media | None, sender: Media | None) -> tuple[Crypto, ...]:
    """Choose the sender's keys: those with a tag the other side has too, as the answer keeps the chosen one's."""
    if sender is None:
        return ()
    tags = {crypto.tag for crypto in receiver.cryptos} if receiver is not None else set()
    chosen = tuple(crypto for crypto in sender.cryptos if crypto.tag in tags)
    return chosen or sender.cryptos
