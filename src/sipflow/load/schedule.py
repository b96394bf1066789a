"""Which calls are made when: a number of lines that are always in use, or a number of new calls per second."""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass

from sipflow.clock import SECOND_US
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.scenario import Mix, Scenario

SHORTEST_US = 2 * SECOND_US  # of a call that is answered
_RAMP_US = 2 * SECOND_US  # within which every line makes its first call
_SAMPLE = 200  # calls looked at to foretell the rate

_SPANS_US = {  # of what is not answered
    Scenario.BUSY: 1_500_000,
    Scenario.UNANSWERED: 15_000_000,
    Scenario.REGISTER: 300_000,
    Scenario.OPTIONS: 100_000,
}


@dataclass(frozen=True)
class Schedule:
    """A plan of calls between `start_us` (since the epoch) and `span_us` later, when all of them have ended.

    With `lines`, so many calls are in progress at any time; with `per_second`, so many begin every second. An answered
    call lasts `talk_us` on average.
    """

    seed: int
    mix: Mix
    start_us: int
    span_us: int
    talk_us: int
    lines: int = 0
    per_second: float = 0.0
    ipv6: bool = False

    def calls(self) -> Iterator[Call]:
        """Plan the calls, in order of their start; the same schedule always plans the same calls."""
        rng = random.Random(f"{self.seed}/schedule")
        return self._by_lines(rng) if self.lines else self._by_rate(rng)

    def records_per_second(self, bank: VoiceBank, *, sip_only: bool = False) -> float:
        """Foretell how many packets a second the plan makes on its own clock, from a sample of its calls."""
        records = busy_us = 0
        rng = random.Random(f"{self.seed}/sample")
        for number in range(_SAMPLE):
            call = self._call(rng, number, self.start_us, self.span_us)
            script = call.script()
            records += len(script.messages)
            if not sip_only:
                records += sum(stream.sent(bank) for stream in script.streams)
            busy_us += call.span_us
        if self.lines:
            return self.lines * records / busy_us * SECOND_US
        return self.per_second * records / _SAMPLE

    def _by_lines(self, rng: random.Random) -> Iterator[Call]:
        ramp_us = min(_RAMP_US, self.span_us // 4)
        free = [(self.start_us + (ramp_us * line) // self.lines, line) for line in range(self.lines)]
        heapq.heapify(free)
        number = 0
        while free:
            at_us, line = heapq.heappop(free)
            left_us = self.start_us + self.span_us - at_us
            if left_us < SHORTEST_US and number >= self.lines:
                continue
            # The first call of a line is cut at random, so that calls do not all end together.
            share = rng.uniform(0.3, 1.0) if number < self.lines else 1.0
            call = self._call(rng, number, at_us, left_us, share)
            yield call
            number += 1
            heapq.heappush(free, (call.end_us + rng.randrange(1000, 20_000), line))

    def _by_rate(self, rng: random.Random) -> Iterator[Call]:
        interval_us = SECOND_US / self.per_second
        for number in range(int(self.span_us / interval_us)):
            at_us = self.start_us + int((number + rng.random() * 0.5) * interval_us)
            left_us = self.start_us + self.span_us - at_us
            if left_us >= SHORTEST_US or number == 0:
                yield self._call(rng, number, at_us, left_us)

    def _call(self, rng: random.Random, number: int, at_us: int, left_us: int, share: float = 1.0) -> Call:
        scenario = self.mix.draw(rng)
        span_us = int(rng.uniform(0.7, 1.3) * self.talk_us * share) if scenario.talks else _SPANS_US[scenario]
        return Call(self.seed, number, scenario, at_us, min(max(span_us, 100_000), left_us), self.ipv6)
