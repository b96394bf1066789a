"""The language of the search box: `from:alice to:+49* -status:486 ua:yealink ip:10.0.0.0/8 mos<3.5 since:2h`.

Words beside each other must all fit. A value with blanks stands in double quotes, a backslash before a quote in it;
* stands for anything; a minus before a word lists what it does not fit. A word without a key is part of a user's name.
"""

import difflib
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from sipflow.amount import AGE_FORM, parse_age
from sipflow.clock import now_us
from sipflow.errors import BadQuery
from sipflow.query.answer import Criteria
from sipflow.query.question import check_method, check_network, check_number, check_status, parse_window
from sipflow.query.term import FIELDS, Field, Term
from sipflow.query.window import Window

LENGTH_MAX: Final = 2000
_KEYS: Final[tuple[Field, ...]] = tuple(field for field in FIELDS if field != "any")
_TIMES: Final = ("since", "until")
_FIGURES: Final = {"mos": "<", "loss": ">"}
KEYS: Final = (*(f"{key}:" for key in (*_KEYS, *_TIMES)), *(key + sign for key, sign in _FIGURES.items()))

_WORD = re.compile(
    r'(?P<minus>-?)(?:(?P<key>[A-Za-z_]+)(?P<sign>[:<>=]))?(?P<value>"(?:[^"\\]|\\.)*"|[^\s"]*)', re.DOTALL
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_CHECKS: Final[dict[str, Callable[[str], str]]] = {
    "status": check_status,
    "ip": check_network,
    "method": check_method,
}


class Word(NamedTuple):
    """One word of a search, and the column it begins in, from 1."""

    column: int
    text: str
    key: str
    sign: str
    value: str
    negated: bool

    def wrong(self, allowed: str) -> BadQuery:
        """Give the error that says what stood where, and what may."""
        return BadQuery(f"search, column {self.column}: found {self.text!r}; allowed: {allowed}")


def parse_search(text: str, criteria: Criteria | None = None, clock: Callable[[], int] = now_us) -> Criteria:
    """Read a search; what it says is added to `criteria`. Ages (since:2h) count back from now. Raises BadQuery."""
    found = criteria or Criteria()
    if len(text) > LENGTH_MAX:
        raise BadQuery(f"search: found {len(text)} characters; allowed: {LENGTH_MAX}")
    terms, asked, times = list(found.terms), dict[str, Any](), dict[str, str]()
    for word in words(text):
        if word.key in _TIMES:
            times[word.key] = _moment(word, clock())
        elif word.key in _FIGURES:
            asked["mos_below" if word.key == "mos" else "loss_above"] = _figure(word)
        elif word.key == "callid" and "*" not in word.value and not word.negated:
            asked["call_id"] = word.value
        else:
            terms.append(_term(word))
    if times:
        window = parse_window(times.get("since"), times.get("until"), ("since", "until"))
        asked["window"] = _both(found.window, window)
    return msgspec.structs.replace(found, terms=tuple(terms), **asked)


def words(text: str) -> list[Word]:
    """Split a search into its words. Raises BadQuery for one that cannot be read."""
    found: list[Word] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _WORD.match(text, at)
        end = match.end() if match else at
        if match is None or end == at or (end < len(text) and not text[end].isspace()):
            raise BadQuery(
                f"search, column {end + 1}: found {text[end : end + 20]!r}; allowed: a quote that ends, then a blank"
            )
        key, raw = (match["key"] or "").lower(), match["value"]
        value = re.sub(r"\\(.)", r"\1", raw[1:-1], flags=re.DOTALL) if raw[:1] == '"' else raw
        word = Word(at + 1, match[0], key, match["sign"] or "", value, bool(match["minus"]))
        found.append(_checked(word))
        at = end
    return found


def _checked(word: Word) -> Word:
    if not word.key:
        if not word.value:
            raise word.wrong("a word behind the minus")
        return word
    known = [*_KEYS, *_TIMES, *_FIGURES]
    if word.key not in known:
        close = difflib.get_close_matches(word.key, known, n=1)
        raise word.wrong(f"{close[0]} (did you mean that?)" if close else ", ".join(KEYS))
    sign = _FIGURES.get(word.key, ":")
    if word.sign != sign:
        raise word.wrong(f"{word.key}{sign}…")
    if not word.value:
        raise word.wrong(f"a value behind {word.key}{sign}")
    if word.negated and (word.key in _TIMES or word.key in _FIGURES):
        raise word.wrong(f"{word.text[1:]}, without the minus")
    return word


def _term(word: Word) -> Term:
    field: Field = next((key for key in _KEYS if key == word.key), "any")
    check = _CHECKS.get(field)
    try:
        return Term(field, check(word.value) if check else word.value, word.negated)
    except BadQuery as error:
        raise word.wrong(str(error).partition("allowed: ")[2]) from None


def _figure(word: Word) -> float:
    try:
        return check_number(word.value, word.key)
    except BadQuery as error:
        raise word.wrong(str(error).partition("allowed: ")[2]) from None


def _moment(word: Word, now: int) -> str:
    """Give the time that a word means, as parse_window reads it."""
    value = word.value
    try:
        return str(_micros(now - parse_age(value)))
    except ValueError:
        pass
    if _DATE.match(value):
        return f"{value}T{'23:59:59' if word.key == 'until' else '00:00:00'}Z"
    try:
        parse_window(value, None)
    except BadQuery:
        raise word.wrong(
            f"{AGE_FORM} back; a day, 2026-06-01; or a time, 2026-06-01T08:00:00Z, of seconds since 1970 too"
        ) from None
    return value


def _micros(time_us: int) -> int:
    # Sixteen digits are read as microseconds; nothing was captured before there are so many.
    return max(time_us, 10**15)


def _both(a: Window, b: Window) -> Window:
    """Give the span in which both hold."""
    starts = [one for one in (a.start_us, b.start_us) if one is not None]
    ends = [one for one in (a.end_us, b.end_us) if one is not None]
    return Window(max(starts, default=None), min(ends, default=None))


def write_search(criteria: Criteria) -> str:
    """Write criteria as a search that means the same, but for limit, cursor and patience."""
    found = [_word(term.field, term.pattern, term.negated) for term in criteria.terms]
    for field, value in (("user", criteria.user), ("status", criteria.status), ("callid", criteria.call_id)):
        if value is not None:
            found.append(_word(field, value))
    found += [] if criteria.mos_below is None else [f"mos<{criteria.mos_below:g}"]
    found += [] if criteria.loss_above is None else [f"loss>{criteria.loss_above:g}"]
    window = criteria.window
    found += [] if window.start_us is None else [f"since:{window.start_us}"]
    found += [] if window.end_us is None else [f"until:{window.end_us}"]
    return " ".join(found)


def _word(field: str, value: str, negated: bool = False) -> str:
    plain = re.fullmatch(r'[^\s"\\]+', value) and (field != "any" or not re.match(r"-|[A-Za-z_]+[:<>=]", value))
    quoted = value if plain else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    return f"{'-' * negated}{'' if field == 'any' else field + ':'}{quoted}"
