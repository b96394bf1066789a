"""Ages and sizes are read as people write them, and nothing else is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipflow.amount import Room, age_text, parse_age, parse_room, parse_size, size_text
from sipflow.clock import DAY_US, SECOND_US


@pytest.mark.parametrize(
    ("text", "age_us"),
    [("90m", 5400 * SECOND_US), ("36h", 129_600 * SECOND_US), ("400d", 400 * DAY_US), (" 4 W ", 28 * DAY_US)],
)
def test_ages(text: str, age_us: int) -> None:
    assert parse_age(text) == age_us


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 days", "1y", "٣d", "30d\n1", "9999999999d"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match="not an age"):
        parse_age(text)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("0", 0), ("4096", 4096), ("500GB", 500 * 10**9), ("1.5 tb", 15 * 10**11), ("2GiB", 2 << 30), ("7B", 7)],
)
def test_sizes(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1e9", "5%", "5 G B", "1,5GB", "10XB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


def test_room_is_the_smaller_of_share_and_octets() -> None:
    assert parse_room("5%") == Room(share=0.05)
    assert parse_room("10GB").on(10**12) == 10**10
    assert Room(0.05, 20 * 10**9).on(10**11) == 5 * 10**9
    assert Room(0.05, 20 * 10**9).on(10**12) == 20 * 10**9
    assert Room().on(10**12) == 0
    with pytest.raises(ValueError, match="not a share"):
        parse_room("101%")


@given(st.integers(1, 10**6), st.sampled_from("mhdw"))
def test_an_age_is_read_as_it_is_written(count: int, unit: str) -> None:
    age_us = parse_age(f"{count}{unit}")
    assert parse_age(age_text(age_us)) == age_us


@given(st.integers(0, 10**17))
@example(999_500)
@example(999_499)
def test_a_size_is_written_to_three_digits(octets: int) -> None:
    assert abs(parse_size(size_text(octets)) - octets) <= octets / 199
