"""Attempts to register, paired from the rows of an index: how long they took, how many were in vain (RFC 6076)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

from sipflow.clock import SECOND_US
from sipflow.query.parts import OpenPart

# Timer F (RFC 3261, section 17.1.2): who has no answer by then gives up, and a challenge is met sooner.
PATIENCE_US: Final = 32 * SECOND_US
# Timer T2: an answer that is not there by then does not stand in the next part either.
_SOON_US: Final = 4 * SECOND_US
_CHALLENGES: Final = frozenset({401, 402, 407})
_MESSAGES: Final = {1: "s.call = c.id", 2: "s.id >= (c.id << 32) AND s.id < ((c.id + 1) << 32)"}
_ROWS: Final = (
    "SELECT c.to_uri, c.id, min(CASE WHEN s.status IS NULL THEN s.t0_us END) AS asked_us, "
    "min(CASE WHEN s.status >= 200 THEN s.t0_us END), min(CASE WHEN s.status >= 200 THEN s.status END) "
    "FROM call_meta c JOIN sip_msgs s ON {} WHERE c.method = 'REGISTER' AND s.method = 'REGISTER'{} "
    "GROUP BY c.id, s.cseq ORDER BY c.id, s.cseq"
)


class Transaction(NamedTuple):
    """A REGISTER and its first final response, either of which may be missing; copies are not told apart."""

    asked_us: int | None
    answered_us: int | None
    status: int | None


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts to register. A challenge and the REGISTER that meets it are one attempt.

    `ineffective` are those that were refused (4xx, 5xx, 6xx) or never answered; one whose challenge was not met within
    PATIENCE_US is neither. `delay_us` sums up from the first REGISTER to the 2xx over the `accepted` ones.
    """

    attempts: int = 0
    ineffective: int = 0
    accepted: int = 0
    delay_us: int = 0

    def plus(self, other: "Attempts") -> "Attempts":
        """Give both together."""
        return Attempts(
            self.attempts + other.attempts,
            self.ineffective + other.ineffective,
            self.accepted + other.accepted,
            self.delay_us + other.delay_us,
        )

    @property
    def ira(self) -> float | None:
        """Give the ineffective registration attempts [percent] (RFC 6076, section 4.2), None of none."""
        return 100.0 * self.ineffective / self.attempts if self.attempts else None

    @property
    def rrd_s(self) -> float | None:
        """Give the mean registration request delay [s] (RFC 6076, section 4.1), None of none."""
        return self.delay_us / self.accepted / SECOND_US if self.accepted else None


def sum_of(some: Iterable[Attempts]) -> Attempts:
    """Put attempts together."""
    total = Attempts()
    for one in some:
        total = total.plus(one)
    return total


def count_attempts(transactions: Sequence[Transaction], until_us: int) -> Attempts:
    """Count the attempts of one Call-ID from its transactions in order.

    What was asked just before `until_us`, where a part ends, and has no answer there is not decided.
    """
    return sum_of(_attempts(transactions, until_us))


def _attempts(transactions: Sequence[Transaction], until_us: int) -> Iterator[Attempts]:
    begun_us: int | None = None  # of an attempt that was challenged
    challenged_us = 0
    for asked_us, answered_us, status in transactions:
        if asked_us is None:
            continue  # it was asked in another part, and is not counted there either: nobody answered
        if begun_us is not None and asked_us - challenged_us > PATIENCE_US:
            yield Attempts(attempts=1)
            begun_us = None
        begun_us = asked_us if begun_us is None else begun_us
        if answered_us is None or status is None:
            if asked_us + _SOON_US <= until_us:
                yield Attempts(attempts=1, ineffective=1)
        elif status in _CHALLENGES:
            challenged_us = answered_us
            continue
        elif status // 100 == 2:
            yield Attempts(attempts=1, accepted=1, delay_us=max(0, answered_us - begun_us))
        else:
            yield Attempts(attempts=1, ineffective=int(status >= 400))
        begun_us = None
    if begun_us is not None and challenged_us + _SOON_US <= until_us:
        yield Attempts(attempts=1)


def attempts_in(
    opened: OpenPart, clauses: str, values: Sequence[object], span: tuple[int, int] | None
) -> dict[str, Attempts]:
    """Count the attempts of a part by address-of-record; `clauses` choose calls, `span` [us] messages."""
    within = "" if span is None else " AND s.t0_us BETWEEN ? AND ?"
    statement = _ROWS.format(_MESSAGES[opened.version], clauses.replace("to_uri", "c.to_uri") + within)
    rows = opened.select(tuple[str, int, int | None, int | None, int | None], statement, [*values, *(span or ())])
    latest = opened.select(tuple[int | None], "SELECT max(last_us) FROM call_meta", ()) if rows else []
    until_us = next((last_us for (last_us,) in latest if last_us is not None), 0)
    found: dict[str, Attempts] = {}
    for (aor, _), some in groupby(rows, key=lambda row: row[:2]):
        counted = count_attempts([Transaction(*row[2:]) for row in some], until_us)
        found[aor] = found.get(aor, Attempts()).plus(counted)
    return found
