"""The language of the search box: what is read, what is refused and how, and that it is written back."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipflow.errors import BadQuery
from sipflow.query.answer import Criteria
from sipflow.query.search import parse_search, write_search
from sipflow.query.term import Term
from sipflow.query.window import Window

NOW_US = 1_780_272_600_000_000
HOUR_US = 3_600_000_000


def read(text: str) -> Criteria:
    return parse_search(text, clock=lambda: NOW_US)


def test_every_key() -> None:
    found = read(
        'from:alice to:+49* user:bob status:4xx ua:yealink ip:10.0.0.0/8 callid:a* method:invite text:"P-Asserted: x"'
    )
    assert found.terms == (
        Term("from", "alice"), Term("to", "+49*"), Term("user", "bob"), Term("status", "4xx"), Term("ua", "yealink"),
        Term("ip", "10.0.0.0/8"), Term("callid", "a*"), Term("method", "INVITE"), Term("text", "P-Asserted: x"),
    )  # fmt: skip


def test_figures_times_and_a_whole_call_id() -> None:
    found = read("mos<3.5 loss>2 since:2h callid:a84b4c76e66710@pc33")
    assert (found.mos_below, found.loss_above, found.call_id) == (3.5, 2.0, "a84b4c76e66710@pc33")
    assert found.window == Window(NOW_US - 2 * HOUR_US, None)
    assert read("since:2026-06-01 until:2026-06-01").window == Window(1_780_272_000_000_000, 1_780_358_399_999_999)


def test_plain_words_minus_and_quotes() -> None:
    assert read('alice -status:486 "two words" -"-x" "from:x"').terms == (
        Term("any", "alice"), Term("status", "486", True), Term("any", "two words"), Term("any", "-x", True),
        Term("any", "from:x"),
    )  # fmt: skip
    assert read(r'text:"say \"hi\" \\"').terms == (Term("text", r'say "hi" \ '.strip()),)
    assert read("  ") == Criteria()


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("alice form:bob", 7, "from (did you mean that?)"),
        ("statsu:486", 1, "status (did you mean that?)"),
        ("zzz:1", 1, "from:"),
        ("status:999", 1, "a code (486), a class (4xx)"),
        ("a status:busy", 3, "a code (486)"),
        ("ip:10.0.0.1/8", 1, "host bits"),
        ("mos>3", 1, "mos<…"),
        ("mos<x", 1, "a number"),
        ("since:yesterday", 1, "2026-06-01"),
        ("-since:2h", 1, "without the minus"),
        ("from:", 1, "a value behind from:"),
        ("-", 1, "a word behind the minus"),
        ('from:"alice', 6, "a quote that ends"),
        ('from:al"ice"', 8, "a quote that ends"),
    ],
)
def test_errors_say_what_where_and_what_is_allowed(text: str, column: int, words: str) -> None:
    with pytest.raises(BadQuery) as caught:
        read(text)
    assert f"search, column {column}: found" in str(caught.value)
    assert words in str(caught.value)


def test_an_until_before_a_since_is_refused() -> None:
    with pytest.raises(BadQuery, match="the earlier one first"):
        read("since:1h until:2h")


values = st.text(min_size=1, max_size=20)
terms = st.builds(Term, st.sampled_from(["any", "user", "from", "to", "ua", "text"]), values, st.booleans())


@given(st.lists(terms, max_size=5), st.none() | st.integers(1, 49).map(lambda n: n / 10))
def test_what_is_written_is_read_back(some: list[Term], mos: float | None) -> None:
    criteria = Criteria(terms=tuple(some), mos_below=mos)
    assert read(write_search(criteria)) == criteria


@given(st.text(max_size=200))
def test_anything_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadQuery):
        read(text)
