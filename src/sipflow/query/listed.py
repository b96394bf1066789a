"""A call as one place knows it: what its messages say, the counts of its media, and how bad that was."""

from typing import NamedTuple

import msgspec

from sipflow.query.answer import Fault
from sipflow.wire.dialog import CallDigest


class Worst(NamedTuple):
    """The worst of a call's media as one or more sealed parts estimate it; None for what none of them tells."""

    loss_percent: float | None = None
    jitter_us: int | None = None
    mos: float | None = None
    mos_scale: str | None = None
    one_way: int | None = None

    def merged(self, other: "Worst") -> "Worst":
        """Give the worse of both; media goes one way when it does in every part that has any."""
        opinions = [(one.mos, one.mos_scale) for one in (self, other) if one.mos is not None]
        ways = [one.one_way for one in (self, other) if one.one_way is not None]
        mos, mos_scale = min(opinions, key=lambda one: one[0], default=(None, None))
        return Worst(
            max((one.loss_percent for one in (self, other) if one.loss_percent is not None), default=None),
            max((one.jitter_us for one in (self, other) if one.jitter_us is not None), default=None),
            mos,
            mos_scale,
            min(ways, default=None),
        )


UNJUDGED = Worst()


class Listed(NamedTuple):
    """A call as one part knows it, with what the part's index counts of its media."""

    digest: CallDigest
    rtp_packets: int
    streams: frozenset[tuple[int, str, str, int]]
    erased_us: int | None = None
    worst: Worst = UNJUDGED


class Known(msgspec.Struct, frozen=True):
    """What a history knows of some calls; those it does not know are left out."""

    calls: list[Listed]
    faults: list[Fault]


class Row(NamedTuple):
    """A call as one row of a part says it; what it says of media is None where version 1 did not count it yet."""

    digest: CallDigest
    rtp_packets: int | None
    rtp_streams: int | None
    worst: Worst = UNJUDGED
