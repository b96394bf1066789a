"""Which calls are made when: a number of lines that are always in use, or a number of new calls per second."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.draw import Draw, call_keys, draws_below
from sipflow.load.length import Length
from sipflow.load.pace import Pace
from sipflow.load.scenario import SCENARIOS, Mix, Scenario
from sipflow.load.style import PLAIN, Style

SHORTEST_US = 2 * SECOND_US  # of time that must be left for a call to begin
_RAMP_US = 2 * SECOND_US  # until all lines are in use, unless it is told
_LEAST_US = 1_400_000  # of one that is answered
_SAMPLE = 200  # calls looked at to foretell the rate
_PAUSE_US = (1_000, 19_000)  # from the end of a call to the next one of its line: the least, and what is drawn
_NEVER = np.iinfo(np.int64).max

_SPANS_US = {  # of what is not answered
    Scenario.BUSY: 1_500_000,
    Scenario.REFUSED: 1_500_000,
    Scenario.UNANSWERED: 15_000_000,
    Scenario.REGISTER: 300_000,
    Scenario.OPTIONS: 100_000,
}

# Planned calls, in order of their start; `scenario` is a place in SCENARIOS.
PLANNED = np.dtype([("number", "<u8"), ("key", "<u8"), ("start_us", "<i8"), ("span_us", "<i8"), ("scenario", "u1")])

Planned = NDArray[np.void]


@dataclass(frozen=True)
class Schedule:
    """A plan of calls between `start_us` (since the epoch) and `span_us` later, when all of them have ended.

    With `lines`, so many calls are in progress at any time, or less as long as it takes every line to make its first
    one (`ramp_us`; 2 s and at most a quarter of the whole unless told); else as many begin each second as `pace` says.
    An answered call lasts `talk_us` on average. What a call is and how long it lasts depends on the seed and its number
    alone.
    """

    seed: int
    mix: Mix
    start_us: int
    span_us: int
    talk_us: int
    lines: int = 0
    pace: Pace | None = None
    style: Style = PLAIN
    length: Length = Length.EVEN
    ramp_us: int | None = None

    @property
    def end_us(self) -> int:
        """Tell when the last call has ended."""
        return self.start_us + self.span_us

    def calls(self) -> Iterator[Call]:
        """Plan the calls, in order of their start; the same schedule always plans the same calls."""
        for planned in self.stretches(SECOND_US):
            yield from self.calls_of(planned)

    def calls_of(self, planned: Planned) -> Iterator[Call]:
        """Give planned calls as values."""
        for number, _, start_us, span_us, scenario in planned.tolist():
            yield Call(self.seed, number, SCENARIOS[scenario], start_us, span_us, self.style)

    def stretches(self, stretch_us: int) -> Iterator[Planned]:
        """Plan the calls stretch by stretch of the clock, many at once; a stretch may have none."""
        return self._by_lines(stretch_us) if self.pace is None else self._by_pace(self.pace, stretch_us)

    def sample(self, size: int) -> list[Call]:
        """Pick so many of the calls at random, the same ones every time; all of them if there are no more."""
        whole = np.concatenate([np.empty(0, PLANNED), *self.stretches(SECOND_US)])
        picked = np.random.default_rng(self.seed).choice(whole.size, min(size, whole.size), replace=False)
        return list(self.calls_of(whole[np.sort(picked)]))

    def sped_up(self, speed: float) -> "Schedule":
        """Plan for a clock that runs `speed` times as fast: what takes longer begins earlier, and ends when it did."""
        span_us = max(int(self.span_us * speed), 1)
        pace = self.pace and replace(self.pace, ramp_us=int(self.pace.ramp_us * speed))
        start_us = self.start_us - max(0, span_us - self.span_us)
        ramp_us = None if self.ramp_us is None else int(self.ramp_us * speed)
        return replace(self, span_us=span_us, start_us=start_us, pace=pace, ramp_us=ramp_us)

    def records_per_second(self, bank: VoiceBank, *, sip_only: bool = False) -> float:
        """Foretell how many packets a second the plan makes on its own clock, from a sample of its calls."""
        records = busy_us = 0
        numbers = np.arange(_SAMPLE, dtype=np.int64)
        starts = np.full(_SAMPLE, self.start_us, np.int64)
        for call in self.calls_of(self._plan(numbers, starts, np.ones(_SAMPLE))):
            records += len(call.mould.sayings)
            if not sip_only:
                records += sum(stream.sent(bank) for stream in call.streams())
            busy_us += call.span_us
        if self.pace is None:
            return self.lines * records / busy_us * SECOND_US
        return self.pace.count(self.span_us) / self.span_us * SECOND_US * records / _SAMPLE

    @property
    def _until_all_us(self) -> int:
        if self.ramp_us is None:
            return min(_RAMP_US, self.span_us // 4)
        return min(self.ramp_us, max(0, self.span_us - SHORTEST_US))

    def _by_lines(self, stretch_us: int) -> Iterator[Planned]:
        """Follow every line from call to call: call `turn` of a line has the number turn * lines + line."""
        lines = np.arange(self.lines, dtype=np.int64)
        next_us = self.start_us + self._until_all_us * lines // self.lines
        turns = np.zeros(self.lines, np.int64)
        for horizon_us in range(self.start_us + stretch_us, self.end_us + stretch_us, stretch_us):
            found = [np.empty(0, PLANNED)]
            while (free := np.flatnonzero(next_us < horizon_us)).size:
                first = turns[free] == 0
                over = ~first & (self.end_us - next_us[free] < SHORTEST_US)
                next_us[free[over]] = _NEVER
                free, first = free[~over], first[~over]
                numbers = turns[free] * self.lines + free
                # The first call of a line is cut at random, so that calls do not all end together.
                cut = draws_below(call_keys(self.seed, numbers), Draw.CUT, 700) / 1000 + 0.3
                planned = self._plan(numbers, next_us[free], np.where(first, cut, 1.0))
                found.append(planned)
                pause_us = _PAUSE_US[0] + draws_below(planned["key"], Draw.PAUSE, _PAUSE_US[1])
                next_us[free] = planned["start_us"] + planned["span_us"] + pause_us
                turns[free] += 1
            together = np.concatenate(found)
            yield together[np.argsort(together["start_us"], kind="stable")]

    def _by_pace(self, pace: Pace, stretch_us: int) -> Iterator[Planned]:
        first = 0
        for until_us in range(stretch_us, self.span_us + stretch_us, stretch_us):
            last = int(pace.count(min(until_us, self.span_us)))
            numbers = np.arange(first, max(first, last), dtype=np.int64)
            share = draws_below(call_keys(self.seed, numbers), Draw.PAUSE, 1 << 20) / (1 << 21)
            starts = self.start_us + pace.times_us(numbers + share).astype(np.int64)
            kept = (self.end_us - starts >= SHORTEST_US) | (numbers == 0)
            yield self._plan(numbers[kept], starts[kept], np.ones(np.count_nonzero(kept)))
            first = max(first, last)

    def _plan(self, numbers: NDArray[np.int64], starts_us: NDArray[np.int64], shares: NDArray[np.float64]) -> Planned:
        planned = np.empty(numbers.size, PLANNED)
        planned["number"] = numbers
        planned["key"] = call_keys(self.seed, numbers)
        planned["start_us"] = starts_us
        planned["scenario"] = self.mix.choose(draws_below(planned["key"], Draw.SCENARIO, 1 << 32) / (1 << 32))
        lengths = self.length.of(draws_below(planned["key"], Draw.LENGTH, 1 << 20) / (1 << 20))
        talks_us = np.maximum(lengths * self.talk_us, _LEAST_US) * shares
        fixed_us = np.array([_SPANS_US.get(scenario, 0) for scenario in SCENARIOS])[planned["scenario"]]
        spans_us = np.where(fixed_us > 0, fixed_us, talks_us).astype(np.int64)
        planned["span_us"] = np.minimum(np.maximum(spans_us, 100_000), self.end_us - starts_us)
        return planned
