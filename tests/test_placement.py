"""Which node stores a call: the published tables, in Python and in C."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipflow._fast import jump_node
from sipflow.placement import Placement, node_index


def c_node(call_id: str, nodes: int) -> int:
    """Ask the C code."""
    return jump_node(call_id.encode(), nodes)


ways = pytest.mark.parametrize("place", [node_index, c_node], ids=["python", "c"])
NODES = (2, 3, 4, 5, 8, 16, 100)


@ways
@pytest.mark.parametrize(
    ("call_id", "wanted"),
    [
        ("", (0, 0, 0, 0, 0, 0, 0)),
        ("a", (0, 0, 0, 0, 0, 0, 29)),
        ("abc", (0, 0, 0, 0, 7, 8, 8)),
        ("c1", (1, 1, 1, 1, 5, 5, 89)),
        ("call-1", (0, 0, 0, 4, 4, 4, 75)),
        ("call-123", (1, 2, 2, 2, 2, 2, 92)),
        ("call-000000", (0, 2, 3, 3, 5, 14, 36)),
        ("call-000001", (1, 1, 1, 1, 1, 1, 1)),
        ("remote-call-1", (1, 1, 1, 1, 1, 1, 82)),
        ("1-2345@10.0.0.1", (1, 2, 2, 4, 4, 4, 99)),
        ("a84b4c76e66710@pc33.atlanta.com", (1, 1, 1, 4, 5, 5, 17)),
        ("3848276298220188511@atlanta.example.com", (0, 2, 2, 2, 6, 9, 63)),
        ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6@biloxi.com", (0, 2, 2, 2, 2, 12, 61)),
        ("呼叫-1", (1, 2, 2, 2, 2, 2, 2)),
        ("x" * 300, (0, 2, 3, 3, 3, 3, 86)),
    ],
)
def test_published_nodes(place: Callable[[str, int], int], call_id: str, wanted: tuple[int, ...]) -> None:
    assert place(call_id, 1) == 0
    assert tuple(place(call_id, nodes) for nodes in NODES) == wanted


@ways
def test_published_jump_hash(place: Callable[[str, int], int]) -> None:
    # Ids whose base-31 number is the key that was published: 42, 10, 256.
    assert place("*", 57) == 43
    assert place("\n", 3) == 2
    assert place("\b\b", 1024) == 520


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(1, 5000))
def test_both_ways_agree(call_id: str, nodes: int) -> None:
    assert c_node(call_id, nodes) == node_index(call_id, nodes)
    assert 0 <= c_node(call_id, nodes) < nodes


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(1, 50))
def test_a_node_added_at_the_end_takes_calls_and_moves_no_other(call_id: str, nodes: int) -> None:
    assert node_index(call_id, nodes + 1) in (node_index(call_id, nodes), nodes)


def test_no_node_is_an_error() -> None:
    with pytest.raises(ValueError, match="nodes: found 0; allowed: 1 or more"):
        node_index("a", 0)
    assert c_node("a", 0) == -1


GOLDEN = {
    "": ("a", "d"),
    "c1": ("f", "d"),
    "call-123": ("c", "f"),
    "1-2345@10.0.0.1": ("d", "c"),
    "呼叫-1": ("c", "d"),
}
IDS = [f"{number:08x}-call@pbx{number % 7}.example.com" for number in range(100_000)]


def moved(before: Placement, after: Placement) -> list[str]:
    """The calls whose first owner is another node."""
    return [call_id for call_id in IDS if before.owners(call_id)[0] != after.owners(call_id)[0]]


def test_full_slots_are_the_plain_jump_hash() -> None:
    placement = Placement.parse("a,b,c")
    assert all(placement.owners(call_id) == (placement.slots[node_index(call_id, 3)],) for call_id in IDS[:1000])


def test_an_appended_node_takes_its_share_and_moves_nothing_else() -> None:
    before, after = Placement.parse("a,b,c"), Placement.parse("a,b,c,d")
    gone = moved(before, after)
    assert len(gone) == pytest.approx(len(IDS) / 4, rel=0.1)
    assert {after.owners(call_id) for call_id in gone} == {("d",)}


def test_a_node_removed_from_the_middle_moves_only_its_own_calls_evenly() -> None:
    before, after = Placement.parse("a,b,c,d"), Placement.parse("a,-,c,d")
    gone = moved(before, after)
    assert len(gone) == pytest.approx(len(IDS) / 4, rel=0.1)
    assert {before.owners(call_id) for call_id in gone} == {("b",)}
    took = Counter(after.owners(call_id)[0] for call_id in gone)
    assert set(took) == {"a", "c", "d"}
    assert all(share == pytest.approx(len(gone) / 3, rel=0.1) for share in took.values())


def test_a_second_removal_and_a_replacement_move_only_what_they_must() -> None:
    one, two, new = Placement.parse("a,-,c,d"), Placement.parse("a,-,c,-"), Placement.parse("a,e,c,d")
    assert {one.owners(call_id)[0] for call_id in moved(one, two)} == {"d"}
    assert {new.owners(call_id)[0] for call_id in moved(one, new)} == {"e"}


def test_the_second_owner_is_where_the_calls_go_when_the_first_is_removed() -> None:
    both = Placement.parse("a,b,c,d", replicas=2)
    for call_id in IDS[:2000]:
        first, second = both.owners(call_id)
        assert first == both.slots[node_index(call_id, 4)] != second
        without = Placement([None if name == first else name for name in both.slots])
        assert without.owners(call_id) == (second,)
    seconds = Counter(both.owners(call_id)[1] for call_id in IDS)
    assert all(share == pytest.approx(len(IDS) / 4, rel=0.1) for share in seconds.values())


def test_slots_beyond_the_first_are_as_they_were() -> None:
    # Golden: another implementation must agree, and so must every later version of this one.
    six = Placement.parse("a,-,c,d,-,f", replicas=2)
    assert {call_id: six.owners(call_id) for call_id in ("", "c1", "call-123", "1-2345@10.0.0.1", "呼叫-1")} == GOLDEN


def test_one_node_left_keeps_everything() -> None:
    left = Placement([None] * 99 + ["z"], replicas=2)
    assert {left.owners(call_id) for call_id in IDS[:100]} == {("z",)}


@pytest.mark.parametrize("nodes", ["", "-,-", "a,a", "a,,b"])
def test_nodes_that_are_none_or_double_are_refused(nodes: str) -> None:
    with pytest.raises(ValueError, match="nodes: found"):
        Placement.parse(nodes)


def test_replicas_are_one_or_two() -> None:
    with pytest.raises(ValueError, match="replicas: found 3; allowed: 1 or 2"):
        Placement.parse("a,b,c", replicas=3)
