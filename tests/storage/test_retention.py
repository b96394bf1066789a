"""The plan: oldest first, media before signalling, nothing that may not go, and no more than is needed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipflow.amount import Room
from sipflow.clock import DAY_US
from sipflow.config import Retention
from sipflow.storage.catalog import Part
from sipflow.storage.disk import Disk
from sipflow.storage.layout import HOUR_US
from sipflow.storage.retention import Action, Holding, Plan, plan

NOW = 480_000 * HOUR_US
EMPTY = Disk(10**12, 10**12)
NO_GUARD = Room()


def holding(number: int, age_us: int, sip: int = 10, rtp: int = 90, **more: int | str) -> Holding:
    """Describe a sealed part whose last packet is so old."""
    held = str(more.pop("held", ""))
    end = NOW - age_us
    fields: dict[str, object] = {"state": "sealed", "t0_us": end - HOUR_US, "t1_us": end, **more}
    row = Part(number, f"p{number}", end - HOUR_US, end, "", 0, None, None, 1, 1, 1, sip + rtp, sip, rtp)
    return Holding(row._replace(**fields), sip, rtp, held)  # type: ignore[arg-type]


def steps(found: Plan) -> list[tuple[int, Action, int]]:
    return [(step.part.id, step.action, step.octets) for step in found.steps]


def hourly(count: int, **more: str) -> list[Holding]:
    return [holding(n, (count - n) * HOUR_US, **more) for n in range(count)]  # type: ignore[arg-type]


def test_without_limits_nothing_happens() -> None:
    assert plan(hourly(1000), Retention(min_free=NO_GUARD), EMPTY, NOW) == Plan([], [])


def test_by_age_media_first_then_all() -> None:
    limits = Retention(sip_age=5 * HOUR_US, rtp_age=3 * HOUR_US, min_free=NO_GUARD)
    found = plan(hourly(8), limits, EMPTY, NOW)
    assert steps(found) == [
        *((n, Action.DELETE, 100) for n in range(3)),
        *((n, Action.ERASE_RTP, 90) for n in (3, 4)),
    ]
    assert [step.why for step in found.steps[2:4]] == ["SIP is kept for 5h", "RTP is kept for 3h"]


def test_a_part_is_as_young_as_its_last_packet() -> None:
    limits = Retention(sip_age=DAY_US, min_free=NO_GUARD)
    day = holding(1, DAY_US, t0_us=NOW - 2 * DAY_US)
    assert plan([day], limits, EMPTY, NOW).steps == []
    assert steps(plan([day], limits, EMPTY, NOW + 1)) == [(1, Action.DELETE, 100)]


def test_an_import_ages_from_its_import_whatever_is_captured() -> None:
    limits = Retention(sip_age=DAY_US, min_free=NO_GUARD)
    old = holding(1, 400 * DAY_US, imported_us=NOW - HOUR_US)
    future = holding(2, -(10**6) * DAY_US, imported_us=NOW - 2 * DAY_US)
    assert steps(plan([old, future, holding(3, HOUR_US)], limits, EMPTY, NOW)) == [(2, Action.DELETE, 100)]


def test_a_clock_behind_the_newest_packet_deletes_nothing() -> None:
    limits = Retention(sip_age=2 * HOUR_US, min_free=NO_GUARD)
    assert plan(hourly(100), limits, EMPTY, NOW - 200 * HOUR_US).steps == []


def test_a_clock_that_is_not_trusted_holds_ages_but_not_sizes() -> None:
    limits = Retention(sip_age=HOUR_US, rtp_bytes=150, min_free=NO_GUARD)
    found = plan(hourly(3), limits, EMPTY, NOW + 10**6 * DAY_US, "the clock leapt")
    assert steps(found) == [(0, Action.ERASE_RTP, 90), (1, Action.ERASE_RTP, 90)]
    assert found.shortfalls == ["the clock leapt"]
    assert plan(hourly(3), Retention(rtp_bytes=150), EMPTY, NOW, "the clock leapt").shortfalls == []


def test_by_size_only_as_much_as_needed() -> None:
    assert steps(plan(hourly(5), Retention(rtp_bytes=270), EMPTY, NOW)) == [
        (0, Action.ERASE_RTP, 90),
        (1, Action.ERASE_RTP, 90),
    ]
    assert steps(plan(hourly(5), Retention(rtp_bytes=269), EMPTY, NOW))[-1] == (2, Action.ERASE_RTP, 90)
    found = plan(hourly(5), Retention(rtp_bytes=269, sip_bytes=40), EMPTY, NOW)
    assert steps(found) == [(1, Action.ERASE_RTP, 90), (2, Action.ERASE_RTP, 90), (0, Action.DELETE, 100)]


def test_open_parts_count_and_stay() -> None:
    open_part = holding(9, 0, held="open buckets", state="open", t1_us=NOW)
    found = plan([*hourly(2), open_part], Retention(rtp_bytes=50), EMPTY, NOW)
    assert steps(found) == [(0, Action.ERASE_RTP, 90), (1, Action.ERASE_RTP, 90)]
    assert found.shortfalls == ["90B of RTP are kept where 50B may be; what is left may not go: open buckets"]


def test_for_room_all_media_goes_before_any_signalling() -> None:
    short = Disk(5, 1000)
    assert steps(plan(hourly(4), Retention(min_free=Room(octets=95)), short, NOW)) == [(0, Action.ERASE_RTP, 90)]
    found = plan(hourly(4), Retention(min_free=Room(octets=5 + 360 + 15)), short, NOW)
    assert steps(found) == [
        (2, Action.ERASE_RTP, 90),
        (3, Action.ERASE_RTP, 90),
        (0, Action.DELETE, 100),
        (1, Action.DELETE, 100),
    ]
    assert plan(hourly(4), Retention(min_free=Room(share=0.9)), short, NOW).shortfalls != []


def test_what_other_limits_free_counts_for_room() -> None:
    limits = Retention(rtp_age=2 * HOUR_US, min_free=Room(octets=180))
    assert steps(plan(hourly(4), limits, Disk(0, 1000), NOW)) == [(0, Action.ERASE_RTP, 90), (1, Action.ERASE_RTP, 90)]


def test_what_was_begun_is_finished_without_any_limit() -> None:
    begun = [
        holding(1, HOUR_US, state="deleting", deleted_us=NOW),
        holding(2, HOUR_US, erased_us=NOW),
        holding(3, HOUR_US, rtp=0, erased_us=NOW),
    ]
    found = plan(begun, Retention(min_free=NO_GUARD), EMPTY, NOW)
    assert steps(found) == [(1, Action.DELETE, 100), (2, Action.ERASE_RTP, 90)]


LIMITS = st.builds(
    Retention,
    st.none() | st.integers(1, 40).map(lambda n: n * HOUR_US),
    st.none() | st.integers(1, 40).map(lambda n: n * HOUR_US),
    st.none() | st.integers(1, 5000),
    st.none() | st.integers(1, 5000),
    st.builds(Room, st.none(), st.integers(0, 5000)),
)
HOLDINGS = st.lists(
    st.tuples(st.integers(-5, 50), st.integers(0, 300), st.integers(0, 300), st.sampled_from(["", "", "", "held"])),
    max_size=30,
)


@given(HOLDINGS, LIMITS, st.integers(0, 4000), st.integers(0, 9))
def test_every_plan_is_sound(drawn: list[tuple[int, int, int, str]], limits: Retention, free: int, seed: int) -> None:
    holdings = [holding(n, hours * HOUR_US, sip, rtp, held=held) for n, (hours, sip, rtp, held) in enumerate(drawn)]
    found = plan(holdings, limits, Disk(free, 10_000), NOW)
    by_id = {one.part.id: one for one in holdings}
    left = dict(by_id)
    for step in found.steps:
        assert not by_id[step.part.id].held
        assert step.part.id in left
        one = left.pop(step.part.id)
        if step.action is Action.ERASE_RTP:
            assert step.octets == one.rtp_octets > 0
            left[step.part.id] = one._replace(rtp_octets=0)
        else:
            assert step.octets == by_id[step.part.id].octets
    assert len({step.part.id for step in found.steps}) == len(found.steps)
    sip, rtp = sum(one.sip_octets for one in left.values()), sum(one.rtp_octets for one in left.values())
    may_go = [one for one in left.values() if not one.held]
    assert limits.rtp_bytes is None or rtp <= limits.rtp_bytes or not any(one.rtp_octets for one in may_go)
    assert limits.sip_bytes is None or sip <= limits.sip_bytes or not any(one.sip_octets for one in may_go)
    room = free + found.octets
    assert room >= limits.min_free.on(10_000) or not any(one.octets for one in may_go)
    for one in may_go:
        age = NOW - one.since_us
        assert limits.sip_age is None or age <= limits.sip_age
        assert limits.rtp_age is None or age <= limits.rtp_age or one.rtp_octets == 0
    # Oldest first: what stands is not older than what went, unless there is nothing of it to free.
    gone = [by_id[step.part.id].since_us for step in found.steps if step.action is Action.DELETE]
    assert not gone or all(one.since_us >= max(gone) for one in may_go if one.sip_octets)
    shuffled = holdings[:]
    random.Random(seed).shuffle(shuffled)
    assert plan(shuffled, limits, Disk(free, 10_000), NOW) == found


@pytest.mark.parametrize("limits", [Retention(sip_age=DAY_US), Retention(rtp_bytes=1)])
def test_nothing_stands_nothing_goes(limits: Retention) -> None:
    assert plan([], limits, EMPTY, NOW) == Plan([], [])
