"""How many calls begin each second, as it changes over a run: evenly, or in steps."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sipflow.clock import SECOND_US
from sipflow.errors import ConfigError

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Pace:
    """Calls begin at `begin` per second at first and, `ramp_us` later and from then on, at `end` per second.

    Between the two the rate changes evenly, or in so many equal `steps`, of which the first has the rate `begin` and
    the last, if it is not the only one, the rate `end`.
    """

    begin: float
    end: float
    ramp_us: int = 0
    steps: int = 0

    @classmethod
    def parse(cls, text: str, ramp_us: int, steps: int, most: float, option: str = "--cps") -> "Pace":
        """Read a rate, or two with .. between them. Raises ConfigError that names the option."""
        first, dots, last = text.partition("..")
        try:
            begin, end = float(first), float(last) if dots else float(first)
        except ValueError:
            begin = end = -1.0
        if not (0 <= begin <= most and 0 <= end <= most and max(begin, end) > 0):
            raise ConfigError(option, text, f"calls per second, or FROM..TO, up to {most:g}, one of them above 0")
        if begin == end:
            return cls(begin, end)
        return cls(begin, end, ramp_us, steps)

    def rate(self, after_us: float) -> float:
        """Tell how many calls per second begin so long after the first moment."""
        if after_us >= self.ramp_us:
            return self.end
        if self.steps:
            step = int(after_us * self.steps / self.ramp_us)
            return self.begin + (self.end - self.begin) * step / max(1, self.steps - 1)
        return self.begin + (self.end - self.begin) * after_us / self.ramp_us

    def count(self, until_us: float) -> float:
        """Tell how many calls have begun by then."""
        times, rates, counts = self._knots
        i = int(np.searchsorted(times, until_us, side="right")) - 1
        span_s = (until_us - times[i]) / SECOND_US
        return float(counts[i] + (rates[i, 0] + self._slopes[i] * span_s / 2) * span_s)

    def times_us(self, numbers: NDArray[np.float64]) -> Times:
        """Tell when so many calls have begun: the inverse of count(), for numbers that are reached."""
        times, rates, counts = self._knots
        i = np.searchsorted(counts, numbers, side="right") - 1
        more, rate, slope = numbers - counts[i], rates[i, 0], self._slopes[i]
        # slope/2 t^2 + rate t = more, in the form that holds for a slope of 0 as well.
        root = np.sqrt(np.maximum(rate * rate + 2 * slope * more, 0))
        return np.asarray(times[i] + 2 * more / np.maximum(rate + root, 1e-12) * SECOND_US)

    @cached_property
    def _knots(self) -> tuple[Times, NDArray[np.float64], Times]:
        """Give the begins of the stretches on which the rate is a line [us], the rates at both ends, calls before."""
        if not self.ramp_us:
            pieces = [(0.0, self.end, self.end)]
        elif self.steps:
            lengths = self.ramp_us / self.steps
            rates = [self.begin + (self.end - self.begin) * k / max(1, self.steps - 1) for k in range(self.steps)]
            pieces = [(k * lengths, rate, rate) for k, rate in enumerate(rates)] + [(self.ramp_us, self.end, self.end)]
        else:
            pieces = [(0.0, self.begin, self.end), (float(self.ramp_us), self.end, self.end)]
        times = np.array([at for at, _, _ in pieces])
        rates_of = np.array([[first, last] for _, first, last in pieces])
        spans_s = np.diff(times) / SECOND_US
        counts = np.concatenate(([0.0], np.cumsum(rates_of[:-1].mean(axis=1) * spans_s)))
        return times, rates_of, counts

    @cached_property
    def _slopes(self) -> NDArray[np.float64]:
        times, rates, _ = self._knots
        spans_s = np.append(np.diff(times) / SECOND_US, 1.0)
        return np.asarray((rates[:, 1] - rates[:, 0]) / spans_s)
