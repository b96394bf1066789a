"""What nodes say to each other: questions and answers, in MessagePack under PREFIX."""

from typing import Final

import msgspec

from sipflow.query.answer import Criteria, Fault
from sipflow.query.counting import GroupKey
from sipflow.query.share import Share
from sipflow.query.window import Window
from sipflow.wire.dialog import CallDigest
from sipflow.wire.endpoint import Endpoint

PREFIX: Final = "/api/v1/node"
MEDIA_TYPE: Final = "application/msgpack"
# So much content of chunks is sent at once, and so long a stretch of a call.
CONTENTS_OCTETS: Final = 4 << 20
CONTENTS_US: Final = 60_000_000


class OfCall(msgspec.Struct, frozen=True):
    """Asks for the messages or media of a call; of the latter `printed`, if that is wanted, to compare copies."""

    call_id: str
    window: Window
    printed: bool = False


class OfCalls(msgspec.Struct, frozen=True):
    """Asks what is known of some calls."""

    call_ids: list[str]


class OfWindow(msgspec.Struct, frozen=True):
    """Asks for counts, or for users that registered, contacts of the first `limit`; of a share of all if given.

    Counts are those of the group `only`, if given.
    """

    window: Window
    user: str | None = None
    limit: int = 0
    share: Share | None = None
    only: GroupKey | None = None


class OfSearch(msgspec.Struct, frozen=True):
    """Asks for a page of calls."""

    criteria: Criteria


class StreamNote(msgspec.Struct, frozen=True, array_like=True):
    """A media stream of a call."""

    leg: int
    src: Endpoint
    dst: Endpoint
    ssrc: int | None
    client_id: int


class ChunkNote(msgspec.Struct, frozen=True, array_like=True):
    """A chunk of a stream, which is told by its number: what tells it apart, and its content where that is wanted.

    `rows` are RTP_ROW in order, pointing into `data`. `print` is that of prints.py, where it was asked for.
    """

    stream: int
    packets: int
    first_us: int
    arrived_us: int
    last_us: int
    clock_skew: bool
    rows: bytes | None = None
    data: bytes | None = None
    print: int | None = None


class MediaNote(msgspec.Struct, frozen=True):
    """The media of a call: what is still live with its content, of the rest only what there is."""

    streams: list[StreamNote]
    chunks: list[ChunkNote]
    faults: list[Fault]


class TallyNote(msgspec.Struct, frozen=True, array_like=True):
    """A Tally; each pair is a number of times and their sum [us]."""

    statuses: list[tuple[int | None, int]]
    answered: int
    completed: int
    response: tuple[int, int]
    refusal: tuple[int, int]
    ringing: tuple[int, int]
    talk: tuple[int, int]
    disconnect: tuple[int, int]
    undisconnected: int
    mos_count: int
    mos_sum: float


class CountNote(msgspec.Struct, frozen=True):
    """A Count, what could not be read for it, and how many parts are not counted yet."""

    hours: dict[int, TallyNote]
    sources: dict[str, TallyNote]
    destinations: dict[str, TallyNote]
    agents: dict[str, TallyNote]
    unfinished: list[CallDigest]
    faults: list[Fault]
    counting: int


class SenderNote(msgspec.Struct, frozen=True):
    """What a sender reported to a node: packets sent and received since its first report here, and when it last did."""

    client_id: int
    sent: int
    received: int
    seen_us: int

    @property
    def lost(self) -> int:
        """Count what did not arrive."""
        return max(0, self.sent - self.received)

    @property
    def loss_rate(self) -> float:
        """Give the share of what did not arrive, 0 to 1."""
        return self.lost / self.sent if self.sent else 0.0


class Pulse(msgspec.Struct, frozen=True):
    """How a node is: told every two seconds, so nothing is looked up for it.

    `name` is what its own configuration calls it, None when it has no list of nodes, which are `nodes` by slot.
    `packets` counts those taken since its recorder started; `reasons` say why it is not well.
    """

    name: str | None
    nodes: list[str]
    version: str
    started_us: int
    reasons: list[str]
    packets: int
    disk_free: int
    disk_total: int
    senders: list[SenderNote]
