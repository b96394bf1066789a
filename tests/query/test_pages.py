"""Pages of calls: every call once, newest first, however calls and pages fall on bucket borders."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portions import invite, media, portions_of
from sipflow.query.answer import Criteria
from sipflow.query.descent import Began, Descent, Place
from sipflow.query.history import History
from sipflow.storage.bucket import Bucket
from sipflow.storage.catalog import Catalog
from sipflow.storage.layout import HOUR_US

T0 = 480_000 * HOUR_US


def place(calls: list[Began], asked: list[int], number: int, *, known: bool) -> Place:
    ordered = sorted(calls, reverse=True)

    def page(after: Began | None) -> list[Began]:
        asked.append(number)
        return [one for one in ordered if after is None or one < after][:3]

    return Place(max(one.first_us for one in calls) if known and calls else None, page)


@given(st.lists(st.tuples(st.booleans(), st.lists(st.builds(Began, st.integers(0, 50), st.text("ab"))))))
def test_places_merge_in_order(places: list[tuple[bool, list[Began]]]) -> None:
    asked: list[int] = []
    descent = Descent([place(calls, asked, n, known=known) for n, (known, calls) in enumerate(places)])
    found = []
    while (one := descent.next()) is not None:
        found.append(one)
    unique = [calls and sorted(set(calls)) for _, calls in places]
    assert sorted(set(found), reverse=True) == sorted({one for some in unique for one in some}, reverse=True)
    assert found == sorted(found, reverse=True)


def test_old_places_are_not_asked_for_a_new_page() -> None:
    asked: list[int] = []
    hours = [[Began(hour * 100 + n, f"{hour}-{n}") for n in range(9)] for hour in range(20)]
    descent = Descent([place(calls, asked, hour, known=True) for hour, calls in enumerate(hours)])
    assert [descent.next() for _ in range(5)] == sorted(hours[19], reverse=True)[:5]
    assert set(asked) == {19}


def write_root(root: Path, spans: dict[str, tuple[int, int]], hours: int, *, sealed: bool) -> None:
    """Write calls that begin and end at the given times into hourly buckets, media alone in later ones."""
    catalog = Catalog(root)
    for hour in range(hours):
        start = T0 + hour * HOUR_US
        packets = [invite(call_id, first) for call_id, (first, _) in spans.items() if start <= first < start + HOUR_US]
        packets += [media(call_id, start + 9) for call_id, (first, last) in spans.items() if first < start <= last]
        for period, portion in portions_of(packets):
            part = catalog.claim(period)
            bucket = Bucket(root / part.path)
            catalog.made(part)
            bucket.append([portion])
            bucket.close()
    for part in catalog.open_parts() if sealed else []:
        bucket = Bucket(root / part.path)
        totals = bucket.seal()
        catalog.sealed(part, totals, bucket.call_ids())
    catalog.close()


@pytest.mark.parametrize("sealed", [True, False])
def test_long_calls_do_not_hide_others_at_the_border_of_an_hour(tmp_path: Path, sealed: bool) -> None:
    chance = random.Random(5)
    spans = {}
    for number in range(120):
        first = T0 + chance.randrange(3 * HOUR_US)
        lasts = chance.choice([1, 60, 2 * 3600]) * 1_000_000
        spans[f"call-{number}"] = (first, first + lasts)
    write_root(tmp_path, spans, 6, sealed=sealed)
    history = History.open(tmp_path)
    listed: list[str] = []
    after: str | None = None
    while True:
        page = history.calls(Criteria(limit=7, after=after))
        assert page.faults == []
        listed += [one.call_id for one in page.calls]
        after = page.next
        if after is None:
            break
    history.close()
    assert listed == sorted(spans, key=lambda one: (spans[one][0], one), reverse=True)
