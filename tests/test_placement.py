"""Which node stores a call: the published tables, in Python and in C."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipflow._fast import jump_node
from sipflow.placement import node_index


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
