"""How long to wait for a destination that failed: longer each time, never the same, and never for ever."""

import random
from collections.abc import Callable

_FIRST_SECONDS = 5.0
_LONGEST_SECONDS = 900.0
_DOUBLINGS_MAX = 16


class Backoff:
    """Counts failures in a row and says how long to wait after each."""

    def __init__(self, drawn: Callable[[], float] = random.random) -> None:
        """Begin without failures; `drawn` gives numbers from 0 to 1."""
        self._drawn = drawn
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; gives the seconds to wait: between half of what doubled each time and all of it."""
        full = min(_LONGEST_SECONDS, _FIRST_SECONDS * (1 << min(self.failures, _DOUBLINGS_MAX)))
        self.failures += 1
        return full * (0.5 + self._drawn() / 2)

    def succeeded(self) -> None:
        """Begin anew."""
        self.failures = 0
