"""Counts of session attempts and sums of their times, and the ratios made of them (RFC 6076, ITU-T E.425)."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Final

import msgspec

from sipflow.clock import SECOND_US
from sipflow.wire.dialog import CallDigest

# RFC 6076, section 4.7: answers that show the network to have done its part.
EFFECTIVE: Final = frozenset({480, 486, 600, 603})
# Section 4.8: failures of the network.
INEFFECTIVE: Final = frozenset({408, 500, 503, 504})
# ITU-T E.425: what the user did, or dialled; whoever counts otherwise gives a set of his own.
USER_OUTCOMES: Final = EFFECTIVE | {404, 487}
_CHALLENGES: Final = frozenset({401, 402, 407})


class Ratios(msgspec.Struct, frozen=True):
    """What the attempts of a group came to; percentages and seconds, None where nothing can be divided by.

    `answered` had a 2xx, `completed` a BYE after it that had its own 2xx, `redirected` a 3xx at last. Percentages:
    `ser`, `seer`, `isa` and `scr` as RFC 6076 defines them, `asr` and `ner` as E.425 does. Means: `acd_s` talk per
    answered call, `sdt_s` talk per answered call that a BYE ended, `srd_s` from INVITE to the first sign of the called
    side, `srd_failed_s` from INVITE to a refusal, `pdd_s` from INVITE to ringing, `sdd_s` from BYE to its 2xx, `mos`
    of the worst streams. `disconnected` calls had a 2xx to their BYE, `undisconnected` none. `statuses` counts final
    statuses, "none" where there was none.
    """

    attempts: int
    answered: int
    completed: int
    redirected: int
    ser: float | None
    seer: float | None
    isa: float | None
    scr: float | None
    asr: float | None
    ner: float | None
    acd_s: float | None
    sdt_s: float | None
    srd_s: float | None
    srd_failed_s: float | None
    pdd_s: float | None
    sdd_s: float | None
    disconnected: int
    undisconnected: int
    mos: float | None
    statuses: dict[str, int]


@dataclass(slots=True)
class Span:
    """A number of times and their sum [us]."""

    count: int = 0
    sum_us: int = 0

    def add(self, count: int, sum_us: int) -> None:
        """Take in more."""
        self.count += count
        self.sum_us += sum_us

    @property
    def mean_s(self) -> float | None:
        """Give the mean [s], None of none."""
        return self.sum_us / self.count / SECOND_US if self.count else None


@dataclass(slots=True)
class Tally:
    """What is counted of a group of attempts; a 401 or 407 and its repeat with the same Call-ID are one attempt."""

    statuses: Counter[int | None] = field(default_factory=Counter)
    answered: int = 0
    completed: int = 0
    response: Span = field(default_factory=Span)
    refusal: Span = field(default_factory=Span)
    ringing: Span = field(default_factory=Span)
    talk: Span = field(default_factory=Span)
    disconnect: Span = field(default_factory=Span)
    undisconnected: int = 0
    mos_count: int = 0
    mos_sum: float = 0.0

    def merge(self, other: "Tally") -> None:
        """Take in what was counted of other attempts."""
        self.statuses.update(other.statuses)
        self.answered += other.answered
        self.completed += other.completed
        self.response.add(other.response.count, other.response.sum_us)
        self.refusal.add(other.refusal.count, other.refusal.sum_us)
        self.ringing.add(other.ringing.count, other.ringing.sum_us)
        self.talk.add(other.talk.count, other.talk.sum_us)
        self.disconnect.add(other.disconnect.count, other.disconnect.sum_us)
        self.undisconnected += other.undisconnected
        self.mos_count += other.mos_count
        self.mos_sum += other.mos_sum

    @property
    def attempts(self) -> int:
        """Count the attempts."""
        return self.statuses.total()

    def ratios(self, user_outcomes: Set[int] = USER_OUTCOMES) -> Ratios:
        """Work the ratios out; `user_outcomes` are the statuses that NER takes for the user's doing."""
        attempts = self.attempts
        redirected = sum(count for status, count in self.statuses.items() if status is not None and status // 100 == 3)
        effective = self.answered + self._of(EFFECTIVE)
        return Ratios(
            attempts=attempts,
            answered=self.answered,
            completed=self.completed,
            redirected=redirected,
            ser=_percent(self.answered, attempts - redirected),
            seer=_percent(effective, attempts - redirected),
            isa=_percent(self._of(INEFFECTIVE), attempts),
            scr=_percent(self.completed, attempts),
            asr=_percent(self.answered, attempts),
            ner=_percent(self.answered + self._of(user_outcomes), attempts),
            acd_s=self.talk.sum_us / self.answered / SECOND_US if self.answered else None,
            sdt_s=self.talk.mean_s,
            srd_s=self.response.mean_s,
            srd_failed_s=self.refusal.mean_s,
            pdd_s=self.ringing.mean_s,
            sdd_s=self.disconnect.mean_s,
            disconnected=self.disconnect.count,
            undisconnected=self.undisconnected,
            mos=self.mos_sum / self.mos_count if self.mos_count else None,
            statuses={"none" if s is None else str(s): n for s, n in sorted(self.statuses.items(), key=_by_status)},
        )

    def _of(self, statuses: Set[int]) -> int:
        return sum(self.statuses[status] for status in statuses)


def tally_of(digest: CallDigest) -> Tally:
    """Count one call."""
    tally = Tally(Counter([digest.status]))
    begun_us = digest.invite_us
    answer_us, ring_us = digest.answer_us, digest.ring_us
    if begun_us is None:
        return tally
    tally.answered = int(answer_us is not None)
    if digest.bye_us is not None:
        _add_end(tally, digest, digest.bye_us)
    first_us = ring_us if ring_us is not None and (answer_us is None or ring_us < answer_us) else answer_us
    if first_us is not None:
        tally.response.add(1, max(0, first_us - begun_us))
    if ring_us is not None:
        tally.ringing.add(1, max(0, ring_us - begun_us))
    if refused(digest) and digest.status_us is not None:
        tally.refusal.add(1, max(0, digest.status_us - begun_us))
    return tally


def _add_end(tally: Tally, digest: CallDigest, bye_us: int) -> None:
    if digest.bye_answer_us is None:
        tally.undisconnected = 1
    else:
        tally.disconnect.add(1, max(0, digest.bye_answer_us - bye_us))
    if digest.answer_us is not None:
        tally.completed = int(digest.bye_answer_us is not None)
        tally.talk.add(1, max(0, bye_us - digest.answer_us))


def refused(digest: CallDigest) -> bool:
    """Tell a call that ended with 4xx (no challenge), 5xx or 6xx."""
    status = digest.status
    return digest.answer_us is None and status is not None and status >= 400 and status not in _CHALLENGES


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole > 0 else None


def _by_status(item: tuple[int | None, int]) -> int:
    return item[0] if item[0] is not None else 1000
