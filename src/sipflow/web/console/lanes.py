"""The lanes of a ladder: which endpoint or host stands where, and what it is called."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sipflow.query.ladder import Ladder
from sipflow.web.console.media_band import MediaBand
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.visible import visible

LABEL_MAX: Final = 30


class Style(NamedTuple):
    """How a ladder is drawn; `aliases` name endpoints ("ip:port") or hosts ("ip")."""

    by_host: bool = False
    hide_repeats: bool = False
    by_dialog: bool = False
    aliases: Mapping[str, str] = {}


class Lane(NamedTuple):
    """One lane: its name, the line below it, the whole address, and where it stands."""

    name: str
    below: str
    title: str
    x: float


def shortened(text: str, most: int = LABEL_MAX) -> str:
    """Make captured text fit a place in the drawing: visible, and cut in its middle."""
    shown = visible(text)
    half = most // 2
    return shown if len(shown) <= most else f"{shown[: half - 1]}…{shown[-half:]}"


class Lanes:
    """The lanes by endpoint or host; those that only media uses come last."""

    def __init__(self, ladder: Ladder, style: Style) -> None:
        """Begin with the lanes of a ladder."""
        self._style = style
        self._endpoints: list[Endpoint] = []
        self._places: dict[Endpoint | str, int] = {}
        self._of_message = [self._add(endpoint) for endpoint in ladder.lanes]
        first = ladder.arrows[0] if ladder.arrows else None
        self._parties = (self._of_message[first.source], self._of_message[first.target]) if first else None

    @property
    def count(self) -> int:
        """Count them."""
        return len(self._endpoints)

    def of_message(self, lane: int) -> int:
        """Find the lane of an endpoint of the ladder."""
        return self._of_message[lane]

    def way(self, band: MediaBand) -> tuple[int, int]:
        """Find the lanes a stream goes between; where no address was captured its leg tells (odd: to the caller)."""
        if band.src.port or band.dst.port or self._parties is None:
            return self._media(band.src), self._media(band.dst)
        caller, called = self._parties
        return (called, caller) if band.leg % 2 else (caller, called)

    def places(self) -> list[float]:
        """Tell where the lanes stand, once all are there [percent]."""
        return [round((2 * lane + 1) * 50 / self.count, 3) for lane in range(self.count)]

    def names(self) -> list[str]:
        """Name the lanes, each in one line."""
        by_host = self._style.by_host
        return [self._alias(one) or (one.ip if by_host else str(one)) for one in self._endpoints]

    def drawn(self) -> list[Lane]:
        """Give the lanes as they are drawn."""
        found = []
        for endpoint, x in zip(self._endpoints, self.places(), strict=True):
            alias = self._alias(endpoint)
            port = "" if self._style.by_host else f":{endpoint.port}"
            name, below = (alias, endpoint.ip + port) if alias else (endpoint.ip, port)
            found.append(Lane(shortened(name, 20), shortened(below, 20), visible(str(endpoint)), x))
        return found

    def _alias(self, endpoint: Endpoint) -> str:
        aliases = self._style.aliases
        return visible(aliases.get(str(endpoint)) or aliases.get(endpoint.ip) or "")

    def _media(self, endpoint: Endpoint) -> int:
        """Find the lane of an address of media: its own, else that of its host, else a new one."""
        own = self._places.get(self._key(endpoint))
        if own is not None:
            return own
        host = next((number for number, known in enumerate(self._endpoints) if known.ip == endpoint.ip), None)
        return self._add(endpoint) if host is None else host

    def _key(self, endpoint: Endpoint) -> Endpoint | str:
        return endpoint.ip if self._style.by_host else endpoint

    def _add(self, endpoint: Endpoint) -> int:
        key = self._key(endpoint)
        if key not in self._places:
            self._places[key] = len(self._endpoints)
            self._endpoints.append(endpoint)
        return self._places[key]
