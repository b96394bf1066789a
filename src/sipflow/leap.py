"""Leaps of the machine's clock: what is deleted for its age must really have that age."""

import time
from collections.abc import Callable

from sipflow.clock import DAY_US, SECOND_US, format_time, now_us

# Time services correct seconds. An hour is a wrong clock, or the correction of one.
LEAP_US = 3600 * SECOND_US
# Long enough that somebody sees it on /health, or the clock is set right again; a day matters to no retention.
HOLD_US = DAY_US


def steady_us() -> int:
    """Tell the time since the machine started, sleep included [microseconds]; nobody can set this clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class ClockWatch:
    """Compares the wall clock with one that cannot be set. One thread at a time.

    A leap forward makes everything look older than it is: for HOLD_US after one nothing may be deleted for its age.
    A leap backwards only keeps things longer.
    """

    def __init__(self, wall: Callable[[], int] = now_us, steady: Callable[[], int] = steady_us) -> None:
        """Trust the wall clock as it is now."""
        self._wall = wall
        self._steady = steady
        self._trusted_us = wall() - steady()
        self._until_us: int | None = None
        self._why = ""

    def doubt(self, newest_us: int) -> None:
        """Hold as after a leap when nothing is newer than `newest_us` for a day: the clock may have leapt before."""
        gap_us = self._wall() - newest_us
        if gap_us > DAY_US and self._until_us is None:
            days = gap_us // DAY_US
            self._hold(f"the newest packet here is {days} days old: nothing was recorded since, or the clock is wrong")

    def held(self) -> str:
        """Say in a sentence why nothing may be deleted for its age now; empty when it may."""
        steady = self._steady()
        offset = self._wall() - steady
        if offset - self._trusted_us > LEAP_US:
            self._hold(f"the machine's clock leapt forward by {(offset - self._trusted_us) // SECOND_US} s")
        # Followed both ways: the way back from a leap backwards holds too, which costs a day and nothing else.
        self._trusted_us = offset
        if self._until_us is None or steady >= self._until_us:
            self._until_us = None
            return ""
        until = format_time(self._wall() + self._until_us - steady)[:16].replace("T", " ")
        return f"{self._why}; nothing is deleted for its age until {until} UTC"

    def _hold(self, why: str) -> None:
        self._why = why
        self._until_us = self._steady() + HOLD_US
