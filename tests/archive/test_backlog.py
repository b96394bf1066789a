"""What waits, how long after failures, and how fast: decided without a disk, a network or a clock."""

import pytest

from sipflow.archive.backlog import Trend, backlog, excess
from sipflow.archive.backoff import Backoff
from sipflow.archive.place import PIECE, PIECES_MAX, piece_of
from sipflow.archive.reading import Throttle
from sipflow.storage.part import Part

SEALED = Part(1, "p", 10, 20, "sealed", 0, 10, 20, 1, 1, 1, 100, 60, 40)


def test_the_oldest_goes_first_and_what_cannot_go_does_not() -> None:
    parts = [
        SEALED._replace(id=5, start_us=50),
        SEALED._replace(id=4, start_us=40),
        SEALED._replace(id=1, state="open"),
        SEALED._replace(id=2, state="unlisted"),
        SEALED._replace(id=3, archived_us=1),
        SEALED._replace(id=6, start_us=30, erased_us=7),  # being erased
        SEALED._replace(id=7, start_us=60, erased_us=7, rtp_octets=0),
        SEALED._replace(id=8),  # its files are gone
        SEALED._replace(id=9, start_us=70),  # sealed just now
        SEALED._replace(id=10, start_us=80, packed_us=3),  # and packed at once
    ]
    sealed = {5: 0, 4: 0, 6: 0, 7: 0, 9: 995, 10: 995}
    found = backlog(parts, 1000, 10, lambda part: sealed.get(part.id))
    assert [part.id for part in found.due] == [4, 5, 7, 10]
    assert [part.id for part in found.waiting] == [6, 9]
    assert (found.parts, found.octets, found.oldest_us) == (6, 600, 30)
    assert backlog([], 0, 0, lambda _part: 0).oldest_us is None


def test_what_waits_longer_than_two_periods_is_late() -> None:
    hour = SEALED._replace(start_us=0, end_us=3600)
    day = SEALED._replace(id=2, start_us=0, end_us=86400, path="day")
    sealed = {1: 10_000, 2: 9_000}

    def at(now_us: int, given_up: tuple[str, ...] = ()) -> tuple[int | None, int]:
        found = backlog([hour, day], now_us, 100, lambda part: sealed[part.id], given_up)
        return found.since_us, found.late_period_us

    assert at(10_000 + 100 + 7200) == (9_000, 0)
    assert at(10_000 + 100 + 7201) == (9_000, 3600)
    assert at(9_000 + 100 + 2 * 86400 + 1) == (9_000, 86400)
    assert at(9_000 + 100 + 2 * 86400 + 1, ("day",)) == (10_000, 3600)
    assert at(9_000 + 100 + 2 * 86400 + 1, ("day", "p")) == (None, 0)


def test_the_oldest_are_given_up_and_never_the_last() -> None:
    parts = [SEALED._replace(id=n, start_us=n, path=f"{n}", octets=100 * n) for n in (3, 1, 2)]
    found = backlog(parts, 1000, 0, lambda _part: 0)
    assert excess(found, 600) == {}
    assert excess(found, 599) == {"1": 100}
    assert excess(found, 500) == {"1": 100}
    assert excess(found, 499) == {"1": 100, "2": 200}
    assert excess(found, 1) == {"1": 100, "2": 200}
    assert excess(backlog([], 0, 0, lambda _part: 0), 1) == {}


def test_less_waits_than_a_while_ago_when_that_is_known() -> None:
    minute, hour = 60_000_000, 3_600_000_000
    trend = Trend()
    # Each hour 100 more, of which 60 are sent: between two of them it falls, and on the whole it grows.
    grows = [trend.shrinks(n * minute, 1000 + n // 60 * 100 - n, hour) for n in range(300)]
    assert not any(grows)
    trend = Trend()
    shrinks = [trend.shrinks(n * minute, 1000 + n // 60 * 30 - n, hour) for n in range(300)]
    assert shrinks == [False] * 60 + [True] * 240


@pytest.mark.parametrize("drawn", [0.0, 0.5, 1.0])
def test_it_waits_longer_each_time_and_never_for_ever(drawn: float) -> None:
    backoff = Backoff(lambda: drawn)
    waits = [backoff.failed() for _ in range(3000)]
    assert waits[:4] == [seconds * (0.5 + drawn / 2) for seconds in (5, 10, 20, 40)]
    assert waits == sorted(waits)
    assert waits[-1] == 900 * (0.5 + drawn / 2)
    backoff.succeeded()
    assert backoff.failed() == waits[0]


def test_a_throttle_holds_the_rate_whatever_the_pieces() -> None:
    now = [100.0]
    throttle = Throttle(1000, lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds))
    for octets in (500, 1500, 10, 990):
        throttle(octets)
    assert now[0] == pytest.approx(100 + (500 + 1500 + 10) / 1000)
    now[0] += 3600  # a pause is not saved up
    before = now[0]
    throttle(1000)
    throttle(1000)
    assert now[0] == pytest.approx(before + 1)


def test_pieces_are_as_many_as_a_store_takes() -> None:
    assert piece_of(0) == piece_of(1) == piece_of(PIECE * PIECES_MAX) == PIECE
    for octets in (PIECE * PIECES_MAX + 1, 5 * 10**12):
        assert -(-octets // piece_of(octets)) <= PIECES_MAX
        assert piece_of(octets) % PIECE == 0
