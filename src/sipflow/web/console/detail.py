"""One message, taken apart for its page: coloured, explained, and beside the same message elsewhere."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sipflow.query.ladder import Ladder
from sipflow.wire.header import read_letter
from sipflow.wire.packet import Message
from sipflow.wire.sdp_words import Explained, explain
from sipflow.wire.sip import SipHead, parse_head
from sipflow.wire.tokens import Token, header_tokens, start_tokens
from sipflow.wire.visible import visible

# The other hops of one message that are listed.
TWINS_MAX: Final = 8


class Detail(NamedTuple):
    """A message: `sdp` is empty where its body is something else, `raw` is what copying gives, `twins` the numbers of
    the same message on other hops, `previous` that of the one before it between the same two.
    """

    number: int
    message: Message
    label: str
    kind: str
    delta_us: int
    repeat: bool
    source: str
    target: str
    start: list[Token]
    headers: list[list[Token]]
    sdp: list[Explained]
    body: str
    raw: str
    twins: list[int]
    previous: int | None


class Twins:
    """Finds the same message on other hops: same method or status, same CSeq, same caller."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._keys = [_key(parse_head(message.payload)) for message in messages]
        self._places: dict[object, list[int]] = {}
        for place, key in enumerate(self._keys):
            if key is not None:
                self._places.setdefault(key, []).append(place)
        self._hops = [frozenset((message.src, message.dst)) for message in messages]

    def of(self, place: int) -> list[int]:
        """Give their numbers, counted from 1, one of each hop."""
        found: dict[object, int] = {}
        for other in self._places.get(self._keys[place], []):
            if self._hops[other] != self._hops[place]:
                found.setdefault(self._hops[other], other + 1)
        return list(found.values())[:TWINS_MAX]

    def before(self, place: int) -> int | None:
        """Give the number of the message before it on the same hop."""
        hop = self._hops[place]
        return next((other + 1 for other in range(place - 1, -1, -1) if self._hops[other] == hop), None)


def _key(head: SipHead) -> object:
    if head.cseq is None:
        return None
    return head.is_request, head.method, head.status, head.cseq, head.cseq_method, head.from_tag


def detail_of(messages: Sequence[Message], ladder: Ladder, twins: Twins, number: int) -> Detail:
    """Take message `number`, counted from 1, apart. Raises IndexError when there is none."""
    message, arrow = messages[number - 1], ladder.arrows[number - 1]
    letter = read_letter(message.payload)
    is_sdp = "application/sdp" in letter.first("content-type").lower() or letter.body.lstrip()[:2] == "v="
    return Detail(
        number,
        message,
        visible(arrow.label),
        arrow.kind,
        arrow.delta_us,
        arrow.repeat,
        str(message.src),
        str(message.dst),
        start_tokens(letter.start),
        [header_tokens(header) for header in letter.headers],
        explain(letter.body) if is_sdp else [],
        "" if is_sdp else _lines(letter.body),
        _lines(message.text),
        twins.of(number - 1),
        twins.before(number - 1),
    )


def _lines(text: str) -> str:
    """Make text of several lines visible; its own line ends stay."""
    return "\n".join(visible(line) for line in text.replace("\r\n", "\n").split("\n"))
