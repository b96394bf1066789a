"""A clock that leaps forward makes nothing look old; one that goes on, or back, changes nothing."""

from sipflow.clock import DAY_US, SECOND_US
from sipflow.leap import HOLD_US, LEAP_US, ClockWatch, steady_us

T0 = 1_780_272_000 * SECOND_US


class Clocks:
    """Both clocks of a machine, set by the test."""

    def __init__(self) -> None:
        self.wall_us = T0
        self.steady_us = 5 * SECOND_US

    def watch(self) -> ClockWatch:
        return ClockWatch(lambda: self.wall_us, lambda: self.steady_us)

    def pass_by(self, time_us: int) -> None:
        self.wall_us += time_us
        self.steady_us += time_us


def test_time_that_passes_is_no_leap() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for _ in range(100):
        clocks.pass_by(30 * DAY_US)
        assert watch.held() == ""


def test_corrections_of_seconds_are_no_leap() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for step in (SECOND_US, -SECOND_US, 600 * SECOND_US, -DAY_US):
        clocks.wall_us += step
        assert watch.held() == "", step


def test_a_leap_forward_holds_for_a_day_and_says_so() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.wall_us += 400 * DAY_US
    assert watch.held().startswith(
        "the machine's clock leapt forward by 34560000 s; nothing is deleted for its age until"
    )
    clocks.pass_by(HOLD_US - 1)
    assert watch.held() != ""
    clocks.pass_by(1)
    assert watch.held() == ""
    clocks.wall_us += LEAP_US + 1
    assert watch.held() != ""


def test_a_leap_is_seen_however_long_nobody_looked() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.pass_by(7 * DAY_US)
    clocks.wall_us += 2 * LEAP_US
    clocks.pass_by(3 * DAY_US)
    assert watch.held() != ""


def test_a_clock_far_ahead_of_the_newest_packet_is_doubted() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    watch.doubt(T0 - DAY_US)
    watch.doubt(T0 + 100 * DAY_US)
    assert watch.held() == ""
    watch.doubt(T0 - 40 * DAY_US)
    assert "40 days old" in watch.held()
    clocks.pass_by(HOLD_US)
    assert watch.held() == ""


def test_the_steady_clock_only_grows() -> None:
    before = steady_us()
    assert 0 < before <= steady_us()
    assert ClockWatch().held() == ""
