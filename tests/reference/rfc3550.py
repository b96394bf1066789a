"""RFC 3550, appendices A.1, A.3 and A.8, packet by packet as printed: the oracle for whole streams at once."""

import itertools
from dataclasses import dataclass

MAX_DROPOUT = 3000
MAX_MISORDER = 100
MODULUS = 1 << 16


@dataclass
class Receiver:
    """A receiver without history; `probation` is MIN_SEQUENTIAL, or 0 for a source that SDP vouches for."""

    probation: int = 2
    base: int = 0
    top: int = 0
    cycles: int = 0
    bad: int = MODULUS + 1
    received: int = 0
    started: bool = False

    def restart(self, number: int) -> None:
        self.base = self.top = number
        self.bad, self.cycles, self.received = MODULUS + 1, 0, 0

    def update(self, number: int) -> bool:
        """Take a packet; tells whether it counts."""
        if not self.started:
            self.started = True
            self.restart(number)
            self.top = (number - 1) % MODULUS
        if self.probation:
            if number == (self.top + 1) % MODULUS:
                self.probation -= 1
                self.top = number
                if self.probation == 0:
                    self.restart(number)
                    self.received = 1
                    return True
            else:
                self.probation = 1
                self.top = number
            return False
        ahead = (number - self.top) % MODULUS
        if ahead < MAX_DROPOUT:
            self.cycles += MODULUS if number < self.top else 0
            self.top = number
        elif ahead <= MODULUS - MAX_MISORDER:
            if number != self.bad:
                self.bad = (number + 1) % MODULUS
                return False
            self.restart(number)
        self.received += 1
        return True

    @property
    def extended(self) -> int:
        return self.cycles + self.top

    @property
    def expected(self) -> int:
        return self.extended - self.base + 1


def jitter_16(arrival_ticks: list[int], timestamps: list[int]) -> list[int]:
    """The integer form, 16 times the jitter, after each packet."""
    transit = [arrival - stamp for arrival, stamp in zip(arrival_ticks, timestamps, strict=True)]
    states = [0]
    for before, now in itertools.pairwise(transit):
        states.append(states[-1] + abs(now - before) - ((states[-1] + 8) >> 4))
    return states
