"""What happens in a call, and how often."""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipflow.errors import ConfigError


class Scenario(enum.StrEnum):
    """The course of one call."""

    ANSWERED = "answered"
    BUSY = "busy"
    UNANSWERED = "unanswered"
    CHALLENGED = "challenged"
    EARLY_MEDIA = "early-media"
    ONE_WAY = "one-way"
    LOSSY = "lossy"
    DIGITS = "digits"
    INFO_DIGITS = "info-digits"
    REFUSED = "refused"
    B2BUA = "b2bua"
    TRANSFER = "transfer"
    ATTENDED = "attended-transfer"
    REGISTER = "register"
    OPTIONS = "options"

    @property
    def talks(self) -> bool:
        """Tell whether the call is answered and has media."""
        return self in _TALKING


SCENARIOS = tuple(Scenario)
_TALKING = frozenset(
    {
        Scenario.ANSWERED,
        Scenario.CHALLENGED,
        Scenario.EARLY_MEDIA,
        Scenario.ONE_WAY,
        Scenario.LOSSY,
        Scenario.DIGITS,
        Scenario.INFO_DIGITS,
        Scenario.B2BUA,
        Scenario.TRANSFER,
        Scenario.ATTENDED,
    }
)


@dataclass(frozen=True)
class Mix:
    """Scenarios and their weights, which need not sum to anything."""

    weights: tuple[tuple[Scenario, float], ...]

    @classmethod
    def parse(cls, text: str) -> "Mix":
        """Read "mix", a scenario's name, or a list such as answered=70,busy=30. Raises ConfigError."""
        if text == "mix":
            return USUAL
        weights = []
        for part in text.split(","):
            name, equals, weight = part.strip().partition("=")
            try:
                weights.append((Scenario(name), float(weight) if equals else 1.0))
            except ValueError:
                raise ConfigError("scenario", part, f"mix, or NAME[=WEIGHT],… of {', '.join(Scenario)}") from None
        if not all(0 <= weight < 1e9 for _, weight in weights) or sum(weight for _, weight in weights) <= 0:
            raise ConfigError("scenario", text, "weights of 0 or more, one of them above 0")
        return cls(tuple(weights))

    def refusing(self, percent: float) -> "Mix":
        """Give the mix in which so many of the calls are refused, the others as they were among themselves."""
        calls = [(scenario, weight) for scenario, weight in self.weights if scenario is not Scenario.REFUSED]
        total = sum(weight for _, weight in calls) or 1.0
        rest = tuple((scenario, weight / total * (100 - percent)) for scenario, weight in calls)
        return Mix((*rest, (Scenario.REFUSED, percent)))

    def choose(self, chances: NDArray[np.float64]) -> NDArray[np.int64]:
        """Pick one scenario per number of [0, 1), as places in SCENARIOS."""
        limits = np.cumsum([weight for _, weight in self.weights])
        places = np.array([SCENARIOS.index(scenario) for scenario, _ in self.weights])
        chosen = np.searchsorted(limits, chances * limits[-1], side="right")
        return np.asarray(places[np.minimum(chosen, places.size - 1)])


USUAL = Mix(
    (
        (Scenario.ANSWERED, 55),
        (Scenario.BUSY, 8),
        (Scenario.UNANSWERED, 8),
        (Scenario.CHALLENGED, 8),
        (Scenario.EARLY_MEDIA, 5),
        (Scenario.ONE_WAY, 2),
        (Scenario.LOSSY, 4),
        (Scenario.DIGITS, 4),
        (Scenario.REGISTER, 4),
        (Scenario.OPTIONS, 2),
    )
)
