"""Bursts and gaps against the example of RFC 3611 and worked traces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipflow.media.burst import GMIN, BadRuns, Counters, bad_runs, burst_gap, counters


def runs(trace: str) -> BadRuns:
    """1 received, 0 lost, X discarded."""
    return bad_runs(np.array([char != "1" for char in trace], bool))


RFC = "11110" + 18 * "1" + "X111X1011110" + 18 * "1" + "X" + 10 * "1"
B1 = 100 * "1" + "0" + 20 * "1" + "0" + "11" + "00" + 30 * "1" + "0" + 43 * "1"
B2 = 4 * (49 * "1" + "0")
B3 = 50 * "1" + 5 * "0" + 95 * "1" + 5 * "0" + 45 * "1"


def test_the_example_of_the_rfc() -> None:
    assert len(RFC) == 64
    assert (256 * RFC.count("0") // 64, 256 * RFC.count("X") // 64) == (12, 12)
    one = burst_gap(runs(RFC), 64, 10)
    assert (one.bursts, one.burst_packets, one.burst_bad, one.burst_mean_ms) == (1, 12, 4, 120)
    assert one.burst_density == pytest.approx(0.333, abs=5e-4)
    assert one.burst_density_256 == 85
    assert (one.gaps, one.gap_packets, one.gap_bad, one.gap_total_ms, one.gap_mean_ms) == (2, 52, 2, 520, 260)
    assert one.gap_density == pytest.approx(0.0385, abs=5e-5)
    assert one.gap_density_256 == 9
    assert (one.expected, one.bad, one.runs) == (64, 6, 6)


def test_b1() -> None:
    one = burst_gap(runs(B1), 200, 20)
    assert (one.bursts, one.burst_packets, one.burst_bad, one.burst_mean_ms) == (1, 5, 3, 100)
    assert (one.burst_density, one.burst_density_256) == (0.6, 153)
    assert (one.gap_packets, one.gap_bad, one.gap_density_256, one.gap_total_ms) == (195, 2, 2, 3900)
    assert one.gap_density == pytest.approx(0.01026, abs=5e-6)


def test_b2() -> None:
    one = burst_gap(runs(B2), 200, 20)
    assert (one.bursts, one.burst_packets, one.burst_density, one.burst_mean_ms) == (0, 0, 0.0, 0.0)
    assert (one.gaps, one.gap_packets, one.gap_density, one.gap_density_256, one.gap_total_ms) == (
        1,
        200,
        0.02,
        5,
        4000,
    )


def test_b3() -> None:
    one = burst_gap(runs(B3), 200, 20)
    assert (one.bursts, one.burst_packets, one.burst_mean_ms, one.burst_density, one.burst_density_256) == (
        2, 10, 100, 1.0, 255,
    )  # fmt: skip
    assert (one.gaps, one.gap_packets, one.gap_bad, one.gap_density_256, one.gap_total_ms) == (3, 190, 0, 0, 3800)


def counted(c: Counters) -> tuple[int, ...]:
    return c.c11, c.c13, c.c14, c.c22, c.c23, c.c33, c.total


def reported(c: Counters) -> tuple[float, ...]:
    return c.burst_density, c.gap_density, c.gap_ms, c.burst_ms


def test_a2_of_the_example_misses_its_own_figures() -> None:
    one = counters(runs(RFC), 10)
    assert (counted(one), reported(one)) == ((36, 2, 0, 8, 4, 0, 56), (85, 0, 190, 90))
    one = counters(runs(RFC), 10, lost=0)
    assert (one.c13, one.c14, one.total, reported(one)) == (1, 1, 55, (75, 6, 380, 170))


def test_a2_of_b1() -> None:
    one = counters(runs(B1), 20)
    assert (counted(one), reported(one)) == ((150, 1, 2, 1, 1, 1, 158), (153, 3, 3060, 100))
    one = counters(runs(B1), 20, lost=0)
    assert (one.c13, one.c14, one.total, reported(one)) == (2, 1, 159, (170, 1, 1530, 60))


def test_a2_of_b2() -> None:
    one = counters(runs(B2), 20)
    assert (one.c14, one.c13, one.gap_density, one.burst_density, one.burst_ms) == (4, 0, 5, 0, 0)
    one = counters(runs(B2), 20, lost=0)
    assert (one.c13, one.burst_ms) == (1, 20)  # a burst that was none


def test_a2_of_b3() -> None:
    one = counters(runs(B3), 20)
    assert (counted(one), reported(one)) == ((145, 1, 1, 0, 0, 8, 156), (255, 1, 2940, 180))
    one = counters(runs(B3), 20, lost=0)
    assert (one.c13, one.c14, one.total, reported(one)) == (2, 0, 157, (255, 0, 1470, 100))


def by_packet(bad: list[bool]) -> tuple[int, int, int, int]:
    """Bursts, their packets, their bad ones, and those of gaps, by asking of each bad packet what the RFC asks."""
    padded = [False] * GMIN + bad + [False] * GMIN
    in_burst = [
        index
        for index in range(GMIN, len(padded) - GMIN)
        if padded[index] and (any(padded[index - GMIN : index]) or any(padded[index + 1 : index + 1 + GMIN]))
    ]
    starts = [at for number, at in enumerate(in_burst) if number == 0 or at - in_burst[number - 1] > GMIN]
    ends = [at for number, at in enumerate(in_burst) if at == in_burst[-1] or in_burst[number + 1] - at > GMIN]
    packets = sum(end - start + 1 for start, end in zip(starts, ends, strict=True))
    return len(starts), packets, len(in_burst), sum(bad) - len(in_burst)


def a2(bad: list[bool], lost: int) -> tuple[int, ...]:
    """The pseudo code of appendix A.2, packet by packet."""
    c = dict.fromkeys((11, 13, 14, 22, 23, 33), 0)
    received = 0
    for one in bad:
        if not one:
            received += 1
            continue
        if received >= GMIN:
            c[14 if lost == 1 else 13] += 1
            lost = 1
            c[11] += received
        else:
            lost += 1
            if received == 0:
                c[33] += 1
            else:
                c[23] += 1
                c[22] += received - 1
        received = 0
    return tuple(c.values())


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), max_size=40), st.integers(0, 1))
def test_any_trace(parts: list[tuple[int, int]], lost: int) -> None:
    bad = [one for good, missing in parts for one in [False] * good + [True] * missing]
    found = bad_runs(np.array(bad, bool))
    one = burst_gap(found, len(bad), 20)
    assert (one.bursts, one.burst_packets, one.burst_bad, one.gap_bad) == by_packet(bad)
    assert one.bad == sum(bad)
    assert one.gap_packets + one.burst_packets == len(bad)
    counts = counters(found, 20, lost=lost)
    assert (counts.c11, counts.c13, counts.c14, counts.c22, counts.c23, counts.c33) == a2(bad, lost)


def test_runs_that_adjoin_are_one() -> None:
    apart = BadRuns(np.array([20, 22, 60]), np.array([2, 3, 1]))
    together = BadRuns(np.array([20, 60]), np.array([5, 1]))
    assert burst_gap(apart, 100, 20) == burst_gap(together, 100, 20)
    assert counters(apart, 20) == counters(together, 20)


def test_nothing_expected_nothing_bad() -> None:
    none = bad_runs(np.zeros(0, bool))
    assert (burst_gap(none, 0, 20).gap_density, counters(none, 20).total) == (0.0, 0)
