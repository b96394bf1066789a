"""How all calls of a run are made, whatever happens in each of them."""

from dataclasses import dataclass
from itertools import accumulate

from sipflow.load.bank import Coding
from sipflow.load.codec import BY_TYPE, Choices
from sipflow.load.draw import Draw, draw_below
from sipflow.load.impairment import PERFECT, Impairment
from sipflow.load.status import USUAL_REFUSALS, Refusals

_WHOLE = 1 << 32


@dataclass(frozen=True)
class Style:
    """Equal styles make equal calls.

    `codecs` are spoken and their weights, none for each telephone's own; `ptimes` [ms] likewise. `impairments` is what
    happens to every stream from the caller (leg A) and to the caller (leg B); `refusals` are the statuses of calls that
    are refused, by weight.
    """

    ipv6: bool = False
    codecs: Choices = ()
    ptimes: tuple[int, ...] = ()
    impairments: tuple[Impairment, Impairment] = (PERFECT, PERFECT)
    refusals: Refusals = USUAL_REFUSALS

    @property
    def codings(self) -> frozenset[Coding]:
        """Give what voices must be encoded in."""
        return frozenset(
            Coding.of(codec.payload_type, ptime * 8)
            for codec, _ in self.codecs
            for ptime in (self.ptimes or BY_TYPE[codec.payload_type].ptimes)
        )

    def refusal(self, key: int) -> int:
        """Tell the status by which a call is refused, if it is."""
        return self.refusals[self.refusal_place(draw_below(key, Draw.STATUS, _WHOLE))][0]

    def refusal_place(self, drawn: int) -> int:
        """Tell the place in `refusals` that a draw of 32 bits falls on."""
        return next((place for place, limit in enumerate(self.limits) if drawn < limit), len(self.refusals) - 1)

    @property
    def limits(self) -> list[int]:
        """Give the ends of the shares that `refusals` have of a draw of 32 bits."""
        sums = list(accumulate(weight for _, weight in self.refusals))
        return [int(part / sums[-1] * _WHOLE) for part in sums]


PLAIN = Style()
