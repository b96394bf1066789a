"""How long answered calls last."""

import enum

import numpy as np
from numpy.typing import NDArray

_SIGMA = 1.0  # of the logarithm of a length
_MOST = 10.0  # times the mean, which long tails are cut at


class Length(enum.StrEnum):
    """Distributions of the length of a call, each with a mean of 1."""

    EVEN = "even"
    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"

    def of(self, chances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give a length for each number of [0, 1): the quantile; tails end at ten times the mean.

        Even lengths are 0.7 to 1.3; exponential ones are Erlang's holding times; the logarithms of the others are
        normal with a deviation of 1, as those of contact centres are found to be.
        """
        if self is Length.EVEN:
            return np.asarray(0.7 + 0.6 * chances)
        if self is Length.EXPONENTIAL:
            return np.minimum(-np.log1p(-chances), _MOST)
        return np.minimum(np.exp(_SIGMA * _normal_quantile(chances) - _SIGMA**2 / 2), _MOST)


def _normal_quantile(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert the normal distribution to 4.5e-4 (Abramowitz and Stegun, 26.2.23)."""
    inner = np.clip(chances, 1e-9, 1 - 1e-9)
    t = np.sqrt(-2 * np.log(np.minimum(inner, 1 - inner)))
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    bottom = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    return np.asarray(np.where(inner < 0.5, -1.0, 1.0) * (t - top / bottom))
