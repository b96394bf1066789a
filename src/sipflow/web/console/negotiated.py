"""Offered, answered, received: a line for each medium of each exchange of a call."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sipflow.media.announcement import Announcements, endpoints
from sipflow.media.negotiation import Exchange, Said
from sipflow.web.console.media_band import MediaBand
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.sdp import Media
from sipflow.wire.visible import visible

ROWS_MAX: Final = 100


class Told(NamedTuple):
    """What one side says of a medium; `refused` tells port 0."""

    number: int | None
    who: str
    address: str
    codecs: str
    direction: str
    ptime: str
    secure: bool
    refused: bool


class Negotiated(NamedTuple):
    """One medium of one exchange: its offer, its answer, and what came to either side meanwhile."""

    time_us: int
    kind: str
    position: int
    offer: Told | None
    answer: Told | None
    outcome: str
    to_offerer: list[MediaBand]
    to_answerer: list[MediaBand]


def negotiated(
    announcements: Announcements, bands: Sequence[MediaBand], numbers: dict[tuple[int, Endpoint], int]
) -> list[Negotiated]:
    """Lay out what was negotiated; `numbers` finds a message by when and from where it came."""
    exchanges = sorted(announcements.negotiation.exchanges, key=lambda each: each.begun_us)
    found: list[Negotiated] = []
    for place, exchange in enumerate(exchanges):
        after = [each.begun_us for each in exchanges[place + 1 :] if each.begun_us > exchange.begun_us]
        until_us = after[0] if after else None
        meanwhile = [
            band
            for band in bands
            if band.last_us >= exchange.begun_us and (until_us is None or band.first_us < until_us)
        ]
        found += _exchange(exchange, meanwhile, numbers)
    return found[:ROWS_MAX]


def _exchange(
    exchange: Exchange, bands: Sequence[MediaBand], numbers: dict[tuple[int, Endpoint], int]
) -> list[Negotiated]:
    offer = exchange.offer
    # A forked call has several answers; the last is the one that stays.
    answer = exchange.answers[-1] if exchange.answers else None
    offered, answered = _media(offer), _media(answer)
    rows = []
    for index in range(max(len(offered), len(answered))):
        own = offered[index] if index < len(offered) else None
        its = answered[index] if index < len(answered) else None
        rows.append(
            Negotiated(
                exchange.begun_us,
                visible((own or its or offered[0]).kind),
                index + 1,
                _told(offer, own, numbers),
                _told(answer, its, numbers),
                _outcome(exchange, own, its),
                _received(own, bands, odd=1),
                _received(its, bands, odd=0),
            )
        )
    return rows


def _media(said: Said | None) -> tuple[Media, ...]:
    return said.description.media if said is not None else ()


def _told(said: Said | None, media: Media | None, numbers: dict[tuple[int, Endpoint], int]) -> Told | None:
    if said is None or media is None:
        return None
    where = media.connection.address if media.connection is not None else "no address"
    names = [codec.name for codec in media.codecs] or list(media.formats)
    return Told(
        numbers.get((said.time_us, said.side.src)),
        str(said.side.src),
        visible(f"{where}:{media.port}"),
        visible(", ".join(names)),
        media.direction,
        f"{media.ptime:g} ms" if media.ptime else "",
        media.secure,
        media.port == 0,
    )


def _outcome(exchange: Exchange, own: Media | None, its: Media | None) -> str:
    if exchange.refused_us is not None and its is None:
        return "refused"
    if its is None:
        return "never answered"
    if its.port == 0 or (own is not None and own.port == 0):
        return "switched off"
    if own is None:
        return "answered, the offer was not seen"
    # RFC 3264, section 6.1: the answerer lists what it agrees to; the first is what it prefers to receive.
    theirs = {codec.name.lower() for codec in own.codecs}
    common = [codec.name for codec in its.codecs if codec.name.lower() in theirs]
    return visible(", ".join(common)) if common or not its.codecs else "no codec in common"


def _received(media: Media | None, bands: Sequence[MediaBand], odd: int) -> list[MediaBand]:
    """Find the streams that came to where a side wanted them; by leg where no address was captured."""
    if media is None or not media.port:
        return []
    wanted = set(endpoints(media))
    found = [band for band in bands if band.dst in wanted]
    nameless = [band for band in bands if not band.dst.port and not band.src.port and band.leg % 2 == odd]
    return found or nameless
